// SPDX-License-Identifier: Apache-2.0
// Subscription, Receiver, Sink: who gets a message on this shard.
// Owner:  shard. A Subscription is owned by whoever made it (a client's session, a stream) and linked into the Interest
//         of its account until it is removed; it is freed at the end of the turn, so that a delivery under way may
//         still look at it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "broker/route/message.h"
#include "broker/route/outbox.h"
#include "proto/base/nanos.h"

namespace millrace {

struct Subscription;
struct InterestNode;
class MessageRun;

// Anything on this shard, other than a client connection, that takes messages (a stream, a service). Deliver runs
// inside the publisher's turn: it keeps or queues what it gets. One that publishes from within is inside of the
// publisher's Publish (Router::kPublishDepthMax).
class Sink {
 public:
  virtual ~Sink() = default;
  // False: this message is for nobody here after all; a request that nobody else takes is told so.
  virtual bool Deliver(const Subscription& subscription, const Message& message) = 0;
  // Deliver for a message that is traced (Message::trace): it says there what becomes of it, and of one that is only
  // traced it does no more. By default it says nothing.
  virtual bool DeliverTraced(const Subscription& subscription, const Message& message);
  // Many in a row, in their order. By default Deliver for each, as long as the subscription is there.
  virtual void DeliverRun(const Subscription& subscription, const MessageRun& run);
};

// What only some receivers need on delivery: permission filters, response tracking, tracing.
class DeliveryHooks {
 public:
  virtual ~DeliveryHooks() = default;
  // False: this subscription must not see this subject (a deny entry overlaps its wildcard).
  virtual bool MayDeliver(const Subscription& subscription, const Message& message) = 0;
  virtual void OnDelivered(const Subscription& subscription, const Message& message) = 0;
};

// What the account that a request is forwarded to is told of its requestor.
struct RequestorDetail {
  bool identity = false;               // who it is, and not only its account and how far away
  bool server = false;                 // where it is connected
  AccountId by_way_of = kNoAccount;    // the account that has passed it on
};

// Told when one of its subscriptions has had its last delivery (UNSUB with max).
class SubscriptionOwner {
 public:
  virtual ~SubscriptionOwner() = default;
  // `sub` is already unlinked and is freed at the end of the turn.
  virtual void OnAutoUnsubscribed(Subscription* sub) = 0;
  // What the client called itself, for traces.
  virtual std::string_view client_name() const = 0;
  virtual AccountId account() const = 0;
  // How far away it is; zero while that is not known.
  virtual Nanos rtt() const = 0;
  // This connection as the value of Nats-Request-Info, in JSON.
  virtual std::string RequestorJson(const RequestorDetail& detail) const = 0;
};

// The delivering end of one client connection.
struct Receiver {
  explicit Receiver(ChunkPool& pool) : outbox(pool) {}

  Outbox outbox;
  ConnectionId id;
  SubscriptionOwner* owner = nullptr;
  DeliveryHooks* hooks = nullptr;
  uint64_t out_messages = 0;
  uint64_t out_bytes = 0;
  uint64_t stalls = 0;  // times a producer was paused because of us
  bool echo = true;
  bool headers = false;  // takes HMSG; otherwise header blocks are stripped
  bool dirty = false;    // listed for the flush at the end of the turn
  bool closed = false;   // takes nothing any more
  bool slow = false;     // over max_pending; will be closed at the end of the turn
  // Pauses of its producers that were too short for it, since it had caught up. After the first there are no more until
  // it is about to be closed; then they count while nothing leaves, and after kPausesInVain it is given up.
  static constexpr uint8_t kPausesInVain = 2;
  uint8_t hopeless = 0;
  uint64_t pending_at_pause = 0;
  // Set by the router while this connection publishes: it feeds a receiver that is above the high-water mark.
  bool stall_requested = false;
  ConnectionId stalled_by;
};

// One SUB, or what it hears of another account (a shadow, with the account and the filter there). Subject, queue and
// sid lie behind the object in the same allocation.
struct Subscription {
  Receiver* receiver;  // nullptr for a sink's subscription
  Sink* sink;
  InterestNode* node;  // nullptr when not linked
  uint64_t delivered;
  uint64_t max;  // 0: unlimited
  AccountId account;
  uint32_t index;  // in the list of its node or queue group
  uint32_t subject_bytes;
  uint32_t queue_bytes;
  uint32_t sid_bytes;
  uint32_t import;  // of a shadow: Router::set_stream_imports, from 1; 0: of none
  bool removed;
  char text[];

  std::string_view subject() const { return {text, subject_bytes}; }
  std::string_view queue() const { return {text + subject_bytes, queue_bytes}; }
  std::string_view sid() const { return {text + subject_bytes + queue_bytes, sid_bytes}; }

  static Subscription* Create(AccountId account, Receiver* receiver, Sink* sink, std::string_view subject,
                              std::string_view queue, std::string_view sid, uint32_t import = 0) {
    MR_DCHECK(receiver == nullptr || sink == nullptr);
    MR_DCHECK(!subject.empty() && account != kNoAccount);
    const size_t bytes =
        std::max(sizeof(Subscription), offsetof(Subscription, text) + subject.size() + queue.size() + sid.size());
    auto* sub = static_cast<Subscription*>(std::malloc(bytes));
    MR_CHECK(sub != nullptr);
    *sub = Subscription{receiver,
                        sink,
                        nullptr,
                        0,
                        0,
                        account,
                        0,
                        static_cast<uint32_t>(subject.size()),
                        static_cast<uint32_t>(queue.size()),
                        static_cast<uint32_t>(sid.size()),
                        import,
                        false};
    char* at = sub->text;
    for (const std::string_view part : {subject, queue, sid}) at += part.copy(at, part.size());
    return sub;
  }
  static void Free(Subscription* sub) {
    MR_DCHECK(sub->node == nullptr);
    std::free(sub);
  }
};

}  // namespace millrace
