// SPDX-License-Identifier: Apache-2.0
// Goal: a shard polls for clients that wait for it, not for those that send by their own clock, and never when idle.
// Method: little models of clients on a clock of their own; what is compared is how many waits polled.
#include "broker/io/spin_policy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Nanos kMax = microseconds(100);
constexpr Nanos kBusy = microseconds(8);    // one turn
constexpr Nanos kWakeUp = microseconds(15);  // what sleeping adds before the turn begins

struct Outcome {
  uint64_t waits = 0;
  uint64_t polled = 0;
  Nanos time{0};
  double share() const { return static_cast<double>(polled) / static_cast<double>(waits); }
};

// A client that answers each of our messages after `think`.
Outcome Wait(SpinPolicy& policy, uint64_t waits, Nanos think) {
  Outcome outcome;
  for (; outcome.waits < waits; ++outcome.waits) {
    const Nanos budget = policy.budget();
    const bool found = budget >= think;
    const Nanos period = kBusy + think + (found ? Nanos{0} : kWakeUp);
    outcome.polled += budget > Nanos{0};
    outcome.time += period;
    policy.OnWait(period, 1, budget > Nanos{0} && !found);
  }
  return outcome;
}

// Messages arrive by a clock of the client's, or at random with the same mean.
Outcome Listen(SpinPolicy& policy, uint64_t waits, Nanos every, bool at_random) {
  SeededRandom random(7);
  Outcome outcome;
  Nanos now{0};
  Nanos arrival{0};
  Nanos ended{0};
  for (; outcome.waits < waits; ++outcome.waits) {
    const Nanos budget = policy.budget();
    uint64_t messages = 0;
    const Nanos woken = std::max(now, arrival) + (arrival - now > budget ? kWakeUp : Nanos{0});
    const bool missed = budget > Nanos{0} && arrival - now > budget;
    for (now = woken; arrival <= now; ++messages) {
      const double unit = static_cast<double>(random.Below(1'000'000) + 1) / 1e6;
      arrival += at_random ? Nanos{static_cast<int64_t>(-std::log(unit) * static_cast<double>(every.count()))} : every;
    }
    outcome.polled += budget > Nanos{0};
    policy.OnWait(now - ended, messages, missed);
    ended = now;
    now += kBusy;
  }
  outcome.time = now;
  return outcome;
}

TEST(SpinPolicy, AClientThatWaitsForUsIsPolledFor) {
  for (const Nanos think : {microseconds(5), microseconds(30), microseconds(80)}) {
    SpinPolicy policy(kMax);
    const Outcome outcome = Wait(policy, 100'000, think);
    EXPECT_GT(outcome.share(), 0.99) << think.count();
  }
}

TEST(SpinPolicy, AClientWithAClockOfItsOwnIsSleptFor) {
  for (const Nanos every : {microseconds(10), microseconds(40), microseconds(90), microseconds(150)}) {
    SpinPolicy regular(kMax);
    EXPECT_LT(Listen(regular, 100'000, every, false).share(), 0.03) << every.count();
    SpinPolicy irregular(kMax);
    EXPECT_LT(Listen(irregular, 400'000, every, true).share(), 0.25) << every.count();
  }
}

TEST(SpinPolicy, WhoGainsLittleIsNotPolledFor) {
  SpinPolicy policy(microseconds(1000));
  EXPECT_LT(Wait(policy, 100'000, microseconds(400)).share(), 0.03);
}

TEST(SpinPolicy, AnIdleShardPollsAFewTimesAndNeverAgain) {
  SpinPolicy policy(kMax);
  ASSERT_GT(Wait(policy, 10'000, microseconds(20)).share(), 0.95);
  EXPECT_LE(Wait(policy, 100'000, milliseconds(5)).polled, SpinPolicy::kMissesMax);
  EXPECT_GT(Wait(policy, 10'000, microseconds(20)).share(), 0.9) << "and begins again with the next client";
}

TEST(SpinPolicy, AClientThatStumblesNowAndThenIsStillPolledFor) {
  SpinPolicy policy(kMax);
  Outcome outcome;
  for (int i = 0; i < 1000; ++i) {
    outcome.polled += Wait(policy, 60, microseconds(20)).polled;
    Wait(policy, 1, milliseconds(3));
  }
  EXPECT_GT(outcome.polled, 30'000u);
}

TEST(SpinPolicy, OffMeansOff) {
  SpinPolicy policy(Nanos{0});
  EXPECT_EQ(Wait(policy, 10'000, microseconds(20)).polled, 0u);
}

}  // namespace
}  // namespace millrace
