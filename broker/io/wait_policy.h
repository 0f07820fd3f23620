// SPDX-License-Identifier: Apache-2.0
// WaitPolicy: how a shard that has nothing to do waits: it sleeps, it polls before it sleeps, or it gathers.
// Owner:  shard.  Pure: it is told what each wait brought and reads no clock.
// Rule:   polling must make work come sooner, and gathering must not make it come later. Clients that wait for our
//         answer send the next request the sooner the sooner they get it; a client that sends by its own clock does
//         not: polling for it only burns the core, and waking for each of its messages, when many come, does too. So
//         time per message is measured in each way, in phases of some waits. Polling stays while it is quicker than
//         sleep by kPollGain; gathering, which is tried when polling did not help and a shard wakes more often than
//         every gather_max, stays while it is no slower than by kGatherLoss.
// Bounds: a wait polls poll_max at most, or gathers for gather_max at most; kMissesMax waits in a row that polled in
//         vain end it, so an idle shard does not poll. Trials that fail become rarer, up to one phase in kBackoffMax;
//         looking at sleep again costs kSleepWaits of kPhasesMax * kTrialWaits waits, few enough to leave the 99th
//         percentile alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "proto/base/nanos.h"

namespace millrace {

class WaitPolicy {
 public:
  static constexpr uint32_t kSleepWaits = 64;
  static constexpr uint32_t kTrialWaits = 128;  // of a phase that polls or gathers
  static constexpr uint32_t kPhasesMin = 16;
  static constexpr uint32_t kPhasesMax = 128;
  static constexpr uint32_t kBackoffMin = 4;
  static constexpr uint32_t kBackoffMax = 128;
  static constexpr uint32_t kMissesMax = 4;
  static constexpr double kPollGain = 0.88;
  static constexpr double kGatherLoss = 1.2;

  enum class Mode : uint8_t { kSleep, kPoll, kGather };

  // Either is 0 where it is not to be used.
  WaitPolicy(Nanos poll_max, Nanos gather_max) : poll_max_(poll_max), gather_max_(gather_max) {}

  // What the next wait may do: poll so long before it sleeps; sleep at least so long, whatever arrives.
  Nanos poll() const { return mode_ == Mode::kPoll ? poll_max_ : Nanos{0}; }
  Nanos gather() const { return mode_ == Mode::kGather ? gather_max_ : Nanos{0}; }

  // A wait is over: `period` after the one before, with `messages` in and out between. `missed`: it polled in vain.
  void OnWait(Nanos period, uint64_t messages, bool missed) {
    if (poll_max_ == Nanos{0} && gather_max_ == Nanos{0}) return;
    misses_ = missed ? misses_ + 1 : 0;
    if (misses_ >= kMissesMax) return GiveUp();
    since_message_ += period;
    if (messages == 0) return;
    // A long wait, for a client that was preempted or had nothing to say, tells nothing about any way of waiting.
    const Nanos took = std::exchange(since_message_, Nanos{0});
    if (took > kLongWaits * std::max(poll_max_, gather_max_)) return;
    time_ += took;
    messages_ += messages;
    if (++waits_ < (mode_ == Mode::kSleep ? kSleepWaits : kTrialWaits)) return;
    const double per_wait = static_cast<double>(time_.count()) / waits_;
    const double per_message = static_cast<double>(time_.count()) / static_cast<double>(messages_);
    mode_ == Mode::kSleep ? EndSleepPhase(per_message, per_wait) : EndTrialPhase(per_message);
    StartPhase();
  }

 private:
  static constexpr int kLongWaits = 4;

  // A way of waiting that is tried now and then.
  struct Trial {
    uint32_t until = 1;  // phases asleep
    uint32_t backoff = kBackoffMin;
  };

  // The one under way.
  Trial& trial() { return mode_ == Mode::kPoll ? polling_ : gathering_; }

  void StartPhase() {
    waits_ = 0;
    time_ = Nanos{0};
    messages_ = 0;
  }

  void EndSleepPhase(double per_message, double per_wait) {
    asleep_ = per_message;
    for (Trial* each : {&polling_, &gathering_}) {
      if (each->until > 0) --each->until;
    }
    if (polling_.until == 0 && per_wait <= 2.0 * static_cast<double>(poll_max_.count())) {
      Begin(Mode::kPoll);
    } else if (gathering_.until == 0 && per_wait < static_cast<double>(gather_max_.count())) {
      Begin(Mode::kGather);
    }
  }

  void Begin(Mode mode) {
    if (mode != last_) phases_until_sleep_ = kPhasesMin;
    last_ = mode_ = mode;
    phases_ = 0;
  }

  void EndTrialPhase(double per_message) {
    if (per_message > (mode_ == Mode::kPoll ? kPollGain : kGatherLoss) * asleep_) return GiveUp();
    trial().backoff = kBackoffMin;
    if (++phases_ < phases_until_sleep_) return;
    phases_until_sleep_ = std::min(phases_until_sleep_ * 2, kPhasesMax);
    trial().until = 1;
    mode_ = Mode::kSleep;
  }

  void GiveUp() {
    if (phases_ == 0) trial().backoff = std::min(trial().backoff * 2, kBackoffMax);
    trial().until = trial().backoff;
    phases_until_sleep_ = kPhasesMin;
    mode_ = Mode::kSleep;
    misses_ = 0;
    StartPhase();
  }

  const Nanos poll_max_;
  const Nanos gather_max_;
  Mode mode_ = Mode::kSleep;
  Mode last_ = Mode::kSleep;  // that was tried
  uint32_t waits_ = 0;        // of this phase, as the next two
  Nanos time_{0};
  uint64_t messages_ = 0;
  Nanos since_message_{0};
  uint32_t misses_ = 0;  // in a row
  uint32_t phases_ = 0;  // that the trial has been good for
  uint32_t phases_until_sleep_ = kPhasesMin;
  Trial polling_;
  Trial gathering_;
  double asleep_ = 0;  // ns per message, last time
};

}  // namespace millrace
