// SPDX-License-Identifier: Apache-2.0
// Goal: a connection ends once, whatever is in flight and whoever asks again, and not before its last byte has left
//       where that was wanted; what waits in it is bounded, and its timers say what they should, when they should.
// Method: a real session behind a FakeIo; all orders of the last results, and every event that may come late.
#include "broker/net/connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "tests/net/connection_world.h"

namespace millrace {
namespace {

struct World : ConnectionWorld {
  World() {
    connection.Start(
        std::make_unique<Session>(sessions.shared(0), connection, connection.receiver(), "127.0.0.1", uint16_t{5000}),
        false);
  }
  ~World() { EndConnection(); }

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
    connection.OnAnswer(Finding::kYes);
    Flush();
    sessions.Advance(std::chrono::hours(1));
    timers.Expire(sessions.shared(0).now);
  }
};

// Its client's password is to be compared with a hash.
struct AskingWorld : ConnectionWorld {
  AskingWorld() {
    Options options;
    options.users = {User{"a", "$2b$04$abcdefghijklmnopqrstuu1hXAFcmr2CPLqjljXPlXLPQpFji6.EW"}};
    sessions.SetConfig(options);
    auto session = std::make_unique<Session>(sessions.shared(0), connection, connection.receiver(), "127.0.0.1", 5000);
    connection.Start(std::move(session), false);
    io.Receive("CONNECT {\"user\":\"a\",\"pass\":\"x\",\"verbose\":false}\r\nPING\r\n");
    EXPECT_EQ(host.questions, 1);
    EXPECT_TRUE(connection.paused_for(Connection::PauseReason::kAnswer));
  }
  ~AskingWorld() { EndConnection(); }
};

TEST(Connection, InputWaitsForAnAnswerAndGoesOnWithIt) {
  AskingWorld world;
  world.connection.OnAnswer(Finding::kYes);
  EXPECT_FALSE(world.connection.paused_for(Connection::PauseReason::kAnswer));
  EXPECT_TRUE(world.connection.open());
  EXPECT_EQ(world.host.withdrawn, 0);
}

// It may have sent all it had to say, and read on; but probably it has gone.
TEST(Connection, AQuestionOfWhoSendsNothingMoreMayWait) {
  AskingWorld world;
  ASSERT_TRUE(world.io.recv->busy());
  world.io.EndRecv(0);
  EXPECT_EQ(world.host.postponed, 1);
  EXPECT_EQ(world.host.withdrawn, 0);
  EXPECT_TRUE(world.connection.open());
  world.connection.OnAnswer(Finding::kYes);
  EXPECT_FALSE(world.connection.open());  // its PING has had its PONG
  EXPECT_EQ(world.host.withdrawn, 0);
}

TEST(Connection, WhoEndsIsAnotherThanWhoIsResetOrLost) {
  const std::pair<int, ClosedReason> ends[] = {
      {0, ClosedReason::kClientClosed}, {ECONNRESET, ClosedReason::kReadError}, {EIO, ClosedReason::kReadError}};
  for (const auto& [error, reason] : ends) {
    World world;
    world.io.EndRecv(error);
    EXPECT_EQ(world.connection.closed_reason(), reason) << error;
  }
}

TEST(Connection, WhoMayHaveNoRightToBeHereIsHeardALittleOnly) {
  AskingWorld world;
  world.io.Receive(std::string(4000, 'x'));
  EXPECT_EQ(world.io.cancels, 0);
  world.io.Receive(std::string(100, 'x'));
  EXPECT_EQ(world.io.cancels, 1);
}

TEST(Connection, AQuestionGoesWithItsConnection) {
  for (const bool at_once : {false, true}) {
    AskingWorld world;
    if (at_once) {
      world.connection.End(ClosedReason::kClientClosed);
    } else {
      world.connection.EndAfterFlush(ClosedReason::kServerShutdown);
    }
    EXPECT_EQ(world.host.withdrawn, 1);
    world.connection.OnAnswer(Finding::kYes);  // it had been sent already
    EXPECT_EQ(world.host.withdrawn, 1);
    EXPECT_FALSE(world.connection.open());
  }
}

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

constexpr std::string_view kConnect = "CONNECT {\"verbose\":false}\r\n";

TEST(Connection, InputOfAPausedOneIsBounded) {
  World world;
  RouterLimits limits = world.shared.outlet.limits();
  limits.turn_deliveries = 1;
  world.shared.outlet.set_limits(limits);
  world.shared.outlet.BeginTurn();
  world.io.Receive(std::string(kConnect) + "SUB a 1\r\nPUB a 1\r\nx\r\nPUB a 1\r\nx\r\n");
  ASSERT_TRUE(world.connection.paused_for(Connection::PauseReason::kTurn));
  EXPECT_EQ(world.host.rearms, 1);
  // It goes on receiving, but not for ever.
  std::string publishes;
  while (publishes.size() < 60'000) publishes += "PUB b 1\r\nx\r\n";
  size_t received = 0;
  for (; world.io.cancels == 0 && received < (8u << 20); received += publishes.size()) world.io.Receive(publishes);
  EXPECT_GE(received, 100'000u);
  EXPECT_LE(received, (1u << 20) + 2 * publishes.size());
  world.io.EndRecv(ECANCELED);
  limits.turn_deliveries = 1 << 20;
  world.shared.outlet.set_limits(limits);
  world.shared.outlet.BeginTurn();
  world.connection.Rearm();
  EXPECT_FALSE(world.connection.paused_for(Connection::PauseReason::kTurn));
  EXPECT_TRUE(world.io.recv->busy());
  EXPECT_TRUE(TakeBytes(&world.connection.receiver().outbox).ends_with("MSG a 1 1\r\nx\r\nMSG a 1 1\r\nx\r\n"));
  EXPECT_EQ(world.sessions.shards()[0].counters.in_messages.Get(), 2 + received / 12);
}

TEST(Connection, WhoFillsItsBuffersGetsLargeOnes) {
  const std::string full = "PUB a 4082\r\n" + std::string(4082, 'x') + "\r\n";
  ASSERT_EQ(full.size(), 4096u);
  World world;
  const auto size_of_next = [&world] {
    const bool cancelled = std::exchange(world.io.cancels, 0) > 0;
    if (!cancelled) return RecvSize::kSmall;
    world.io.EndRecv(ECANCELED);
    world.connection.Rearm();
    return world.io.recv_size;
  };
  for (int i = 0; i < 3; ++i) {
    world.io.Receive(full);
    EXPECT_EQ(size_of_next(), RecvSize::kSmall);
    world.io.Receive("PING\r\n");  // not twice in a row
    EXPECT_EQ(size_of_next(), RecvSize::kSmall);
  }
  world.io.Receive(full);
  EXPECT_EQ(size_of_next(), RecvSize::kSmall);
  world.io.Receive(full);
  EXPECT_EQ(size_of_next(), RecvSize::kLarge);
}

TEST(Connection, WhoTakesNothingUntilTheWriteDeadlineIsSlow) {
  for (const bool may_stay : {false, true}) {
    for (const bool connected : {false, true}) {
      World world;
      world.shared.limits.slow_may_stay = may_stay;
      if (connected) world.io.Receive(kConnect);
      world.Flush();
      world.sessions.Advance(std::chrono::milliseconds(9900));
      world.timers.Expire(world.sessions.shared(0).now);
      EXPECT_TRUE(world.connection.open());
      EXPECT_EQ(world.host.slow, 0);
      world.sessions.Advance(std::chrono::milliseconds(200));
      world.timers.Expire(world.sessions.shared(0).now);
      EXPECT_FALSE(world.connection.open());
      EXPECT_EQ(world.host.slow, 1);
      EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kSlowConsumerWriteDeadline);
    }
  }
}

TEST(Connection, WhoHasCaughtUpIsWorthWaitingForAgain) {
  World world;
  Receiver& receiver = world.connection.receiver();
  receiver.hopeless = 2;
  const uint64_t caught_up = world.shared.outlet.limits().high_water_bytes / 2;
  receiver.outbox.Append(std::string(2 * caught_up, 'x'));
  while (receiver.outbox.pending_bytes() > caught_up) {
    world.Flush();
    const uint64_t too_much = receiver.outbox.pending_bytes() - caught_up;
    world.io.EndSend(std::min(world.io.send_bytes, static_cast<int32_t>(too_much)));
  }
  EXPECT_EQ(receiver.hopeless, 2);
  world.Flush();
  world.io.EndSend(1);
  EXPECT_EQ(receiver.hopeless, 0);
}

TEST(Connection, AProducerThatIsToPauseIsReportedOnce) {
  World world;
  world.io.Receive(kConnect);
  EXPECT_EQ(world.host.stalled, 0);
  world.connection.receiver().stall_requested = true;
  world.io.Receive("PUB a 1\r\nx\r\n");
  EXPECT_EQ(world.host.stalled, 1);
  world.io.Receive("PUB a 1\r\nx\r\n");
  EXPECT_EQ(world.host.stalled, 1);
}

// Two seconds after CONNECT, or after ping_interval where that is shorter; from then on once in ping_interval.
TEST(Connection, PingsBeginSoonAfterConnect) {
  for (const Nanos interval : {Nanos{std::chrono::milliseconds(500)}, Nanos{std::chrono::minutes(2)}}) {
    World world;
    world.shared.limits.ping_interval = interval;
    world.io.Receive(kConnect);
    TakeBytes(&world.connection.receiver().outbox);
    const Nanos first = std::min(interval, Nanos{std::chrono::seconds(2)});
    const auto heard_after = [&world](Nanos by) {
      world.sessions.Advance(by);
      world.timers.Expire(world.sessions.shared(0).now);
      return TakeBytes(&world.connection.receiver().outbox);
    };
    EXPECT_EQ(heard_after(first - std::chrono::milliseconds(10)), "");
    EXPECT_EQ(heard_after(std::chrono::milliseconds(20)), "PING\r\n");
    world.io.Receive("PONG\r\n");
    EXPECT_EQ(heard_after(interval / 2), "");
    EXPECT_TRUE(world.connection.open());
  }
}

}  // namespace
}  // namespace millrace
