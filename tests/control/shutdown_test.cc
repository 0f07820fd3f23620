// SPDX-License-Identifier: Apache-2.0
// Goal: lame duck mode tells clients to go when nobody can come any more and the store is no longer ours, or will not
//       be; a stop ends when all shards have said so, and at the latest when its time is over.
// Method: a Shutdown with a mesh of two shards that the test answers for, and a clock that it moves.
#include "broker/control/shutdown.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace millrace
