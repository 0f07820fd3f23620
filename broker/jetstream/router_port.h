// SPDX-License-Identifier: Apache-2.0
// RouterPort: JetStream's way out of its shard, through the router like everybody's.
// Owner:  shard.
#pragma once

#include <functional>
#include <string>

#include "broker/jetstream/port.h"
#include "broker/route/router.h"

namespace millrace {

// Under this slot mail names JetStream where it would name a connection.
inline constexpr uint32_t kJetStreamSlot = UINT32_MAX;

class RouterPort final : public JetStreamPort {
 public:
  // What the shard knows and the port does not: clocks of the turn, and whether the receiver that caused congestion has
  // drained (or gone).
  struct Shard {
    const Nanos& now;
    const int64_t& wall_ns;
    std::function<uint64_t()> random;
    std::function<bool(const ConnectionId&)> relieved;
    std::function<Nanos()> clock = nullptr;  // as it is; absent: that of the turn
  };
  RouterPort(Router& router, ChunkPool& chunks, TimerWheel& timers, LogPort& log, Shard shard);

  Nanos Now() override { return shard_.now; }
  int64_t WallNs() override { return shard_.wall_ns; }
  Nanos Clock() override { return shard_.clock ? shard_.clock() : shard_.now; }
  uint64_t Random() override { return shard_.random(); }
  TimerWheel& timers() override { return timers_; }
  LogPort& log() override { return log_; }
  Sent Publish(const Outgoing& message) override;
  void DeliverKept() override;
  bool HasInterest(AccountId account, std::string_view subject) override {
    return router_.interest().HasInterest(account, subject);
  }
  bool HasSubscription(AccountId account, std::string_view filter, std::string_view group) override {
    return router_.interest().HasSubscription(account, filter, group);
  }
  void StallPublisher(const Message& message) override;
  uint64_t InterestEpoch() override { return router_.interest().epoch(); }
  Subscription* Subscribe(AccountId account, std::string_view filter, Sink* sink) override;
  void Unsubscribe(Subscription* subscription) override { router_.interest().Remove(subscription); }

  // Another shard says that what we send there piles up.
  void OnRemoteStall();
  ConnectionId congested_by() const override { return origin_.stalled_by; }
  bool Relieved(const ConnectionId& by) const override;

 private:
  const MatchResult& MatchOf(AccountId account, std::string_view subject);

  Router& router_;
  TimerWheel& timers_;
  LogPort& log_;
  const Shard shard_;
  Receiver origin_;  // stands for JetStream as a publisher; nothing is ever sent to it
  Nanos remote_stall_until_{0};
  bool sinks_stall_ = false;  // what was kept last was too much for the disk

  // The last match, which holds while interest stands still: consumers deliver to one inbox many times.
  const MatchResult* match_ = nullptr;
  std::string match_subject_;
  AccountId match_account_ = 0;
  uint64_t match_epoch_ = 0;
};

}  // namespace millrace
