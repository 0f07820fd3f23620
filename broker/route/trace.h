// SPDX-License-Identifier: Apache-2.0
// MessageTrace: what became of one traced message (header Nats-Trace-Dest, ADR-41, C-42), step by step.
// Owner:  shard of the publisher; a shard that delivers for it fills a TraceReport and mails it back, which hands it
// over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_id.h"
#include "broker/mesh/mail.h"

namespace millrace {

// What a step does not have is empty.
struct TraceEvent {
  enum class Kind : uint8_t { kSubjectMapping, kStreamExport, kServiceImport, kJetStream, kEgress };

  Kind kind = Kind::kEgress;
  int64_t wall_ns = 0;
  // Into which a message is taken (a service import without one: the server's own), or of who receives it.
  AccountId account = kNoAccount;
  uint64_t cid = 0;
  std::string name = {};     // of the receiving client, or the stream
  std::string from = {};     // subject in the account that imports the service
  std::string to = {};       // what the message is called from here on
  std::string sub = {};      // the receiver's filter
  std::string queue = {};
  std::string error = {};    // why it was not delivered; empty when it was
  bool no_interest = false;  // nobody will ever ask the stream for it
};

struct MessageTrace {
  uint32_t id = 0;
  bool only = false;    // look who would get it, deliver to nobody
  int64_t wall_ns = 0;  // of this turn
  std::vector<TraceEvent> events = {};
  uint32_t reports_missing = 0;  // records that went to other shards; each is answered
};

// Travels in MailKind::kTraceReport as a pointer that the receiver owns.
struct TraceReport {
  ConnectionId origin;
  uint32_t id = 0;
  std::vector<TraceEvent> events;
};

// Of a message that is stored, or goes on untraced: whoever gets it next does not begin to trace it anew.
inline constexpr std::string_view kTraceDestHeader = "Nats-Trace-Dest";
inline constexpr std::string_view kTraceDisabled = "trace disabled";  // no subject

// A payload whose header block says so, or names another destination; *header_bytes are those of its block.
std::string WithTraceDest(std::string_view payload, std::string_view dest, uint32_t* header_bytes);

}  // namespace millrace
