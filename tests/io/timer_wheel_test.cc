// SPDX-License-Identifier: Apache-2.0
// Goal: a timer fires once, never early and never more than a tick (1 ms) late, however it is armed, moved and
// cancelled, also from handlers; and NextDeadline never lets its caller oversleep.
// Method: a multimap beside the wheel, a million seeded steps from several starting times, spans of ns to years.
#include "broker/io/timer_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Nanos kTick = milliseconds(1);

class Twins {
 public:
  Twins(Nanos start, uint64_t seed) : now_(start), random_(seed), wheel_(start) {
    for (size_t i = 0; i < kNodes; ++i) {
      nodes_.push_back(std::make_unique<Node>());
      nodes_[i]->twins = this;
      nodes_[i]->timer.Bind<&Node::OnTimer>(nodes_[i].get());
      nodes_[i]->due = due_.end();
    }
  }
  ~Twins() {
    for (const auto& node : nodes_) wheel_.Cancel(&node->timer);
  }

  void Step() {
    const uint64_t draw = random_.Below(8);
    if (draw < 4) {
      Arm(Draw(), now_ + Span(56));
    } else if (draw == 4) {
      Cancel(Draw());
    } else {
      Advance(draw == 5 ? Span(48) : Nanos{static_cast<int64_t>(random_.Below(3'000'000))});
    }
  }

  size_t fired() const { return fired_; }
  bool AnyArmed() const { return !due_.empty(); }
  // As a shard does: sleeps until the wheel says so. Returns the number of sleeps until the first timer fires.
  size_t SleepUntilOneFires() {
    const size_t before = fired_;
    size_t sleeps = 0;
    while (fired_ == before && !testing::Test::HasFailure()) {
      const Nanos wake = wheel_.NextDeadline();
      EXPECT_GT(wake, now_) << "a deadline that has passed already would spin";
      AdvanceTo(wake);
      ++sleeps;
    }
    return sleeps;
  }

 private:
  static constexpr size_t kNodes = 200;
  struct Node {
    TimerNode timer;
    Twins* twins;
    Nanos at;
    std::multimap<Nanos, Node*>::iterator due;
    void OnTimer() { twins->OnFired(this); }
  };

  Node* Draw() { return nodes_[random_.Below(kNodes)].get(); }

  // Below 2^bits_max ns; 56 bits are two years. Every scale is as likely as the next.
  Nanos Span(uint64_t bits_max) {
    const uint64_t bits = random_.Below(bits_max);
    return Nanos{static_cast<int64_t>(random_.Next() >> (63 - bits) >> 1)} - (random_.OneIn(20) ? hours(1) : hours(0));
  }

  void Arm(Node* node, Nanos at) {
    at = std::max(at, Nanos{0});
    wheel_.Arm(&node->timer, at);
    if (node->due != due_.end()) due_.erase(node->due);
    node->at = at;
    node->due = due_.emplace(std::max(at, now_), node);
    EXPECT_TRUE(node->timer.armed());
    if (!expiring_) CheckNextDeadline();
  }

  void Cancel(Node* node) {
    EXPECT_EQ(node->timer.armed(), node->due != due_.end());
    wheel_.Cancel(&node->timer);
    if (node->due != due_.end()) due_.erase(node->due);
    node->due = due_.end();
    EXPECT_FALSE(node->timer.armed());
  }

  void Advance(Nanos by) { AdvanceTo(now_ + std::max(by, Nanos{0})); }
  void AdvanceTo(Nanos to) {
    now_ = to;
    expiring_ = true;
    wheel_.Expire(now_);
    expiring_ = false;
    EXPECT_TRUE(due_.empty() || due_.begin()->first + kTick > now_) << "more than a tick late";
    CheckNextDeadline();
  }

  void CheckNextDeadline() {
    if (due_.empty()) {
      EXPECT_EQ(wheel_.NextDeadline(), Nanos::max());
    } else {
      EXPECT_LE(wheel_.NextDeadline(), due_.begin()->first + kTick);
    }
  }

  void OnFired(Node* node) {
    ++fired_;
    ASSERT_NE(node->due, due_.end()) << "fired without being armed";
    EXPECT_LE(node->at, now_) << "fired early";
    EXPECT_FALSE(node->timer.armed());
    due_.erase(node->due);
    node->due = due_.end();
    switch (random_.Below(6)) {
      case 0:
        return Arm(node, now_ + Span(56));
      case 1:
        return Arm(Draw(), now_ + Span(56));
      case 2:
        return Cancel(Draw());
      default:
        return;
    }
  }

  Nanos now_;
  SeededRandom random_;
  TimerWheel wheel_;
  std::multimap<Nanos, Node*> due_;  // by when it is due, or was armed if that is later
  std::vector<std::unique_ptr<Node>> nodes_;
  size_t fired_ = 0;
  bool expiring_ = false;
};

// Where the wheel's levels turn over, and where nothing special is.
const Nanos kStarts[] = {Nanos{0}, hours(1) + Nanos{123}, milliseconds((int64_t{1} << 24) - 50),
                         milliseconds((int64_t{1} << 36) - 100'000)};

TEST(TimerWheel, FiresAsAMultimapDoes) {
  for (const Nanos start : kStarts) {
    Twins twins(start, static_cast<uint64_t>(start.count()) + 1);
    const size_t steps = Rounds(250'000);
    for (size_t step = 0; step < steps && !HasFailure(); ++step) twins.Step();
    EXPECT_GT(twins.fired(), steps / 20);
  }
}

TEST(TimerWheel, SleepingFromDeadlineToDeadlineMissesNothingAndWakesRarely) {
  for (const Nanos start : kStarts) {
    Twins twins(start, 77);
    for (size_t round = 0; round < 2000 && !HasFailure(); ++round) {
      for (int i = 0; i < 5; ++i) twins.Step();
      EXPECT_TRUE(!twins.AnyArmed() || twins.SleepUntilOneFires() <= 8);
    }
  }
}

struct Recorder {
  TimerNode timer;
  int fired = 0;
  void OnTimer() { ++fired; }
  Recorder() { timer.Bind<&Recorder::OnTimer>(this); }
};

TEST(TimerWheel, ADeadlineBetweenTicksRoundsUp) {
  TimerWheel wheel(milliseconds(10));
  Recorder recorder;
  wheel.Arm(&recorder.timer, milliseconds(12) + Nanos{1});
  EXPECT_EQ(wheel.NextDeadline(), milliseconds(13));
  wheel.Expire(milliseconds(12) + Nanos{999'999});
  EXPECT_EQ(recorder.fired, 0);
  wheel.Expire(milliseconds(13));
  EXPECT_EQ(recorder.fired, 1);
  EXPECT_EQ(wheel.NextDeadline(), Nanos::max());
}

TEST(TimerWheel, ADeadlineThatHasPassedFiresAtTheNextTick) {
  TimerWheel wheel(hours(5));
  Recorder recorder;
  wheel.Arm(&recorder.timer, Nanos{0});
  wheel.Expire(hours(5));
  EXPECT_EQ(recorder.fired, 0);
  wheel.Expire(hours(5) + milliseconds(1));
  EXPECT_EQ(recorder.fired, 1);
}

TEST(TimerWheel, ADeadlineBeyondTheRangeWaitsAtLeastAYear) {
  for (const Nanos start : kStarts) {
    TimerWheel wheel(start);
    Recorder recorder;
    wheel.Arm(&recorder.timer, Nanos::max() - milliseconds(1));
    wheel.Expire(start + hours(24 * 365));
    EXPECT_EQ(recorder.fired, 0);
    wheel.Cancel(&recorder.timer);
  }
}

TEST(TimerWheel, AHandlerMayCancelTheOthersOfItsTick) {
  struct Pair {
    TimerWheel wheel{Nanos{0}};
    TimerNode a, b;
    int fired = 0;
    Pair() {
      a.Bind<&Pair::OnA>(this);
      b.Bind<&Pair::OnB>(this);
    }
    void OnA() {
      ++fired;
      wheel.Cancel(&b);
    }
    void OnB() {
      ++fired;
      wheel.Cancel(&a);
    }
  } pair;
  pair.wheel.Arm(&pair.a, milliseconds(3));
  pair.wheel.Arm(&pair.b, milliseconds(3));
  pair.wheel.Expire(milliseconds(5));
  EXPECT_EQ(pair.fired, 1);
  EXPECT_FALSE(pair.a.armed() || pair.b.armed());
}

}  // namespace
}  // namespace millrace
