// SPDX-License-Identifier: Apache-2.0
// RoutePort: how what lives on a shard besides connections publishes into accounts and subscribes in them: through the
//            router, like everybody, and never from inside of a delivery.
// Owner:  shard.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/route/router.h"

namespace millrace {

class RoutePort {
 public:
  // What is published comes from `id`. `origin`: stands for the publisher, and hears there that somebody falls behind;
  // nothing is ever sent to it. nullptr: nobody hears of it.
  RoutePort(Router& router, const ConnectionId& id, Receiver* origin) : router_(router), id_(id), origin_(origin) {}
  RoutePort(const RoutePort&) = delete;
  RoutePort& operator=(const RoutePort&) = delete;

  bool HasInterest(AccountId account, std::string_view subject) {
    return router_.interest().HasInterest(account, subject);
  }
  // To those who are interested, here and on other shards. `message` says everything but where it comes from.
  // False: nobody is.
  bool Publish(Message message);

  // `sink` takes what this filter matches. Not from inside of a delivery.
  Subscription* Subscribe(AccountId account, std::string_view filter, Sink* sink);
  void Unsubscribe(Subscription* subscription) { router_.interest().Remove(subscription); }

 private:
  const MatchResult& MatchOf(AccountId account, std::string_view subject);

  Router& router_;
  const ConnectionId id_;
  Receiver* const origin_;

  // The last match, which holds while interest stands still: one subject is often published to many times.
  const MatchResult* match_ = nullptr;
  std::string match_subject_;
  AccountId match_account_ = kNoAccount;
  uint64_t match_epoch_ = 0;
};

}  // namespace millrace
