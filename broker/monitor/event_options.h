// SPDX-License-Identifier: Apache-2.0
// EventOptions: the options of a request to the system account, which are JSON, read as the peer does it with Go's
//               decoder: its leniency, and its errors to the byte.
// Owner:  caller (pure).
// Source: spec E-08, E-09.  Proof: event_options_test.cc, tests/interop/system_services.py.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "broker/monitor/service.h"

namespace millrace {

// Which servers are meant.
struct EventFilter {
  std::string server_name = {};
  std::string cluster = {};
  std::string host = {};
  bool exact_match = false;  // of these three; else they only have to occur
  std::vector<std::string> tags = {};
  std::string domain = {};
};
// What a filter looks at.
struct EventServer {
  std::string_view name;
  std::string_view cluster;
  std::string_view host;
  std::span<const std::string> tags;
  std::string_view domain;
};
bool IsMeant(const EventFilter& filter, const EventServer& server);

// What a request may say: the options of the pages, and what only these requests have.
struct EventOptions {
  EventFilter filter = {};
  MonitorRequest page = {};
  std::string connz_sort = {};
  int64_t connz_state = 0;
  std::string account = {};                // of pages that have no use for it (features that are off)
  std::vector<std::string> accounts = {};  // STATZ
  bool include_unused = false;             // STATZ
  std::string profile = {};                // PROFILEZ
  int64_t debug = 0;
  int64_t duration_ns = 0;
  bool unused_bool = false;                // of what features that are off would show
  std::string unused_string = {};
};

using EventOptionPlace = std::variant<bool*, int64_t*, uint64_t*, std::string*, std::vector<std::string>*>;
struct EventOption {
  std::string_view name;
  std::string_view go_type;  // as errors call it
  EventOptionPlace (*place)(EventOptions* options);
};
// One of the peer's option types: a struct with those of a page in another struct inside, and the filter.
struct EventOptionTable {
  std::string_view go_name;
  std::string_view page_go_name;
  std::span<const EventOption> page = {};
  bool has_filter = true;
};

// `json` is not empty. On an error some of *options may be set.
absl::Status ReadEventOptions(std::string_view json, const EventOptionTable& table, EventOptions* options);

}  // namespace millrace
