// SPDX-License-Identifier: Apache-2.0
// SpinPolicy: whether a shard that has nothing to do polls for a while before it sleeps.
// Owner:  shard.  Pure: it is told what each wait brought and reads no clock.
// Rule:   polling must make work come sooner. Clients that wait for our answer send the next request the sooner the
//         sooner they get it; a client that sends by its own clock does not, and polling for it only burns the core. So
//         time per message is measured asleep and polling, in phases of some waits, and polling stays while it is the
//         quicker of both by kGain.
// Bounds: a wait polls spin_max at most; kMissesMax waits in a row that polled in vain end it, so an idle shard does
//         not poll. Trials that fail become rarer, up to one phase in kBackoffMax; looking at sleep again costs
//         kSleepWaits of kSpinPhasesMax * kSpinWaits waits, few enough to leave the 99th percentile alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "proto/base/nanos.h"

namespace millrace {

class SpinPolicy {
 public:
  static constexpr uint32_t kSleepWaits = 64;
  static constexpr uint32_t kSpinWaits = 128;
  static constexpr uint32_t kSpinPhasesMin = 16;
  static constexpr uint32_t kSpinPhasesMax = 128;
  static constexpr uint32_t kBackoffMin = 4;
  static constexpr uint32_t kBackoffMax = 128;
  static constexpr uint32_t kMissesMax = 4;
  static constexpr double kGain = 0.88;

  explicit SpinPolicy(Nanos spin_max) : spin_max_(spin_max) {}

  // How long the next wait may poll; 0: it sleeps at once.
  Nanos budget() const { return spinning_ ? spin_max_ : Nanos{0}; }

  // A wait is over: `period` after the one before, with `messages` in and out between. `missed`: it polled in vain.
  void OnWait(Nanos period, uint64_t messages, bool missed) {
    if (spin_max_ == Nanos{0}) return;
    misses_ = missed ? misses_ + 1 : 0;
    if (misses_ >= kMissesMax) return GiveUp();
    since_message_ += period;
    if (messages == 0) return;
    // A long wait, for a client that was preempted or had nothing to say, tells nothing about either way of waiting.
    const Nanos took = std::exchange(since_message_, Nanos{0});
    if (took > 4 * spin_max_) return;
    time_ += took;
    messages_ += messages;
    if (++waits_ < (spinning_ ? kSpinWaits : kSleepWaits)) return;
    const double per_wait = static_cast<double>(time_.count()) / waits_;
    const double per_message = static_cast<double>(time_.count()) / static_cast<double>(messages_);
    spinning_ ? EndSpinPhase(per_message) : EndSleepPhase(per_message, per_wait);
    StartPhase();
  }

 private:
  void StartPhase() {
    waits_ = 0;
    time_ = Nanos{0};
    messages_ = 0;
  }

  void EndSleepPhase(double per_message, double per_wait) {
    asleep_ = per_message;
    if (until_trial_ > 0) --until_trial_;
    if (until_trial_ > 0 || per_wait > 2.0 * static_cast<double>(spin_max_.count())) return;
    spinning_ = true;
    phases_ = 0;
  }

  void EndSpinPhase(double per_message) {
    if (per_message > kGain * asleep_) return GiveUp();
    backoff_ = kBackoffMin;
    if (++phases_ < phases_until_sleep_) return;
    phases_until_sleep_ = std::min(phases_until_sleep_ * 2, kSpinPhasesMax);
    spinning_ = false;
    until_trial_ = 1;
  }

  void GiveUp() {
    if (spinning_ && phases_ == 0) backoff_ = std::min(backoff_ * 2, kBackoffMax);
    phases_until_sleep_ = kSpinPhasesMin;
    spinning_ = false;
    until_trial_ = backoff_;
    misses_ = 0;
    StartPhase();
  }

  const Nanos spin_max_;
  bool spinning_ = false;
  uint32_t waits_ = 0;  // of this phase, as the next two
  Nanos time_{0};
  uint64_t messages_ = 0;
  Nanos since_message_{0};
  uint32_t misses_ = 0;       // in a row
  uint32_t phases_ = 0;       // that polling has been good for
  uint32_t phases_until_sleep_ = kSpinPhasesMin;
  uint32_t until_trial_ = 1;  // phases asleep
  uint32_t backoff_ = kBackoffMin;
  double asleep_ = 0;  // ns per message, last time
};

}  // namespace millrace
