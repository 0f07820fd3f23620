// SPDX-License-Identifier: Apache-2.0
#include "broker/route/sink_subscriptions.h"

#include <string>
#include <utility>

#include "broker/route/trace.h"
#include "proto/base/check.h"

namespace millrace {

bool SinkSubscriptions::Relay::Deliver(const Subscription&, const Message& message) {
  Message local = message;
  local.account = to_.account;
  return to_.sink->Deliver(to_, local);
}

bool SinkSubscriptions::Relay::DeliverTraced(const Subscription& shadow, const Message& message) {
  MessageTrace& trace = *message.trace;
  trace.events.push_back({.kind = TraceEvent::Kind::kStreamExport,
                          .wall_ns = trace.wall_ns,
                          .account = to_.account,
                          .to = std::string(message.subject)});
  Message local = message;
  local.account = to_.account;
  if (all_.views_->stream_imports()[shadow.import - 1]->allow_trace) return to_.sink->DeliverTraced(to_, local);
  if (trace.only) return true;
  local.trace = nullptr;
  return to_.sink->Deliver(to_, local);
}

Subscription* SinkSubscriptions::Subscribe(AccountId account, std::string_view filter, Sink* sink) {
  MR_DCHECK(sink != nullptr);
  Subscription* subscription = Subscription::Create(account, nullptr, sink, filter, "", "");
  interest_.Insert(subscription);
  std::unique_ptr<Relay>& relay = relays_[subscription];
  if (views_ != nullptr && !(*views_)[account].stream_imports.empty()) [[unlikely]]
    Follow(*subscription, &relay);
  return subscription;
}

void SinkSubscriptions::Unsubscribe(Subscription* subscription) {
  const auto at = relays_.find(subscription);
  MR_CHECK(at != relays_.end());
  shadows_.Remove(*subscription);
  relays_.erase(at);
  interest_.Remove(subscription);
}

void SinkSubscriptions::Follow(const Subscription& subscription, std::unique_ptr<Relay>* relay) {
  if (*relay == nullptr) *relay = std::make_unique<Relay>(*this, subscription);
  shadows_.Replace(subscription, (*views_)[subscription.account], relay->get());
  if (!shadows_.has(subscription)) relay->reset();
}

void SinkSubscriptions::Adopt(const AccountViews& views) {
  views_ = &views;
  for (auto& [subscription, relay] : relays_) {
    const uint32_t version = views[subscription->account].streams_version;
    if (version != VersionOf(subscription->account)) Follow(*subscription, &relay);
  }
  versions_.resize(views.end());
  for (AccountId id = 0; id < views.end(); ++id) versions_[id] = views[id].streams_version;
}

}  // namespace millrace
