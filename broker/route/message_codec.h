// SPDX-License-Identifier: Apache-2.0
// MessageCodec: what shards tell each other about messages, as mail (broker/mesh/mail.h has the formats), in both
//               directions: the only place that knows how it lies in a record.
// Owner:  shard (no state of its own).
// Views:  what is read from a record ends with the mail's handler.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "broker/mesh/shared_payload.h"
#include "broker/mesh/mesh.h"
#include "broker/route/message_run.h"
#include "broker/route/trace.h"

namespace millrace {

// ---- kMessage ------------------------------------------------------------------------------------------------------

// Who is to get a message on the other shard, and what it does if nobody does.
struct RemoteDelivery {
  bool to_plain = false;
  std::span<const std::string_view> groups = {};  // a member of each
  uint8_t hops = 0;                               // how often a queue pick was passed on before
  bool report_undelivered = false;
};

// One record for `target`, or several when there are many groups. A payload above `inline_bytes_max` goes by
// reference: *shared, made when it is nullptr, so that it is the same one for all targets of a message.
void SendMessage(MeshPort* mesh, uint32_t target, const Message& message, RemoteDelivery delivery,
                 uint64_t inline_bytes_max, SharedPayload** shared);

// The names of the groups in a record, one after the other.
class GroupNames {
 public:
  GroupNames() = default;
  GroupNames(const char* at, uint32_t count) : at_(at), left_(count) {}
  bool Next(std::string_view* name);

 private:
  const char* at_ = nullptr;
  uint32_t left_ = 0;
};

struct MessageRecord {
  explicit MessageRecord(const char* body);
  // Whose subscribers get it.
  std::string_view matched() const { return message.deliver_to.empty() ? message.subject : message.deliver_to; }

  Message message;         // but for `trace`
  SharedPayload* shared = nullptr;  // holds the payload; goes home when the record is dealt with
  bool to_plain = false;
  GroupNames groups;
  uint8_t hops = 0;
  bool report_undelivered = false;
  bool traced = false;
  bool trace_only = false;
  uint32_t trace_id = 0;
};

// ---- kMessageRun ---------------------------------------------------------------------------------------------------

// All messages of `run` for `target`s: small ones share records, a large one goes by reference. Their order stays.
void SendRun(MeshPort* mesh, const MessageRun& run, uint64_t inline_bytes_max);

// The messages of a record, one after the other.
class RunRecord {
 public:
  struct Part {
    std::string_view tail;
    uint32_t payload_bytes;
    uint32_t header_bytes;
    bool new_subject;  // the first one has one
  };

  explicit RunRecord(const char* body);
  uint32_t count() const { return count_; }
  // What all have in common, with the subject of the last part read.
  const Message& common() const { return common_; }
  bool Next(Part* part);

 private:
  Message common_;
  const uint32_t count_;
  uint32_t left_;
  const char* part_at_;
  const char* text_;
};

// ---- the rest ------------------------------------------------------------------------------------------------------

void SendPayloadHome(MeshPort* mesh, SharedPayload* shared);
SharedPayload* ReadPayloadHome(const char* body);

// To all other shards; the sizes in `change` are filled in.
void AnnounceInterest(MeshPort* mesh, const InterestMail& change, std::string_view filter, std::string_view queue);
struct InterestRecord {
  explicit InterestRecord(const char* body);
  InterestMail change;
  std::string_view filter;
  std::string_view queue;
};

// To the shard of `origin`: nobody got its request.
void SendUndelivered(MeshPort* mesh, const ConnectionId& origin, const Message& message);
struct UndeliveredRecord {
  explicit UndeliveredRecord(const char* body);
  ConnectionId origin;
  std::string_view subject;
  std::string_view reply;
};

// To the shard of `origin`: it feeds a receiver that falls behind.
void SendStall(MeshPort* mesh, const ConnectionId& origin);
ConnectionId ReadStall(const char* body);

// To the shard of its origin.
void SendTraceReport(MeshPort* mesh, std::unique_ptr<TraceReport> report);
std::unique_ptr<TraceReport> ReadTraceReport(const char* body);

}  // namespace millrace
