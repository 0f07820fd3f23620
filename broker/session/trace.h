// SPDX-License-Identifier: Apache-2.0
// Trace: reads the tracing headers of a message and writes the event that tells its way through this server (C-42).
// Owner:  caller (pure).  Source: ADR-41.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/config/options.h"
#include "broker/route/trace.h"
#include "broker/session/info.h"

namespace millrace {

struct TraceRequest {
  std::string dest = {};  // empty: where the account says (a `traceparent` header)
  bool only = false;
  bool disabled = false;  // it asks in words of old: it is not traced, neither here nor further on
  std::map<std::string, std::vector<std::string>> headers = {};
};

// Nearly no message gets further than here.
inline bool MayAskForTrace(std::string_view headers) {
  return headers.find(kTraceDestHeader) != std::string_view::npos;
}

// nullopt when the header block asks for no trace. by_parent: a sampled `traceparent` alone asks for one, too.
std::optional<TraceRequest> ReadTraceRequest(std::string_view headers, bool by_parent);

// A trace under way: other shards may still owe their reports.
struct PendingTrace {
  TraceRequest request = {};
  int64_t ingress_ns = 0;
  std::string subject = {};
  size_t message_bytes = 0;
  std::string error = {};  // why it was not taken at all
  std::vector<TraceEvent> events = {};
  uint32_t reports_missing = 0;
};

struct TraceOrigin {
  uint64_t cid = 0;
  std::string_view name;
  AccountId account = kNoAccount;
};

// `server`: what the server says of itself (SystemPort::NextServer).
std::string TraceEventJson(std::string_view server, const AccountTable& accounts, const TraceOrigin& origin,
                           const PendingTrace& trace);

}  // namespace millrace
