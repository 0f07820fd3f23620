// SPDX-License-Identifier: Apache-2.0
// ConsumerHost: what a Consumer asks of the stream it reads. The stream host implements it; tests have a fake.
// Owner:  shard.
// Re-entrancy: while a Consumer calls the host, the host may call OnAppended, OnRemoved, OnPurged and observers of
//         any consumer, the caller included, but not Deliver, Stop or its destructor; those wait until it returned.
//         OnAck, OnFlowControlReply, OnNextRequest and OnRemoved publish nothing themselves: they use SendLater,
//         ReplyToAck and Advisory, so that they may run inside Sink::Deliver. Deliver, Stop and timers do publish.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/base/port.h"
#include "store/pace.h"

namespace millrace {

class Consumer;

class ConsumerHost {
 public:
  virtual ~ConsumerHost() = default;

  virtual JetStreamPort& port() = 0;
  virtual AccountId account() const = 0;
  virtual std::string_view account_name() const = 0;
  virtual std::string_view domain() const = 0;  // empty: none
  virtual std::string_view stream_name() const = 0;
  // Of the stream's configuration; Consumer::OnStreamUpdated follows a change of any of these.
  virtual Retention retention() const = 0;
  virtual int64_t max_messages_per_subject() const = 0;  // -1: no limit
  // Largest message: max_msg_size of the stream if it is set, else max_payload. The burst of a rate limit.
  virtual uint64_t message_bytes_max() const = 0;
  // Messages above are not durable yet and are not delivered. It moves before OnAppended tells of what became visible.
  virtual uint64_t visible_last_seq() const = 0;

  // A change of the stream is under way, in slices: consumers do nothing by themselves until it is over.
  virtual bool held() const { return false; }
  // The pace of what takes long.
  virtual Pace* pace() { return nullptr; }

  // Someone takes what is pushed to this subject: a subscription of exactly this subject, in this queue group unless
  // `group` is empty (then one without a group).
  virtual bool HasDeliverInterest(std::string_view subject, std::string_view group) = 0;

  // Call consumer->Deliver in this turn's JetStream phase. Idempotent until that call begins.
  virtual void MarkReady(Consumer* consumer) = 0;
  // This consumer needs the message no more; only called while retention() is not kLimits. May remove it from the log.
  virtual void OnAcked(Consumer* consumer, uint64_t seq) = 0;
  // Publishes later in this turn, in the order of the calls; `header` is a whole header block. Views end with the call.
  virtual void SendLater(std::string_view subject, std::string_view header) = 0;
  // Answers an ack that asked for it with an empty message, not before what the consumer persists next is durable, or
  // at once if the stream does not promise that.
  virtual void ReplyToAck(Consumer* consumer, std::string_view reply) = 0;
  virtual std::string NewId() = 0;  // a NUID
  // An advisory or metric that somebody listens to (the consumer has asked). Published later in this turn.
  virtual void Advisory(std::string_view subject, std::string json) = 0;
  // What changed since the last call, for the journal: at most one call a Deliver. The same bytes, in the same
  // order, go to RestoreState.
  virtual void Persist(Consumer* consumer, std::string_view delta) = 0;
  // Inactive for too long: delete it (with its advisory) later in this turn.
  virtual void Delete(Consumer* consumer) = 0;
};

}  // namespace millrace
