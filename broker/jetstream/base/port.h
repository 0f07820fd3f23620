// SPDX-License-Identifier: Apache-2.0
// JetStreamPort: what JetStream asks of the shard it lives on. The shard's adapter implements it; tests have a fake.
// Owner:  shard.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/io/timer_wheel.h"
#include "broker/log/log.h"
#include "broker/route/subscription.h"
#include "proto/base/nanos.h"

namespace millrace {

// A message on its way out. Views live until Publish returns.
struct Outgoing {
  AccountId account = kNoAccount;
  std::string_view deliver_to;  // who gets it: subscribers of this subject
  std::string_view subject;     // what the message says; empty: deliver_to
  std::string_view reply;
  std::string_view payload;     // header block, if any, and body
  uint32_t header_bytes = 0;
};

enum class Sent : uint8_t {
  kNobody,     // no interest
  kDelivered,
  kCongested,  // delivered, and a receiver is above its high-water mark: pause until OnRelieved or a later turn
};

class JetStreamPort {
 public:
  virtual ~JetStreamPort() = default;

  virtual Nanos Now() = 0;       // of this turn
  virtual int64_t WallNs() = 0;  // of this turn
  virtual Nanos Clock() { return Now(); }  // as it is, in the middle of a turn
  virtual uint64_t Random() = 0;
  virtual TimerWheel& timers() = 0;
  virtual LogPort& log() = 0;

  // Not from inside Sink::Deliver. No sink is called meanwhile, so nothing that JetStream has moves under what it
  // publishes: its own streams and requests get theirs in DeliverKept.
  virtual Sent Publish(const Outgoing& message) = 0;
  // After what has published, in the same turn.
  virtual void DeliverKept() {}
  // What the last kCongested waits for, and whether that has passed.
  virtual ConnectionId congested_by() const { return {}; }
  virtual bool Relieved(const ConnectionId& by) const { return true; }
  virtual bool HasInterest(AccountId account, std::string_view subject) = 0;
  // The publisher of a message that a sink was handed should pause: the disk cannot keep up.
  virtual void StallPublisher(const Message& message) {}
  // Somebody has subscribed to exactly this filter, in this group (empty: in none).
  virtual bool HasSubscription(AccountId account, std::string_view filter, std::string_view group) = 0;
  // Moves with every change of interest: what HasInterest said holds while it stands still.
  virtual uint64_t InterestEpoch() = 0;
  // Links a subscription of `sink`; `queue` may be empty. Not from inside Sink::Deliver.
  virtual Subscription* Subscribe(AccountId account, std::string_view filter, Sink* sink) = 0;
  virtual void Unsubscribe(Subscription* subscription) = 0;
};

}  // namespace millrace
