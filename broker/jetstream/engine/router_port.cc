// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/router_port.h"

namespace millrace {
namespace {

// How long a stall notice from another shard holds; it says so again while it lasts.
constexpr Nanos kRemoteStall = std::chrono::milliseconds(1);
// Who pauses because the disk cannot keep up pauses for a while: no connection has this shard's number.
constexpr ConnectionId kDisk = ConnectionId::OfPart(UINT32_MAX, PartId::kJetStream);

}  // namespace

RouterPort::RouterPort(PartHost host) : host_(std::move(host)), router_(host_.router), origin_(host_.chunks) {
  origin_.id = ConnectionId::OfPart(router_.mesh().self(), PartId::kJetStream);
}

const MatchResult& RouterPort::MatchOf(AccountId account, std::string_view subject) {
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

Sent RouterPort::Publish(const Outgoing& out) {
  MR_DCHECK(router_.depth() == 0);
  MR_DCHECK(!out.deliver_to.empty() && out.header_bytes <= out.payload.size());
  const MatchResult& match = MatchOf(out.account, out.deliver_to);
  if (match.empty()) return Sent::kNobody;
  Message message;
  message.account = out.account;
  message.subject = out.subject.empty() ? out.deliver_to : out.subject;
  message.deliver_to = out.deliver_to;
  message.reply = out.reply;
  message.payload = out.payload;
  message.header_bytes = out.header_bytes;
  message.origin = &origin_;
  message.origin_id = origin_.id;
  message.sinks_later = true;
  origin_.stall_requested = false;
  const size_t kept = router_.kept();
  if (!router_.Publish(message, match).delivered) return Sent::kNobody;
  if (router_.kept() != kept && sinks_stall_) {
    origin_.stalled_by = kDisk;
    return Sent::kCongested;
  }
  if (origin_.stall_requested) return Sent::kCongested;
  if (router_.Congested() || host_.now < remote_stall_until_) {
    origin_.stalled_by = ConnectionId{};
    return Sent::kCongested;
  }
  return Sent::kDelivered;
}

void RouterPort::DeliverKept() {
  origin_.stall_requested = false;
  MR_DCHECK(router_.depth() == 0);
  if (router_.DeliverKept()) sinks_stall_ = origin_.stall_requested;
}

Subscription* RouterPort::Subscribe(AccountId account, std::string_view filter, Sink* sink) {
  Subscription* subscription = Subscription::Create(account, nullptr, sink, filter, "", "");
  router_.interest().Insert(subscription);
  return subscription;
}

void RouterPort::StallPublisher(const Message& message) { router_.outlet().Stall(message, kDisk); }

void RouterPort::OnRemoteStall() { remote_stall_until_ = host_.now + kRemoteStall; }

bool RouterPort::Relieved(const ConnectionId& by) const {
  if (by.cid != 0) return host_.relieved(by);
  return !router_.Congested() && host_.now >= remote_stall_until_;
}

}  // namespace millrace
