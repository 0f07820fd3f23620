// SPDX-License-Identifier: Apache-2.0
// Trace: reads the tracing headers of a message and writes the event that tells its way through this server (C-42).
// Owner:  caller (pure).  Source: ADR-41.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/options.h"
#include "broker/route/trace.h"
#include "broker/session/info.h"

namespace millrace {

struct TraceRequest {
  std::string dest;
  bool only = false;
  std::map<std::string, std::vector<std::string>> headers;
};

// nullopt when the header block asks for no trace. An empty dest with `only`: nothing is traced, and nothing delivered.
std::optional<TraceRequest> ReadTraceRequest(std::string_view headers);

// A trace under way: other shards may still owe their reports.
struct PendingTrace {
  TraceRequest request;
  int64_t ingress_ns = 0;
  std::string subject;
  size_t message_bytes = 0;
  std::vector<TraceEgress> egress;
  uint32_t reports_missing = 0;
};

struct TraceOrigin {
  uint64_t cid = 0;
  std::string_view name;
  std::string_view account;
};

// `server`: what the server says of itself (SystemPort::NextServer).
std::string TraceEventJson(std::string_view server, const TraceOrigin& origin, const PendingTrace& trace);

}  // namespace millrace
