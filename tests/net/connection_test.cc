// SPDX-License-Identifier: Apache-2.0
// Goal: a connection ends once, whatever is in flight and whoever asks again, and not before its last byte has left
//       where that was wanted.
// Method: a real session behind a FakeIo; all orders of the last results, and every event that may come late.
#include "broker/net/connection.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/net/fake_io.h"
#include "tests/session/sessions.h"

namespace millrace {
namespace {

constexpr int kNoDescriptor = 0x3fffffff;  // nothing can be done to a socket of this number

struct Host final : ConnectionHost {
  void OnClosing(Connection*) override { ++closing; }
  void OnEnded(Connection*) override { ++ended; }
  void OnSlow(Connection*) override { ++slow; }
  void OnBarrier(Connection*) override {}
  void OnStalled(Connection*) override {}
  void OnCongested(Connection*) override {}
  void OnRearm(Connection*) override { ++rearms; }
  void CheckHash(Connection*, std::string, std::string) override {}
  uint64_t Random() override { return 0; }
  int closing = 0;
  int ended = 0;
  int slow = 0;
  int rearms = 0;
};

struct World {
  World() {
    connection.Start(
        std::make_unique<Session>(sessions.shared(0), connection, connection.receiver(), "127.0.0.1", uint16_t{5000}),
        false);
  }
  ~World() {
    connection.End(ClosedReason::kServerShutdown);
    if (io.send != nullptr && io.send->busy()) io.EndSend(-ECANCELED);
    if (io.recv != nullptr && io.recv->busy()) io.EndRecv(ECANCELED);
  }

  // As the end of a turn does.
  void Flush() {
    connection.receiver().dirty = false;
    sessions.shards()[0].router.outlet().dirty().clear();
    connection.Flush();
  }
  // Whatever may still come to it.
  void Disturb() {
    connection.End(ClosedReason::kReadError);
    connection.EndAfterFlush(ClosedReason::kReadError);
    connection.Rearm();
    connection.Pause(Connection::PauseReason::kStall);
    connection.Resume(Connection::PauseReason::kStall);
    connection.OnHashChecked(true);
    Flush();
    sessions.Advance(std::chrono::hours(1));
    timers.Expire(sessions.shared(0).now);
  }

  Sessions sessions{1};
  FakeIo io;
  Host host;
  TimerWheel timers{sessions.shared(0).now};
  ConnectionShared shared{
      .io = io,
      .timers = timers,
      .chunks = sessions.shards()[0].chunks,
      .outlet = sessions.shards()[0].router.outlet(),
      .mesh = sessions.shards()[0].mesh,
      .now = sessions.shared(0).now,
      .wall_ns = sessions.shared(0).wall_ns,
      .limits = {.ping_interval = std::chrono::minutes(2),
                 .auth_timeout = std::chrono::seconds(2),
                 .write_deadline = std::chrono::seconds(10)}};
  Connection connection{shared, host, kNoDescriptor, ConnectionId{0, 0, 5}};
};

TEST(Connection, EndsOnceWhateverIsInFlightAndWhoeverAsksAgain) {
  for (const bool receiving : {false, true}) {
    for (const bool sending : {false, true}) {
      for (const bool send_ends_first : {false, true}) {
        World world;
        world.Flush();
        ASSERT_TRUE(world.io.recv->busy() && world.io.send->busy());
        if (!receiving) world.io.EndRecv(ENOBUFS);
        if (!sending) world.io.EndSend(world.io.send_bytes);

        world.connection.End(ClosedReason::kSlowConsumerPendingBytes);
        const int sends = world.io.sends;
        EXPECT_EQ(world.host.ended, receiving || sending ? 0 : 1);
        world.Disturb();
        EXPECT_EQ(world.host.ended, receiving || sending ? 0 : 1);
        // Data may overtake the end of the receive.
        if (receiving) world.io.Receive("PING\r\n");
        for (const bool send : {send_ends_first, !send_ends_first}) {
          EXPECT_EQ(world.io.closes, world.host.ended);
          if (send && sending) world.io.EndSend(world.io.send_bytes);
          if (!send && receiving) world.io.EndRecv(ECANCELED);
        }
        world.Disturb();
        EXPECT_EQ(world.host.closing, 1);
        EXPECT_EQ(world.host.ended, 1);
        EXPECT_EQ(world.io.shutdowns, 1);
        EXPECT_EQ(world.io.closes, 1);
        EXPECT_EQ(world.io.recvs, 1);
        EXPECT_EQ(world.io.sends, sends);
        EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kSlowConsumerPendingBytes);
      }
    }
  }
}

TEST(Connection, WhatIsInTheOutboxLeavesBeforeAQuietEnd) {
  World world;
  world.Flush();
  world.io.EndSend(1);  // the rest has to wait
  world.connection.EndAfterFlush(ClosedReason::kServerShutdown);
  world.connection.EndAfterFlush(ClosedReason::kReadError);
  EXPECT_FALSE(world.connection.open());
  world.io.EndRecv(ECANCELED);
  world.Flush();
  EXPECT_EQ(world.host.ended, 0);
  const uint64_t rest = world.connection.receiver().outbox.pending_bytes();
  EXPECT_EQ(static_cast<uint64_t>(world.io.send_bytes), rest);
  world.io.EndSend(world.io.send_bytes);
  EXPECT_EQ(world.host.ended, 0);
  world.Flush();
  EXPECT_EQ(world.host.ended, 1);
  EXPECT_EQ(world.host.closing, 1);
  EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kServerShutdown);
}

TEST(Connection, AFlushThatDoesNotEndIsCutAtTheWriteDeadline) {
  World world;
  world.Flush();
  world.connection.EndAfterFlush(ClosedReason::kServerShutdown);
  world.io.EndRecv(ECANCELED);
  world.sessions.Advance(std::chrono::hours(1));
  world.timers.Expire(world.sessions.shared(0).now);
  EXPECT_EQ(world.io.shutdowns, 1);
  EXPECT_EQ(world.host.ended, 0);
  world.io.EndSend(-EPIPE);
  EXPECT_EQ(world.host.ended, 1);
  EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kServerShutdown);
}

TEST(Connection, APeersEndCountsBehindWhatItHasSent) {
  World world;
  world.Flush();
  world.io.EndSend(world.io.send_bytes);
  world.io.Receive("PING\r\n");
  world.connection.Pause(Connection::PauseReason::kStall);
  world.io.Receive("PING\r\n");
  world.io.recv->Finish(IoResult{0, false, {}});
  EXPECT_TRUE(world.connection.open());
  world.connection.Resume(Connection::PauseReason::kStall);
  EXPECT_FALSE(world.connection.open());
  EXPECT_EQ(TakeBytes(&world.connection.receiver().outbox), "PONG\r\nPONG\r\n");
  EXPECT_EQ(world.io.recvs, 1);
  world.Flush();
  EXPECT_EQ(world.host.ended, 1);
}

TEST(Connection, IsNotFreedBeforeItHasEnded) {
  const auto free_it_open = [] {
    World world;
    Connection connection(world.shared, world.host, kNoDescriptor, ConnectionId{0, 1, 6});
  };
  EXPECT_DEATH(free_it_open(), "check failed");
}

}  // namespace
}  // namespace millrace
