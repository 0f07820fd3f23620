// SPDX-License-Identifier: Apache-2.0
// Acknowledgements: their kinds, what each does to a message, and who is told (spec J-48 to J-50).
#include <algorithm>

#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/consumer/consumer.h"
#include "broker/jetstream/consumer/consumer_advise.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint64_t kEntryUnits = 10;  // of a pace

std::string_view TrimSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

}  // namespace

// body                              effect                                   answered, if asked
// "", +ACK, +OK                     acknowledges                             unless it was never delivered
// -NAK[ delay]                      sends again, after the delay             yes
// +WPI                              waits anew                               yes
// +NXT[ request]                    acknowledges, and asks for more          by the messages
// +TERM[ reason]                    acknowledges, with an advisory           as +ACK
// anything else                     nothing                                  yes
void Consumer::OnAck(const AckSubject& ack, std::string_view reply, std::string_view body) {
  if (stopped_ || ack.stream_seq == 0) return;
  if (config_.ack_policy == AckPolicy::kNone || config_.ack_policy == AckPolicy::kFlowControl) return;
  if (inactive_threshold_ != Nanos{}) {
    last_request_ = port_.Now();
    if (is_push() && inactive_at_ != Nanos::max()) inactive_at_ = last_request_ + inactive_threshold_;
  }
  bool answer = true;
  if (body.empty() || body == "+ACK" || body == "+OK") {
    answer = Acknowledge(ack.stream_seq, ack.consumer_seq, ack.deliveries, true, Gone::kNo);
  } else if (body.starts_with("+NXT")) {
    Acknowledge(ack.stream_seq, ack.consumer_seq, ack.deliveries, true, Gone::kNo);
    OnNextRequest(reply, {}, body.substr(4));
    answer = false;
  } else if (body.starts_with("-NAK")) {
    Nak(ack, TrimSpace(body.substr(4)));
  } else if (body == "+WPI") {
    if (state_.Touch(ack.stream_seq, port_.WallNs())) Ready();
  } else if (body.starts_with("+TERM")) {
    answer = Terminate(ack.stream_seq, ack.consumer_seq, ack.deliveries, TrimSpace(body.substr(5)), Gone::kNo);
  }
  if (!answer || reply.empty()) return;
  // The answer waits for what is staged by now, and leaves before consumers deliver and stage what acks have changed.
  if (state_.changed()) host_.Persist(this, state_.TakeDelta());
  host_.ReplyToAck(this, reply);
}

// False: a message that this consumer has not delivered.
bool Consumer::Acknowledge(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, bool sample, Gone gone) {
  if (seq >= next_seq_ && !config_.flow_control) {
    if (seq > log_.state().last_seq) {
      port_.log().WarnLimited("JetStream consumer '" + std::string(host_.account_name()) + " > " +
                              std::string(host_.stream_name()) + " > " + name() +
                              "': an ack beyond the last message of the stream");
    }
    return false;
  }
  seq = std::min(seq, log_.state().last_seq);  // clients say what they like, and with flow control they may be ahead
  if (config_.ack_policy == AckPolicy::kExplicit) {
    if (sample && sample_percent_ > 0) {
      if (const PendingEntry* entry = state_.pending().Find(seq)) SampleAck(*entry, consumer_seq, deliveries);
    }
    if (state_.Ack(seq)) Ready();
    last_acked_ns_ = port_.WallNs();
    if (reports_acks_ && gone == Gone::kNo) host_.OnAcked(this, seq);
    return true;
  }
  if (consumer_seq <= state_.ack_floor_consumer() || seq <= state_.ack_floor_stream()) return true;
  MR_DCHECK(config_.ack_policy != AckPolicy::kNone);
  std::vector<uint64_t> acked;
  state_.AckUpTo(seq, std::min(consumer_seq, state_.delivered_consumer()), reports_acks_ ? &acked : nullptr);
  last_acked_ns_ = port_.WallNs();
  Ready();
  if (reports_acks_) {
    if (gone == Gone::kNo) host_.OnAcked(this, seq);
    for (const uint64_t below : acked) {
      if (below != seq) host_.OnAcked(this, below);
      Tick(host_.pace(), kEntryUnits);
    }
  }
  return true;
}

void Consumer::SampleAck(const PendingEntry& entry, uint64_t consumer_seq, uint64_t deliveries) {
  MR_DCHECK(sample_percent_ > 0);
  if (sample_percent_ < 100 && port_.Random() % 100 > static_cast<uint64_t>(sample_percent_)) return;
  ConsumerAckMetric metric;
  metric.consumer_seq = consumer_seq;
  metric.stream_seq = entry.seq;
  metric.ack_time_ns = port_.WallNs() - entry.time_ns;
  metric.deliveries = deliveries;
  Advise(host_, name(), std::move(metric));
}

void Consumer::Nak(const AckSubject& ack, std::string_view argument) {
  if (ack.consumer_seq <= state_.ack_floor_consumer() || ack.consumer_seq > state_.delivered_consumer() + 1) return;
  const uint64_t seq = ack.stream_seq;
  const PendingEntry* entry = state_.pending().Find(seq);
  if (entry == nullptr) return;
  NakAdvisory advisory;
  advisory.consumer_seq = ack.consumer_seq;
  advisory.stream_seq = seq;
  advisory.deliveries = ack.deliveries;
  Advise(host_, name(), std::move(advisory));
  if (!argument.empty()) {
    int64_t delay_ns = 0;
    const std::string error = ParseNakDelay(argument, &delay_ns);
    if (error.empty()) {
      if (entry->state == PendingEntry::State::kQueued) redeliveries_.Remove(seq);
      // It waits as if it had been sent so long ago that the delay is what is left.
      state_.Unqueue(seq, port_.WallNs() - config_.ack_wait_ns + delay_ns);
      ArmTimer();
      Ready();
      return;
    }
    port_.log().WarnLimited("JetStream consumer '" + std::string(host_.account_name()) + " > " +
                            std::string(host_.stream_name()) + " > " + name() + "' bad NAK delay value");
  }
  QueueForRedelivery(seq);
}

void Consumer::QueueForRedelivery(uint64_t seq) {
  if (!state_.Queue(seq)) return;
  MR_DCHECK(state_.pending().Find(seq)->state == PendingEntry::State::kQueued);
  redeliveries_.Push(seq);
  Ready();
}

bool Consumer::Terminate(uint64_t seq, uint64_t consumer_seq, uint64_t deliveries, std::string_view reason, Gone gone) {
  const bool acknowledged = Acknowledge(seq, consumer_seq, deliveries, false, gone);
  TerminatedAdvisory advisory;
  advisory.consumer_seq = consumer_seq;
  advisory.stream_seq = seq;
  advisory.deliveries = deliveries;
  advisory.reason = reason;
  Advise(host_, name(), std::move(advisory));
  return acknowledged;
}

void Consumer::GiveUp(uint64_t seq, uint64_t deliveries) {
  MR_DCHECK(max_deliver_ != 0 && state_.pending().Find(seq) != nullptr);
  MaxDeliverAdvisory advisory;
  advisory.stream_seq = seq;
  advisory.deliveries = deliveries;
  Advise(host_, name(), std::move(advisory));
  state_.Exhaust(seq);
  Ready();
}

}  // namespace millrace
