// SPDX-License-Identifier: Apache-2.0
// MessageTrace: what became of one traced message (header Nats-Trace-Dest, ADR-41, C-42), delivery by delivery.
// Owner:  shard of the publisher; a shard that delivers for it fills a TraceReport and mails it back, which hands it
// over.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/mesh/mail.h"

namespace millrace {

struct TraceEgress {
  int64_t wall_ns = 0;
  uint64_t cid = 0;
  std::string name;  // of the receiving client
  std::string sub;   // its filter
  std::string queue;
  std::string error;  // why it was not delivered; empty when it was
};

struct MessageTrace {
  uint32_t id = 0;
  bool only = false;    // look who would get it, deliver to nobody
  int64_t wall_ns = 0;  // of this turn
  std::vector<TraceEgress> egress;
};

// Travels in MailKind::kTraceReport as a pointer that the receiver owns.
struct TraceReport {
  ConnectionId origin;
  uint32_t id = 0;
  std::vector<TraceEgress> egress;
};

}  // namespace millrace
