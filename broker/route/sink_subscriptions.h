// SPDX-License-Identifier: Apache-2.0
// SinkSubscriptions: what the sinks of one shard subscribe to, with what they hear of other accounts: what their
//                    accounts import reaches a sink as it reaches a client (shadows.h). Service imports are no streams.
// Owner:  shard. All are unsubscribed before it ends.
// Use:    a sink sees its own subscription and its own account, wherever a message comes from. It may be changed
//         (Subscription::sink) at any time.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/account/account_views.h"
#include "broker/route/interest.h"
#include "broker/route/shadows.h"

namespace millrace {

class SinkSubscriptions {
 public:
  explicit SinkSubscriptions(Interest& interest) : interest_(interest), shadows_(interest) {}
  ~SinkSubscriptions() { MR_CHECK(relays_.empty()); }
  SinkSubscriptions(const SinkSubscriptions&) = delete;
  SinkSubscriptions& operator=(const SinkSubscriptions&) = delete;

  // Not from inside of a delivery.
  Subscription* Subscribe(AccountId account, std::string_view filter, Sink* sink);
  void Unsubscribe(Subscription* subscription);

  // Imports of all accounts from now on; they live until the next call. Belongs behind Router::set_stream_imports.
  void Adopt(const AccountViews& views);

  size_t size() const { return relays_.size(); }
  size_t shadows() const { return shadows_.size(); }

 private:
  // In the place of a sink, for its shadows: the sink need not know that it has some.
  class Relay final : public Sink {
   public:
    Relay(const SinkSubscriptions& all, const Subscription& to) : all_(all), to_(to) {}
    bool Deliver(const Subscription& shadow, const Message& message) override;
    bool DeliverTraced(const Subscription& shadow, const Message& message) override;

   private:
    const SinkSubscriptions& all_;
    const Subscription& to_;
  };

  uint32_t VersionOf(AccountId account) const { return account < versions_.size() ? versions_[account] : 0; }
  // Makes the shadows anew.
  void Follow(const Subscription& subscription, std::unique_ptr<Relay>* relay);

  Interest& interest_;
  const AccountViews* views_ = nullptr;
  std::vector<uint32_t> versions_;  // of stream imports, by AccountId, that the shadows are of
  Shadows shadows_;
  absl::flat_hash_map<const Subscription*, std::unique_ptr<Relay>> relays_;  // nullptr: it has no shadow
};

}  // namespace millrace
