// SPDX-License-Identifier: Apache-2.0
// Goal: lame duck mode tells clients to go when nobody can come any more and the store is no longer ours, or will not
//       be; a stop ends when all shards have said so, and at the latest when its time is over.
// Method: a Shutdown with a mesh of two shards that the test answers for, and a clock that it moves.
#include "broker/control/shutdown.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "broker/admin.h"
#include "proto/base/bytes.h"

namespace millrace {
namespace {

using State = Shutdown::State;
using Type = Parcel::Type;

struct World final : ShutdownHost {
  World() {
    settings.lame_duck_duration = std::chrono::seconds(30);
    settings.lame_duck_grace_period = std::chrono::seconds(10);
  }
  ~World() override {
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) Sent(shard);  // a parcel belongs to who gets it
  }

  const Options& options() const override { return settings; }
  void AnnounceLameDuck() override { ++announced; }
  void StopServing() override { ++unserved; }
  void OnAllStopped() override { ++all_stopped; }
  [[noreturn]] void GiveUp() override {
    std::fputs("given up\n", stderr);
    std::_Exit(1);
  }

  void Advance(Nanos by) {
    now += by;
    timers.Expire(now);
  }
  // What has been sent to a shard since the last call.
  std::vector<Type> Sent(uint32_t shard) {
    mesh.port(mesh.control()).Ship([](uint32_t) {});
    std::vector<Type> types;
    mesh.port(shard).Drain([&types](uint32_t, const MailHeader&, const char* body) {
      const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
      types.push_back(parcel->type);
    });
    return types;
  }

  // How many of its clients the shard was told to close since the last call.
  uint64_t ToClose(uint32_t shard) {
    mesh.port(mesh.control()).Ship([](uint32_t) {});
    uint64_t count = 0;
    mesh.port(shard).Drain([&count](uint32_t, const MailHeader&, const char* body) {
      const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
      if (parcel->type == Type::kCloseSome) count += static_cast<const CloseSome&>(*parcel).count;
    });
    return count;
  }

  Options settings;
  Mesh mesh{2, 1 << 16};
  Nanos now{std::chrono::hours(1)};
  TimerWheel timers{now};
  Logger log{[] { return int64_t{0}; }};
  Shutdown shutdown{*this, mesh, timers, log, now};
  int announced = 0;
  int unserved = 0;
  int all_stopped = 0;
};

using Types = std::vector<Type>;

TEST(Shutdown, AStopEndsWhenAllShardsHaveSaidSo) {
  World world;
  world.shutdown.OnRunning();
  world.shutdown.Begin();
  world.shutdown.Begin();
  EXPECT_EQ(world.Sent(0), Types{Type::kStop});
  EXPECT_EQ(world.Sent(1), Types{});
  EXPECT_EQ(world.unserved, 1);
  world.shutdown.OnShardStopped();
  EXPECT_EQ(world.shutdown.state(), State::kStopping);
  EXPECT_EQ(world.all_stopped, 0);
  world.shutdown.OnShardStopped();
  EXPECT_EQ(world.shutdown.state(), State::kStopped);
  EXPECT_EQ(world.all_stopped, 1);
  EXPECT_EQ(world.Sent(0), Types{Type::kExit});
  EXPECT_EQ(world.Sent(1), Types{Type::kExit});
}

TEST(Shutdown, AStopIsGivenUpAfterTenSeconds) {
  World world;
  world.shutdown.OnRunning();
  world.shutdown.Begin();
  world.Sent(0);
  world.Advance(std::chrono::milliseconds(8900));
  EXPECT_EQ(world.Sent(0), Types{});
  world.Advance(std::chrono::milliseconds(200));
  EXPECT_EQ(world.Sent(0), Types{Type::kStopReport});
  EXPECT_EQ(world.Sent(1), Types{Type::kStopReport});
  world.shutdown.OnReport(0, "");
  world.shutdown.OnReport(1, "3 connections");
  world.shutdown.OnReport(2, "nobody");  // the control thread is no shard
  EXPECT_EXIT(world.Advance(std::chrono::seconds(1)), testing::ExitedWithCode(1),
              "waited for: shard 1: 3 connections\n.*given up");
}

TEST(Shutdown, LameDuckModeClosesOneClientAfterTheOther) {
  World world;
  world.shutdown.OnRunning();
  world.mesh.counters(0).connections.Set(1);
  world.mesh.counters(1).connections.Set(3);
  world.shutdown.EnterLameDuck();
  EXPECT_EQ(world.Sent(0), Types{Type::kStopAccepting});
  EXPECT_EQ(world.announced, 0);
  world.shutdown.OnAcceptingStopped();
  EXPECT_EQ(world.announced, 1);
  EXPECT_EQ(world.shutdown.state(), State::kLameDuck);
  world.Advance(std::chrono::milliseconds(9900));
  EXPECT_EQ(world.Sent(1), Types{});
  // After the grace time: of the shard that has the most, at most a second apart, until none is left.
  uint64_t left = 3;
  for (int tenths = 0; left > 1 && tenths < 100; ++tenths) {
    world.Advance(std::chrono::milliseconds(100));
    for (const Type type : world.Sent(1)) {
      EXPECT_EQ(type, Type::kCloseSome);
      world.mesh.counters(1).connections.Set(--left);
    }
  }
  EXPECT_EQ(left, 1u);
  world.mesh.counters(0).connections.Set(0);
  world.mesh.counters(1).connections.Set(0);
  world.Sent(0);
  world.Advance(std::chrono::seconds(2));
  EXPECT_EQ(world.shutdown.state(), State::kStopping);
  EXPECT_EQ(world.Sent(0), Types{Type::kStop});
}

TEST(Shutdown, WithoutClientsLameDuckModeIsAStop) {
  World world;
  world.shutdown.EnterLameDuck();  // not before it runs
  EXPECT_EQ(world.shutdown.state(), State::kStarting);
  world.shutdown.OnRunning();
  world.shutdown.EnterLameDuck();
  world.shutdown.OnAcceptingStopped();
  EXPECT_EQ(world.announced, 0);
  EXPECT_EQ(world.shutdown.state(), State::kStopping);
}

TEST(Shutdown, ClientsAreToldToGoWhenTheStoreIsNoLongerOursOrWillNotBe) {
  for (const bool store_closes : {true, false}) {
    World world;
    world.shutdown.OnJetStreamStarted();
    world.shutdown.OnRunning();
    world.mesh.counters(0).connections.Set(1);
    EXPECT_TRUE(world.shutdown.jetstream_runs());
    world.shutdown.EnterLameDuck();
    EXPECT_FALSE(world.shutdown.jetstream_runs());
    EXPECT_EQ(world.Sent(0), (Types{Type::kStopAccepting, Type::kStopParts}));
    world.shutdown.OnAcceptingStopped();
    EXPECT_EQ(world.announced, 0);
    if (store_closes) {
      world.shutdown.OnJetStreamStopped();
    } else {
      world.Advance(std::chrono::milliseconds(9100));
      EXPECT_EQ(world.Sent(0), Types{Type::kStopReport});
      EXPECT_EQ(world.announced, 0);
      world.Advance(std::chrono::seconds(1));
    }
    EXPECT_EQ(world.announced, 1);
    // A stop of everything has time of its own.
    world.shutdown.Begin();
    world.Sent(0);
    world.Advance(std::chrono::milliseconds(8900));
    EXPECT_EQ(world.Sent(0), Types{});
  }
}

// Both have to be over: that somebody may still come, and that the store is ours.
TEST(Shutdown, ClientsAreNotToldToGoWhileOneMayStillCome) {
  World world;
  world.shutdown.OnJetStreamStarted();
  world.shutdown.OnRunning();
  world.mesh.counters(0).connections.Set(1);
  world.shutdown.EnterLameDuck();
  world.shutdown.OnJetStreamStopped();
  EXPECT_EQ(world.announced, 0);
  world.shutdown.OnAcceptingStopped();
  EXPECT_EQ(world.announced, 1);
  world.shutdown.OnAcceptingStopped();
  EXPECT_EQ(world.announced, 1) << "once";
}

// In what is left of lame_duck_duration all of them go, however many they are; a grace time as long leaves a second.
TEST(Shutdown, AllClientsAreGoneWhenLameDuckModeIsOver) {
  for (const uint64_t clients : {uint64_t{1}, uint64_t{10}, uint64_t{300}, uint64_t{100'000}}) {
    for (const bool all_grace : {false, true}) {
      World world;
      if (all_grace) world.settings.lame_duck_duration = world.settings.lame_duck_grace_period;
      world.shutdown.OnRunning();
      uint64_t left = clients;
      world.mesh.counters(1).connections.Set(left);
      world.shutdown.EnterLameDuck();
      world.shutdown.OnAcceptingStopped();
      ASSERT_EQ(world.announced, 1);
      world.Advance(std::chrono::milliseconds(9990));
      uint64_t most_at_once = 0;
      int ms = 0;
      const int end_ms = (all_grace ? 1000 : 20'000) + 200;
      for (; world.shutdown.state() == State::kLameDuck && ms <= end_ms; ++ms) {
        world.Advance(std::chrono::milliseconds(1));
        const uint64_t closed = std::min(left, world.ToClose(1));
        most_at_once = std::max(most_at_once, closed);
        left -= closed;
        world.mesh.counters(1).connections.Set(left);
      }
      EXPECT_EQ(left, 0u) << clients;
      EXPECT_EQ(world.shutdown.state(), State::kStopping) << clients;
      // Not in one go: they will all come to the next server.
      EXPECT_LE(most_at_once, std::max<uint64_t>(1, clients / 10)) << clients;
      world.Sent(0);
      world.Advance(std::chrono::seconds(3));
      EXPECT_EQ(world.Sent(0), Types{}) << "a stop closes no clients one by one";
    }
  }
}

}  // namespace
}  // namespace millrace
