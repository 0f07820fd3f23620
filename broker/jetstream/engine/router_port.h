// SPDX-License-Identifier: Apache-2.0
// RouterPort: JetStream's way out of its shard (route/route_port.h), and who it has to wait for.
// Owner:  shard.
#pragma once

#include <string_view>

#include "broker/jetstream/base/port.h"
#include "broker/part.h"
#include "broker/route/route_port.h"

namespace millrace {

class RouterPort final : public JetStreamPort {
 public:
  explicit RouterPort(PartHost host);

  Nanos Now() override { return host_.now; }
  int64_t WallNs() override { return host_.wall_ns; }
  Nanos Clock() override { return host_.clock ? host_.clock() : host_.now; }
  uint64_t Random() override { return host_.random(); }
  TimerWheel& timers() override { return host_.timers; }
  LogPort& log() override { return host_.log; }
  Sent Publish(const Outgoing& message) override;
  void DeliverKept() override;
  bool HasInterest(AccountId account, std::string_view subject) override {
    return route_.HasInterest(account, subject);
  }
  bool HasSubscription(AccountId account, std::string_view filter, std::string_view group) override {
    return router_.interest().HasSubscription(account, filter, group);
  }
  void StallPublisher(const Message& message) override;
  uint64_t InterestEpoch() override { return router_.interest().epoch(); }
  Subscription* Subscribe(AccountId account, std::string_view filter, Sink* sink) override {
    return host_.subscriptions.Subscribe(account, filter, sink);
  }
  void Unsubscribe(Subscription* subscription) override { host_.subscriptions.Unsubscribe(subscription); }

  // Another shard says that what we send there piles up.
  void OnRemoteStall();
  ConnectionId congested_by() const override { return origin_.stalled_by; }
  bool Relieved(const ConnectionId& by) const override;

 private:
  const PartHost host_;
  Router& router_;
  Receiver origin_;  // stands for JetStream as a publisher; nothing is ever sent to it
  RoutePort route_;
  Nanos remote_stall_until_{0};
  bool sinks_stall_ = false;  // what was kept last was too much for the disk
};

}  // namespace millrace
