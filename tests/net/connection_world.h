// SPDX-License-Identifier: Apache-2.0
// ConnectionWorld: a connection on a FakeIo, with the host, clock and router that it needs; a test starts it.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <cerrno>
#include <string>

#include "broker/net/connection.h"
#include "tests/net/fake_io.h"
#include "tests/session/sessions.h"

namespace millrace {

inline constexpr int kNoDescriptor = 0x3fffffff;  // nothing can be done to a socket of this number

struct CountingHost final : ConnectionHost {
  void OnClosing(Connection*) override { ++closing; }
  void OnEnded(Connection*) override { ++ended; }
  void OnSlow(Connection*) override { ++slow; }
  void OnBarrier(Connection*) override {}
  void OnStalled(Connection*) override { ++stalled; }
  void OnCongested(Connection*) override {}
  void OnRearm(Connection*) override { ++rearms; }
  void OnQuestion(Connection*, Question) override { ++questions; }
  void OnPostponed(Connection*) override { ++postponed; }
  void OnWithdrawn(Connection*) override { ++withdrawn; }
  uint64_t Random() override { return 0; }
  int closing = 0;
  int ended = 0;
  int slow = 0;
  int stalled = 0;
  int rearms = 0;
  int questions = 0;
  int postponed = 0;
  int withdrawn = 0;
};

struct ConnectionWorld {
  // Whatever is in flight ends as well.
  void EndConnection() {
    connection.End(ClosedReason::kServerShutdown);
    if (io.send != nullptr && io.send->busy()) io.EndSend(-ECANCELED);
    if (io.recv != nullptr && io.recv->busy()) io.EndRecv(ECANCELED);
  }

  Sessions sessions{1};
  FakeIo io;
  CountingHost host;
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

}  // namespace millrace
