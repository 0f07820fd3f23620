// SPDX-License-Identifier: Apache-2.0
// Deliver: which message goes next, to whom, and what is remembered of it.
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/consumer/consumer.h"
#include "proto/base/check.h"
#include "proto/encoder.h"
#include "proto/headers.h"

namespace millrace {

DeliverStatus Consumer::Deliver(DeliverBudget* budget) {
  MR_DCHECK(began_ && !publishing_);
  ready_ = false;
  if (stopped_) return DeliverStatus::kIdle;
  DeliverStatus status = DeliverStatus::kIdle;
  if (answers_due_ == 0) [[likely]] {
    publishing_ = true;
    now_ = port_.Now();
    wall_ns_ = port_.WallNs();
    visible_seq_ = host_.visible_last_seq();
    MR_DCHECK(visible_seq_ <= log_.state().last_seq);
    status = DeliverSome(budget);
    publishing_ = false;
  }
  if (state_.changed()) host_.Persist(this, state_.TakeDelta());
  ArmTimer();
  return status;
}

DeliverStatus Consumer::DeliverSome(DeliverBudget* budget) {
  bool full = false;
  at_end_ = false;
  held_until_ = Nanos::max();  // asked anew below
  while (HasReceiver() && !paused()) {
    if (budget->empty()) return DeliverStatus::kMore;
    const Found found = FindNext();
    if (found == Found::kLoading) return DeliverStatus::kLoading;
    if (found == Found::kNothing || found == Found::kFull) {
      full = found == Found::kFull;
      break;
    }
    MR_DCHECK(message_.seq <= visible_seq_ && deliveries_ > 0);
    const uint64_t pending = num_pending() - (deliveries_ == 1 && num_pending_ > 0 ? 1 : 0);
    const std::string_view ack_subject =
        ack_subject_.Write(deliveries_, message_.seq, state_.delivered_consumer() + 1, message_.time_ns, pending);
    if (config_.headers_only) MakeHeadersOnly();
    const size_t bytes = message_.subject.size() + ack_subject.size() + message_.payload.size();
    if ((replay_ != nullptr || rate_limit_ != nullptr) && Held(bytes)) return DeliverStatus::kIdle;
    const Sent sent = is_push() ? SendToPush(ack_subject, bytes) : SendToPull(ack_subject, bytes);
    if (sent == Sent::kNobody) break;
    --budget->messages;
    budget->bytes -= static_cast<int64_t>(bytes);
    if (sent == Sent::kCongested) return DeliverStatus::kCongested;
  }
  if (replay_ != nullptr && next_seq_ > replay_->until_seq) replay_.reset();
  // Requests that will not wait are answered at the end of the stream, but not when acks are what is missing.
  at_end_ = !full;
  if (waiting_.no_waits() != 0) ProcessWaiting(at_end_);
  return DeliverStatus::kIdle;
}

Consumer::Found Consumer::FindNext() {
  if (!redeliveries_.empty()) {
    if (const Found found = FindRedelivery(); found != Found::kNothing) return found;
  }
  if (AtMaxAckPending()) return Found::kFull;
  deliveries_ = 1;
  if (skip_list_ != nullptr) [[unlikely]] return FindSkipped();
  return FindNew();
}

Consumer::Found Consumer::FindRedelivery() {
  while (!redeliveries_.empty()) {
    const uint64_t seq = redeliveries_.front();
    const PendingEntry* entry = state_.pending().Find(seq);
    if (entry == nullptr || entry->state != PendingEntry::State::kQueued) {
      redeliveries_.PopFront();
      continue;
    }
    const uint32_t sent = entry->redeliveries + 1;
    if (max_deliver_ != 0 && sent >= max_deliver_) {
      redeliveries_.PopFront();
      GiveUp(seq, sent);
      continue;
    }
    switch (log_.Load(seq, &message_)) {
      case LoadStatus::kFound:
        deliveries_ = sent + 1;
        return Found::kRedelivery;
      case LoadStatus::kPending:
        return Found::kLoading;
      case LoadStatus::kAbsent:
      case LoadStatus::kDamaged:
        redeliveries_.PopFront();
        Terminate(seq, entry->consumer_seq, sent, "Unacknowledged message was deleted", Gone::kYes);
    }
  }
  return Found::kNothing;
}

Consumer::Found Consumer::FindNew() {
  while (next_seq_ <= visible_seq_) {
    uint64_t seq = next_seq_;
    LoadStatus status = LoadStatus::kAbsent;
    if (filters_.empty()) status = log_.Load(seq, &message_);
    if (status == LoadStatus::kAbsent) {
      seq = log_.Next(filters_, next_seq_);
      if (seq == 0) return AtEnd(log_.state().last_seq + 1);
      if (seq > visible_seq_) return AtEnd(seq);
      status = log_.Load(seq, &message_);
    }
    if (status == LoadStatus::kFound) return Found::kNew;
    if (status == LoadStatus::kPending) return Found::kLoading;
    SkipDamaged(seq);
  }
  return AtEnd(next_seq_);
}

Consumer::Found Consumer::AtEnd(uint64_t next_seq) {
  MR_DCHECK(next_seq >= next_seq_);
  next_seq_ = next_seq;
  const uint64_t last_seq = log_.state().last_seq;
  if (next_seq_ > last_seq && num_pending_ != 0) {
    num_pending_ = 0;
    counted_seq_ = last_seq;
  }
  return Found::kNothing;
}

Consumer::Found Consumer::FindSkipped() {
  while (!skip_list_->done()) {
    const uint64_t seq = skip_list_->seqs[skip_list_->next];
    if (seq > visible_seq_) return Found::kNothing;
    switch (log_.Load(seq, &message_)) {
      case LoadStatus::kFound:
        return Found::kNew;
      case LoadStatus::kPending:
        return Found::kLoading;
      case LoadStatus::kAbsent:
      case LoadStatus::kDamaged:
        ++skip_list_->next;
    }
  }
  next_seq_ = std::max(next_seq_, skip_list_->resume + 1);
  skip_list_.reset();
  return FindNew();
}

void Consumer::SkipDamaged(uint64_t seq) {
  port_.log().ErrorLimited("JetStream consumer '" + name() + "' skips a damaged message of stream '" +
                           std::string(host_.stream_name()) + "'");
  MR_DCHECK(seq >= next_seq_);
  next_seq_ = seq + 1;
  --num_pending_;
}

// The pace of the original, and the limit of bytes a second. True: come back at held_until_.
bool Consumer::Held(size_t bytes) {
  if (replay_ != nullptr) {
    const int64_t gap_ns = replay_->last_time_ns == 0 ? 0 : message_.time_ns - replay_->last_time_ns;
    if (gap_ns > kNsPerMs) {
      if (replay_->held_seq != message_.seq) {
        replay_->held_seq = message_.seq;
        replay_->held_until = now_ + Nanos(gap_ns);
      }
      if (now_ < replay_->held_until) {
        held_until_ = replay_->held_until;
        return true;
      }
    }
    replay_->last_time_ns = message_.time_ns;
  }
  if (rate_limit_ != nullptr) {
    RateLimit& limit = *rate_limit_;
    MR_DCHECK(limit.bytes_per_ns >= 0 && now_ >= limit.filled_at);
    limit.tokens += static_cast<double>((now_ - limit.filled_at).count()) * limit.bytes_per_ns;
    limit.tokens = std::min(limit.tokens, limit.burst);
    limit.filled_at = now_;
    const double need = std::min(static_cast<double>(bytes), limit.burst);
    if (limit.tokens < need) {
      held_until_ = now_ + Nanos(static_cast<int64_t>((need - limit.tokens) / limit.bytes_per_ns) + 1);
      return true;
    }
    limit.tokens -= static_cast<double>(bytes);
  }
  return false;
}

Sent Consumer::Publish(std::string_view deliver_to, std::string_view ack_subject) {
  MR_DCHECK(publishing_ && message_.header_bytes <= message_.payload.size());
  Outgoing out;
  out.account = account_;
  out.deliver_to = deliver_to;
  out.subject = message_.subject;
  out.reply = ack_subject;
  out.payload = message_.payload;
  out.header_bytes = message_.header_bytes;
  return port_.Publish(out);
}

Sent Consumer::SendToPush(std::string_view ack_subject, size_t bytes) {
  const Sent sent = Publish(config_.deliver_subject, ack_subject);
  MR_DCHECK(is_push());
  if (sent == Sent::kNobody) {
    SetActive(false);
    return sent;
  }
  const size_t flow_bytes = bytes - message_.subject.size() + config_.deliver_subject.size();
  heartbeat_from_ = now_;
  OnSent();
  if (flow_ != nullptr) CountFlow(static_cast<int64_t>(flow_bytes));
  return sent;
}

Sent Consumer::SendToPull(std::string_view ack_subject, size_t bytes) {
  MR_DCHECK(!is_push());
  while (PullRequest* request = NextRequest(bytes)) {
    if (pin_ != nullptr) AddPinHeader();
    const Sent sent = Publish(request->reply, ack_subject);
    if (sent == Sent::kNobody) {
      waiting_.RemoveFirst();  // its client is gone
      if (pin_ == nullptr) continue;
      // The next one may be told another pin: read the message again.
      edited_.clear();
      if (log_.Load(message_.seq, &message_) != LoadStatus::kFound) return Sent::kNobody;
      if (config_.headers_only) MakeHeadersOnly();
      continue;
    }
    MR_DCHECK(request == waiting_.first());
    last_request_ = now_;
    // What the log may take away with OnAcked is not needed any more.
    OnSent();
    OnTaken(request);
    return sent;
  }
  return Sent::kNobody;
}

void Consumer::OnSent() {
  const uint64_t seq = message_.seq;
  last_delivered_ns_ = wall_ns_;
  if (deliveries_ != 1) {
    MR_DCHECK(redeliveries_.front() == seq);
    redeliveries_.PopFront();
    state_.Redeliver(seq, wall_ns_);
    return;
  }
  MR_DCHECK(seq >= next_seq_ || skip_list_ != nullptr);
  next_seq_ = seq + 1;
  --num_pending_;
  if (skip_list_ != nullptr) {
    MR_DCHECK(!skip_list_->done() && skip_list_->seqs[skip_list_->next] == seq);
    ++skip_list_->next;
    if (skip_list_->done()) {
      next_seq_ = std::max(next_seq_, skip_list_->resume + 1);
      skip_list_.reset();
    }
  }
  state_.Deliver(seq, wall_ns_);
  if (config_.ack_policy == AckPolicy::kNone && reports_acks_) host_.OnAcked(this, seq);
}

// The header block of message_ with a line more, and no body unless it is kept.
void Consumer::MakeHeadersOnly() {
  MR_DCHECK(message_.header_bytes <= message_.payload.size());
  const size_t body_bytes = message_.payload.size() - message_.header_bytes;
  edited_.assign(message_.header_bytes == 0 ? kHeaderLine : message_.header());
  if (message_.header_bytes != 0) edited_.resize(edited_.size() - 2);
  char digits[kDecimalBytesMax];
  edited_.append(kMsgSizeHeader).append(": ");
  edited_.append(digits, static_cast<size_t>(AppendDecimal(digits, body_bytes) - digits)).append("\r\n\r\n");
  message_.payload = edited_;
  message_.header_bytes = static_cast<uint32_t>(edited_.size());
}

void Consumer::AddPinHeader() {
  std::string payload(message_.header_bytes == 0 ? kHeaderLine : message_.header());
  if (message_.header_bytes != 0) payload.resize(payload.size() - 2);
  payload.append(kPinIdHeader).append(": ").append(pin_->id).append("\r\n\r\n");
  const auto header_bytes = static_cast<uint32_t>(payload.size());
  payload.append(message_.body());
  edited_.swap(payload);
  message_.payload = edited_;
  message_.header_bytes = header_bytes;
}

}  // namespace millrace
