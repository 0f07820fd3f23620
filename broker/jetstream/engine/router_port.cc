// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/router_port.h"

namespace millrace {
namespace {

// How long a stall notice from another shard holds; it says so again while it lasts.
constexpr Nanos kRemoteStall = std::chrono::milliseconds(1);
// Who pauses because the disk cannot keep up pauses for a while: no connection has this shard's number.
constexpr ConnectionId kDisk = ConnectionId::OfPart(UINT32_MAX, PartId::kJetStream);

}  // namespace

RouterPort::RouterPort(PartHost host)
    : host_(std::move(host)),
      router_(host_.router),
      origin_(host_.chunks),
      route_(router_, ConnectionId::OfPart(router_.mesh().self(), PartId::kJetStream), &origin_) {
  origin_.id = ConnectionId::OfPart(router_.mesh().self(), PartId::kJetStream);
}

Sent RouterPort::Publish(const Outgoing& out) {
  MR_DCHECK(!out.deliver_to.empty());
  Message message;
  message.account = out.account;
  message.subject = out.subject.empty() ? out.deliver_to : out.subject;
  if (message.subject != out.deliver_to) message.deliver_to = out.deliver_to;
  message.reply = out.reply;
  message.payload = out.payload;
  message.header_bytes = out.header_bytes;
  message.sinks_later = true;
  origin_.stall_requested = false;
  const size_t kept = router_.kept();
  if (!route_.Publish(message)) return Sent::kNobody;
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

void RouterPort::StallPublisher(const Message& message) { router_.outlet().Stall(message, kDisk); }

void RouterPort::OnRemoteStall() { remote_stall_until_ = host_.now + kRemoteStall; }

bool RouterPort::Relieved(const ConnectionId& by) const {
  if (by.cid != 0) return host_.relieved(by);
  return !router_.Congested() && host_.now >= remote_stall_until_;
}

}  // namespace millrace
