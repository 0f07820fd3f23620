// SPDX-License-Identifier: Apache-2.0
// Scenario: one kind of load. Each reads its own flags, runs, prints one JSON line and returns the exit status.
// Owner:  caller.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/client.h"
#include "bench/load/flags.h"
#include "bench/load/ledger.h"
#include "bench/load/message_shape.h"
#include "bench/load/report.h"
#include "bench/load/ring.h"

namespace millrace::bench {

inline constexpr uint64_t kTurnWaitNs = 100'000'000;
inline constexpr int kExitClean = 0;
inline constexpr int kExitIncorrect = 2;  // lost, duplicated, disordered or malformed messages

// What every scenario is given.
struct Setup {
  Flags* flags;
  Target target;
  Target receivers;  // of subscribers, members and responders: --to-user, --to-password; else the same
  pid_t server_pid = 0;
  bool progress = false;
  uint64_t stall_ns = 0;  // without any progress for so long the run is given up

  // Receive buffers: few and big for few connections, many and small for many; --recv-bytes, --recv-buffers.
  Ring::Options RingFor(uint64_t connections) const;
  // --size --headers --subject --subjects.
  MessageShape::Options Shape(size_t payload_bytes) const;
  // The same where it is received: --to-subject, behind an import or a mapping.
  MessageShape::Options ReceivedShape(size_t payload_bytes) const;
};

int RunPub(Setup& setup);
int RunFanout(Setup& setup);
int RunQueue(Setup& setup);
int RunOpen(Setup& setup);
int RunFair(Setup& setup);
int RunRequest(Setup& setup);
int RunStore(Setup& setup);
int RunChurn(Setup& setup);
int RunConnect(Setup& setup);
int RunIdle(Setup& setup);

// Progress: the line on stderr, and the watch over runs that hang.
class Progress {
 public:
  Progress(const Setup& setup, std::string unit, uint64_t goal);

  // Cheap enough for every turn. False when nothing has moved for too long.
  bool Tick(uint64_t done);
  void Finish();

 private:
  void Print(uint64_t done, uint64_t now_ns);

  const bool enabled_;
  const uint64_t stall_ns_;
  const std::string unit_;
  const uint64_t goal_;  // 0: unknown
  uint64_t next_ns_ = 0;
  uint64_t last_done_ = 0;
  uint64_t moved_ns_ = 0;
  uint64_t printed_done_ = 0;
  uint64_t printed_ns_ = 0;
  uint32_t skip_ = 0;
};

// After the measured phase: a PING behind everything, so that a message too many is seen too.
template <typename Clients>
void Barrier(Ring* ring, Clients& clients, uint64_t patience_ns) {
  std::vector<uint64_t> before;
  for (auto& client : clients) {
    before.push_back(client->pongs());
    client->Ping();
  }
  const uint64_t deadline = NowNs() + patience_ns;
  const auto waiting = [&] {
    for (size_t i = 0; i < clients.size(); ++i) {
      if (clients[i]->pongs() == before[i]) return true;
    }
    return false;
  };
  while (waiting() && NowNs() < deadline) ring->RunOnce(kTurnWaitNs);
}

// The part of the JSON line that says whether all arrived; the exit status to return.
int ReportCounts(JsonLine* line, const DeliveryCounts& counts, uint64_t bad_frames);

}  // namespace millrace::bench
