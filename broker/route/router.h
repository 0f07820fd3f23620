// SPDX-License-Identifier: Apache-2.0
// Router: takes a publish to everyone who wants it, on this shard and on others, with one record per other shard.
// Owner:  shard.  Rows: C-14 C-33 C-35.
// Depth:  a sink that publishes from its Deliver is inside of another Publish, kPublishDepthMax deep at most. What is
//         walked meanwhile is pinned (interest.h).
// Bounds: those of its outlet (outlet.h); mail overflow is reported by Congested().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/account/stream_imports.h"
#include "broker/mesh/shared_payload.h"
#include "broker/mesh/mesh.h"
#include "broker/route/interest.h"
#include "broker/route/message_run.h"
#include "broker/route/outlet.h"
#include "broker/route/subscription.h"
#include "proto/base/check.h"
#include "proto/base/xorshift.h"
#include "proto/base/shard_checker.h"

namespace millrace {

struct MessageRecord;

// Takes publishes on to other accounts.
class Forwarder;

class Router {
 public:
  Router(MeshPort& mesh, ShardCounters& counters, Interest& interest, const RouterLimits& limits, uint64_t seed);

  // What became of a publish.
  struct Outcome {
    bool delivered = false;  // to somebody, or to another shard that may have somebody
    ShardSet sent_to = 0;    // shards that got a record; the publisher's PING waits for them
  };
  // `match` is the result for message.subject (from Interest::Match or remembered).
  Outcome Publish(const Message& message, const MatchResult& match);
  // Sinks that publish, and service imports that lead to service imports.
  static constexpr uint32_t kPublishDepthMax = 20;
  // Publishes and deliveries of mail under way.
  uint32_t depth() const { return depth_; }

  // What sinks were to get later (Message::sinks_later), copied, to those that are still there. Belongs behind what has
  // published it, in the same turn. True: there was some.
  bool DeliverKept();
  size_t kept() const { return kept_.size(); }

  // Publish for many messages in a row with one match: collects them (MessageRun) and delivers later, receiver by
  // receiver. What is kept are views: FlushRun has to come before they end and before anything else is written to
  // anybody.
  // OpenRun: `common` is what MessageRun::Open takes. Subjects may differ as long as the match is the same; OpenRun
  // hears of a new one. False: this match takes no runs.
  bool OpenRun(const Message& common, const MatchResult& match);
  // The same where a run of this match has begun, and nothing otherwise.
  bool ContinueRun(const MatchResult& match, std::string_view subject) { return run_.Continue(match, subject); }
  void AddToRun(std::string_view subject, std::string_view tail, size_t payload_bytes, uint32_t header_bytes) {
    if (run_.full()) [[unlikely]]
      DeliverRun();
    run_.Add(subject, tail, payload_bytes, header_bytes);
  }
  void FlushRun() {
    if (run_.is_open()) CloseRun();
  }

  // A record from another shard.
  void OnMessage(uint32_t from, const char* body);
  void OnMessageRun(const char* body);
  void OnPayloadHome(const char* body);

  // Stream imports of all accounts: what messages of a shadow are called where they go, by Subscription::import. Valid
  // until the next call; no shadow has one that is not there (nullptr).
  void set_stream_imports(std::span<const CompiledStreamImport* const> imports) { imports_ = imports; }

  // Unpredictable to nobody who watches: for shares of what is published.
  uint64_t Random() { return random_.Next(); }

  // Wall clock of the turn, for traces and metrics.
  void set_wall_ns(int64_t wall_ns) { wall_ns_ = wall_ns; }
  int64_t wall_ns() const { return wall_ns_; }

  // Requests of our own connections that came back without having found anybody.
  struct Undelivered {
    ConnectionId origin;
    std::string subject;
    std::string reply;
  };
  std::vector<Undelivered> TakeUndelivered() { return std::exchange(undelivered_here_, {}); }

  // End of the turn: sends the payloads of others home, and stall notices to the shards of remote producers.
  void FinishTurn();

  // Mail to another shard piles up: publishers should pause.
  bool Congested() const { return mesh_.AnyOverflowAbove(kOverflowPauseBytes); }

  // A sink has published to these shards. PING waits for them from now on, whoever's it is: a shard that has nothing in
  // its mail costs nothing.
  void NoteSentOn(ShardSet shards) { sent_on_ |= shards; }
  ShardSet sent_on() const { return sent_on_; }

  // Gets what service imports match; there is none without it.
  void set_forwarder(Forwarder* forwarder) { forwarder_ = forwarder; }

  Interest& interest() { return interest_; }
  MeshPort& mesh() { return mesh_; }
  Outlet& outlet() { return outlet_; }
  const RouterLimits& limits() const { return outlet_.limits(); }

 private:
  static constexpr uint32_t kRunOfManyMin = 64;  // shorter ones would be sends too small for their price

  // Within it what is delivered may publish, too.
  class Delivering {
   public:
    Delivering(Router* router, const MatchResult& match) : router_(router), pin_(match) {
      MR_CHECK_OP(router_->depth_, <, kPublishDepthMax);
      ++router_->depth_;
    }
    ~Delivering() {
      MR_DCHECK(router_->depth_ > 0);
      --router_->depth_;
    }

   private:
    Router* const router_;
    const MatchPin pin_;
  };
  // For a sink that gets it later: the message with the bytes that it speaks of.
  struct Kept {
    Subscription* subscription;
    Message message;
    std::unique_ptr<char[]> text;
  };

  bool Keep(Subscription* sub, const Message& message);

  static bool MayRun(const MatchResult& match);
  void StartRun(const Message& common, const MatchResult& match, ShardSet remote);
  void DeliverRun();
  void CloseRun();
  void DeliverRunTo(Subscription* sub);
  bool Deliver(Subscription* sub, const Message& message);
  // Deliver for a shadow: under the name that the message has at the subscriber's.
  bool DeliverImported(Subscription* sub, const Message& message);
  bool DeliverNamed(Subscription* sub, const Message& message);
  // Deliver for a traced message: records the outcome, and only that when nothing is to be delivered.
  bool DeliverTraced(Subscription* sub, const Message& message);
  bool DeliverToMember(const std::vector<Subscription*>& members, const Message& message);
  void AutoUnsubscribe(Subscription* sub);
  void SendRecords(const Message& message, const MatchResult& match, const Outcome& outcome);
  void Forward(const Message& message, const MatchResult& match, Outcome* outcome);
  void PickGroups(const Message& message, const MatchResult& match, Outcome* outcome);
  bool DeliverToGroup(const MatchResult& match, std::string_view name, const MessageRecord& record);
  // A shard with members, by their weight; that of the pick-th member.
  uint32_t PickRemote(const MatchResult::Group& group);
  uint32_t RemoteAt(const MatchResult::Group& group, uint32_t pick) const;

  [[no_unique_address]] ShardChecker shard_checker_;
  MeshPort& mesh_;
  Interest& interest_;
  Forwarder* forwarder_ = nullptr;
  ShardSet sent_on_ = 0;
  Outlet outlet_;
  XorShift64 random_;  // of queue picks
  int64_t wall_ns_ = 0;
  std::vector<std::vector<std::string_view>> group_picks_[kPublishDepthMax];  // per depth and shard, reused
  uint32_t depth_ = 0;
  MessageRun run_;
  std::span<const CompiledStreamImport* const> imports_;
  std::string local_subject_;  // of a shadow's message that is being delivered
  std::vector<Kept> kept_;
  std::vector<SharedPayload*> payloads_home_;
  std::vector<Undelivered> undelivered_here_;
};

class Forwarder {
 public:
  virtual ~Forwarder() = default;
  // Publishes the message where this service import of its account leads to. Inside of the Publish that has matched it.
  virtual Router::Outcome Forward(const Message& message, uint32_t import) = 0;
};

}  // namespace millrace
