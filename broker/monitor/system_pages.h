// SPDX-License-Identifier: Apache-2.0
// SystemPages: the pages as services of the system account: by which name, with which options, and what is answered.
// Owner:  caller (pure).
// Flow:   FindSystemPage -> ReadEventOptions (an error is the 400) -> prepare (the 500) -> what options.page needs is
//         gathered, as for HTTP -> AnswerOf.
// Source: spec E-08, E-10.  Proof: system_pages_test.cc, tests/interop/system_services.py.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "broker/monitor/event_options.h"
#include "broker/monitor/service.h"

namespace millrace {

struct SystemPage {
  enum Scope : uint8_t { kServer = 1, kAccount = 2 };  // $SYS.REQ.SERVER..., $SYS.REQ.ACCOUNT.<name>...

  std::string_view name;  // the last token of its subject
  uint8_t scope;          // Scope bits
  const EventOptionTable* options;
  // What has to be gathered, into options->page. `account`: the one in the subject, for kAccount.
  absl::Status (*prepare)(std::string_view account, EventOptions* options);
  HttpResponse (*render)(const EventOptions& options, MonitorData&& data, const MonitorPage::Context& context);
};

// nullptr: there is no such service.
const SystemPage* FindSystemPage(std::string_view name, SystemPage::Scope scope);

// {"code":…,"description":…} of an error answer.
struct EventError {
  int code = 0;
  std::string description = {};
};
struct EventAnswer {
  enum class Kind : uint8_t { kData, kError, kNothing };  // kNothing: none is sent
  Kind kind = Kind::kNothing;
  std::string data = {};     // JSON
  EventError error = {};
};
EventAnswer AnswerOf(const SystemPage& page, const EventOptions& options, MonitorData&& data,
                     const std::map<std::string, uint64_t>& http_req_stats);

// "statsz" of the server's heartbeat and of STATSZ.
void RenderStatsz(const VarzSnapshot& varz, int active_accounts, JsonWriter* out);

// {"server":…,"data":…}, or {"server":…,"error":…}. A page that fails says "data":null as well (`null_data`). Either of
// the two may be missing.
std::string EventEnvelope(std::string_view server, std::string_view data, const EventError* error, bool null_data);

// Option types of requests that show no page.
extern const EventOptionTable kFilterOptions;   // RELOAD, KICK, LDM
extern const EventOptionTable kStatszOptions;   // STATSZ

}  // namespace millrace
