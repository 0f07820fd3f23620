// SPDX-License-Identifier: Apache-2.0
// Goal: a shard polls for clients that wait for it, not for those that send by their own clock, and never when idle; it
//       gathers what the latter send fast, and never where that holds anybody up.
// Method: little models of clients on a clock of their own; what is compared is how many waits polled or gathered.
#include "broker/io/wait_policy.h"

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
constexpr Nanos kGather = microseconds(20);

struct Outcome {
  uint64_t waits = 0;
  uint64_t polled = 0;
  uint64_t gathered = 0;
  Nanos time{0};
  double share() const { return static_cast<double>(polled) / static_cast<double>(waits); }
  double gathered_share() const { return static_cast<double>(gathered) / static_cast<double>(waits); }
};

// A client that answers each of our messages after `think`. It takes `wake_up` to wake us for it.
Outcome Wait(WaitPolicy& policy, uint64_t waits, Nanos think, Nanos wake_up = kWakeUp) {
  Outcome outcome;
  for (; outcome.waits < waits; ++outcome.waits) {
    const Nanos poll = policy.poll();
    const bool found = poll >= think;
    const Nanos period = kBusy + std::max(think, policy.gather()) + (found ? Nanos{0} : wake_up);
    outcome.polled += poll > Nanos{0};
    outcome.gathered += policy.gather() > Nanos{0};
    outcome.time += period;
    policy.OnWait(period, 1, poll > Nanos{0} && !found);
  }
  return outcome;
}

// Messages arrive by a clock of the client's, or at random with the same mean.
Outcome Listen(WaitPolicy& policy, uint64_t waits, Nanos every, bool at_random) {
  SeededRandom random(7);
  Outcome outcome;
  Nanos now{0};
  Nanos arrival{0};
  Nanos ended{0};
  for (; outcome.waits < waits; ++outcome.waits) {
    const Nanos poll = policy.poll();
    const Nanos next = std::max(now + policy.gather(), arrival);
    const bool missed = poll > Nanos{0} && arrival - now > poll;
    const Nanos woken = next + (arrival - now > poll || policy.gather() > Nanos{0} ? kWakeUp : Nanos{0});
    uint64_t messages = 0;
    for (now = woken; arrival <= now; ++messages) {
      const double unit = static_cast<double>(random.Below(1'000'000) + 1) / 1e6;
      arrival += at_random ? Nanos{static_cast<int64_t>(-std::log(unit) * static_cast<double>(every.count()))} : every;
    }
    outcome.polled += poll > Nanos{0};
    outcome.gathered += policy.gather() > Nanos{0};
    policy.OnWait(now - ended, messages, missed);
    ended = now;
    now += kBusy;
  }
  outcome.time = now;
  return outcome;
}

TEST(WaitPolicy, AClientThatWaitsForUsIsPolledFor) {
  for (const Nanos think : {microseconds(5), microseconds(30), microseconds(80)}) {
    WaitPolicy policy(kMax, kGather);
    const Outcome outcome = Wait(policy, 100'000, think);
    EXPECT_GT(outcome.share(), 0.99) << think.count();
  }
}

TEST(WaitPolicy, AClientWithAClockOfItsOwnIsSleptFor) {
  for (const Nanos every : {microseconds(10), microseconds(40), microseconds(90), microseconds(150)}) {
    WaitPolicy regular(kMax, kGather);
    EXPECT_LT(Listen(regular, 100'000, every, false).share(), 0.03) << every.count();
    WaitPolicy irregular(kMax, kGather);
    EXPECT_LT(Listen(irregular, 400'000, every, true).share(), 0.25) << every.count();
  }
}

TEST(WaitPolicy, WhoGainsLittleIsNotPolledFor) {
  WaitPolicy policy(microseconds(1000), kGather);
  EXPECT_LT(Wait(policy, 100'000, microseconds(400)).share(), 0.03);
}

TEST(WaitPolicy, AnIdleShardPollsAFewTimesAndNeverAgain) {
  WaitPolicy policy(kMax, kGather);
  ASSERT_GT(Wait(policy, 10'000, microseconds(20)).share(), 0.95);
  EXPECT_LE(Wait(policy, 100'000, milliseconds(5)).polled, WaitPolicy::kMissesMax);
  EXPECT_GT(Wait(policy, 10'000, microseconds(20)).share(), 0.9) << "and begins again with the next client";
}

TEST(WaitPolicy, AClientThatStumblesNowAndThenIsStillPolledFor) {
  WaitPolicy policy(kMax, kGather);
  Outcome outcome;
  for (int i = 0; i < 1000; ++i) {
    outcome.polled += Wait(policy, 60, microseconds(20)).polled;
    Wait(policy, 1, milliseconds(3));
  }
  EXPECT_GT(outcome.polled, 30'000u);
}

TEST(WaitPolicy, ManyMessagesByTheirOwnClockAreGathered) {
  for (const Nanos poll : {Nanos{0}, kMax}) {
    for (const Nanos every : {microseconds(4), microseconds(8), microseconds(10)}) {
      WaitPolicy regular(poll, kGather);
      EXPECT_GT(Listen(regular, 100'000, every, false).gathered_share(), 0.8) << every.count();
      WaitPolicy irregular(poll, kGather);
      EXPECT_GT(Listen(irregular, 100'000, every, true).gathered_share(), 0.6) << every.count();
    }
  }
}

TEST(WaitPolicy, FewMessagesAreNotGathered) {
  for (const Nanos every : {microseconds(60), microseconds(90), microseconds(150)}) {
    WaitPolicy policy(kMax, kGather);
    EXPECT_EQ(Listen(policy, 100'000, every, false).gathered, 0u) << every.count();
  }
}

TEST(WaitPolicy, WhoWaitsForUsIsNotHeldUp) {
  for (const Nanos poll : {Nanos{0}, kMax}) {
    WaitPolicy policy(poll, kGather);
    EXPECT_LT(Wait(policy, 100'000, microseconds(4), microseconds(4)).gathered_share(), 0.03);
  }
}

TEST(WaitPolicy, OffMeansOff) {
  WaitPolicy policy(Nanos{0}, Nanos{0});
  EXPECT_EQ(Wait(policy, 10'000, microseconds(20)).polled, 0u);
  EXPECT_EQ(Listen(policy, 10'000, microseconds(5), false).gathered, 0u);
}

}  // namespace
}  // namespace millrace
