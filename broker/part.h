// SPDX-License-Identifier: Apache-2.0
// ShardPart: what lives on a shard besides its connections: JetStream, and what is to come. It publishes and subscribes
//            as everybody does (route/), takes mail under its PartId, and has its share of every turn. The shard knows
//            no more of it, and calls nothing of it from inside a delivery.
// Owner:  shard.
// States (event -> next):
//   running    StartStop -> stopping: takes nothing new; what it has taken is ended in its turns. Lame duck mode is no
//              stop for a part that serves in it
//   stopping   StepStop says true -> the shard destroys it at once
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/io/timer_wheel.h"
#include "broker/log/log.h"
#include "broker/mesh/mail.h"
#include "broker/monitor/part_answer.h"
#include "broker/route/router.h"
#include "broker/route/sink_subscriptions.h"

namespace millrace {

// What a part uses of its shard. The shard outlives it.
struct PartHost {
  Router& router;
  SinkSubscriptions& subscriptions;
  ChunkPool& chunks;
  TimerWheel& timers;
  LogPort& log;
  const Nanos& now;        // of the turn
  const int64_t& wall_ns;  // of the turn, ns since 1970
  std::function<uint64_t()> random;
  // The receiver that caused congestion has drained, or is gone; or it is another shard's, which nobody here knows.
  std::function<bool(const ConnectionId&)> relieved;
  std::function<Nanos()> clock = nullptr;  // as it is; absent: that of the turn
};

// What the control thread sends to a part; the part knows which one it is.
struct PartMail {
  virtual ~PartMail() = default;
};

class ShardPart {
 public:
  virtual ~ShardPart() = default;

  virtual PartId id() const = 0;
  // After completions and timers. True: there is more to do, and the shard does not sleep.
  virtual bool RunTurn() = 0;
  // When a turn is wanted though nothing happens; Nanos::max(): never.
  virtual Nanos NextTick() const = 0;
  virtual void OnMail(std::unique_ptr<PartMail> mail) = 0;
  // What it sends to another shard piles up there.
  virtual void OnStall() = 0;
  // Writes what it has to say to `*answer`, and calls `done`: at once, or in a later turn. `*answer` lives until then.
  virtual void Describe(const PartQuestion& question, PartAnswer* answer, std::function<void()> done) = 0;

  virtual bool ServesLameDuck() const { return false; }
  virtual void StartStop() = 0;  // more than once as well
  // At the end of every turn. True: nothing of it is left, and no mail that it has sent will be answered to it.
  virtual bool StepStop() = 0;
  virtual std::string StopWaitsFor() const = 0;  // for the log, of a stop that does not come to its end
};

}  // namespace millrace
