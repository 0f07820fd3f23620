// SPDX-License-Identifier: Apache-2.0
// All deadlines of a consumer on one timer. It is armed for the nearest one or earlier: a deadline that moves away
// costs nothing until the timer fires and finds nothing to do.
#include <algorithm>

#include "broker/jetstream/consumer/consumer.h"
#include "broker/jetstream/consumer/consumer_advise.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr Nanos kHeldRetry = std::chrono::milliseconds(1);

}  // namespace

Nanos Consumer::MonotonicOf(int64_t wall_ns) const {
  const int64_t ahead_ns = wall_ns - port_.WallNs();
  return port_.Now() + Nanos(std::max<int64_t>(ahead_ns, 0));
}

void Consumer::WakeAt(Nanos at) {
  if (at >= timer_at_ || stopped_) return;
  timer_at_ = at;
  port_.timers().Arm(&timer_, at);
}

void Consumer::ArmTimer() {
  Nanos at = std::min({inactive_at_, pause_ends_at_, waiting_deadline_, held_until_});
  if (const int64_t wait = state_.pending().NextDeadline(); wait != PendingSet::kNever) {
    at = std::min(at, MonotonicOf(wait));
  }
  if (config_.idle_heartbeat_ns != 0) at = std::min(at, heartbeat_from_ + Nanos(config_.idle_heartbeat_ns));
  if (pin_ != nullptr && !pin_->id.empty()) at = std::min(at, pin_->expires_at);
  WakeAt(at);
}

void Consumer::OnTimer() {
  MR_DCHECK(began_ && !stopped_ && !publishing_);
  timer_at_ = Nanos::max();
  const Nanos now = port_.Now();
  if (host_.held()) return WakeAt(now + kHeldRetry);
  publishing_ = true;
  if (now >= pause_ends_at_) {
    pause_ends_at_ = Nanos::max();
    AdvisePause();
    Ready();
  }
  if (now >= held_until_) {
    held_until_ = Nanos::max();
    Ready();
  }
  OnWaitsExpired();
  if (now >= waiting_deadline_) ProcessWaiting(at_end_ && !ready_);
  if (config_.idle_heartbeat_ns != 0 && now >= heartbeat_from_ + Nanos(config_.idle_heartbeat_ns)) OnHeartbeat();
  if (pin_ != nullptr && !pin_->id.empty() && now >= pin_->expires_at) {
    ReleasePin(pin_->group, "timeout");
    Ready();
  }
  if (now >= inactive_at_) CheckInactive();
  if (state_.pending().empty()) {
    state_.Shrink();
    redeliveries_.Clear();
  }
  publishing_ = false;
  ArmTimer();
}

void Consumer::OnWaitsExpired() {
  const int64_t now_ns = port_.WallNs();
  if (state_.pending().NextDeadline() > now_ns) return;
  std::vector<uint64_t> expired;
  state_.TakeExpired(now_ns, &expired);
  MR_DCHECK(!expired.empty());
  for (const uint64_t seq : expired) {
    // As in the peer only the first delivery is judged here; later ones when the message is about to be sent again.
    const PendingEntry* entry = state_.pending().Find(seq);
    MR_DCHECK(entry != nullptr && entry->state == PendingEntry::State::kQueued);
    if (max_deliver_ != 0 && std::max(entry->redeliveries, 1u) >= max_deliver_) {
      GiveUp(seq, entry->redeliveries + 1);
    } else {
      redeliveries_.Push(seq);
    }
  }
  Ready();
}

void Consumer::CheckInactive() {
  MR_DCHECK(inactive_threshold_ != Nanos{});
  const Nanos now = port_.Now();
  inactive_at_ = Nanos::max();
  if (is_push()) {
    if (active_) return;
  } else {
    ProcessWaiting(at_end_ && !ready_);
    const Nanos idle_since = last_request_;
    if (!waiting_.empty()) {
      inactive_at_ = now + inactive_threshold_;
      return;
    }
    if (now - idle_since < inactive_threshold_) {
      inactive_at_ = idle_since + inactive_threshold_;
      return;
    }
    // A client may still work on what it got; the count begins when the last ack is due.
    const int64_t wall_ns = port_.WallNs();
    const int64_t latest_ns = state_.pending().LatestDeadline(wall_ns - inactive_threshold_.count());
    if (latest_ns != 0) {
      inactive_at_ = now + Nanos(latest_ns - wall_ns) + inactive_threshold_;
      return;
    }
  }
  host_.Delete(this);
}

void Consumer::OnHeartbeat() {
  MR_DCHECK(config_.idle_heartbeat_ns != 0 && publishing_);
  heartbeat_from_ = port_.Now();
  if (!is_push() || !active_ || answers_due_ > 0) return;
  SendHeartbeat(config_.deliver_subject);
  // An answer to flow control is what acknowledges: ask for it at the end of the stream as well.
  const bool acks_by_flow = config_.ack_policy == AckPolicy::kFlowControl && flow_ != nullptr;
  if (acks_by_flow && !state_.pending().empty() && flow_->id.empty()) SendFlowControl();
}

}  // namespace millrace
