// SPDX-License-Identifier: Apache-2.0
#include "broker/route/route_port.h"

#include "proto/base/check.h"

namespace millrace {

const MatchResult& RoutePort::MatchOf(AccountId account, std::string_view subject) {
  Interest& interest = router_.interest();
  const bool repeated = account == match_account_ && subject == match_subject_;
  if (repeated && match_ != nullptr && match_epoch_ == interest.epoch()) return *match_;
  const Interest::Matched matched = interest.Match(account, subject, repeated);
  match_ = matched.lasting ? matched.result : nullptr;
  match_epoch_ = interest.epoch();
  match_account_ = account;
  match_subject_ = subject;
  return *matched.result;
}

bool RoutePort::Publish(Message message) {
  MR_DCHECK(router_.depth() == 0);
  MR_DCHECK(!message.subject.empty() && message.header_bytes <= message.payload.size());
  const MatchResult& match =
      MatchOf(message.account, message.deliver_to.empty() ? message.subject : message.deliver_to);
  if (match.empty()) return false;
  message.origin = origin_;
  message.origin_id = id_;
  return router_.Publish(message, match).delivered;
}

Subscription* RoutePort::Subscribe(AccountId account, std::string_view filter, Sink* sink) {
  Subscription* subscription = Subscription::Create(account, nullptr, sink, filter, "", "");
  router_.interest().Insert(subscription);
  return subscription;
}

}  // namespace millrace
