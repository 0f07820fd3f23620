// SPDX-License-Identifier: Apache-2.0
// Router: takes a publish to everyone who wants it, on this shard and on others, with one record per other shard.
// Owner:  shard.  Rows: C-13 C-14 C-25 C-27 C-28 C-33 C-35.
// Depth:  a sink that publishes from its Deliver is inside of another Publish, kPublishDepthMax deep at most. What is
//         walked meanwhile is pinned (interest.h).
// Bounds: a receiver over max_pending is marked slow and closed by its connection at the end of the turn; one over the
//         high-water mark asks its producers to pause; mail overflow is reported by Congested().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/mesh/frame.h"
#include "broker/mesh/mesh.h"
#include "broker/route/interest.h"
#include "broker/route/subscription.h"
#include "proto/base/check.h"
#include "proto/base/shard_checker.h"

namespace millrace {

struct RouterLimits {
  uint64_t pending_bytes_max = 64 << 20;     // per receiver; over it the consumer is slow
  uint64_t high_water_bytes = 1 << 20;       // per receiver; over it producers pause
  uint64_t inline_payload_bytes_max = 2048;  // a larger payload goes to another shard by reference
  uint64_t turn_deliveries = 32768;          // after so many publishers wait for the next turn
  bool producers_pause = true;               // false: above 3/4 of pending_bytes_max deliveries are dropped instead
};

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
  static constexpr uint32_t kPublishDepthMax = 4;
  // Publishes and deliveries of mail under way.
  uint32_t depth() const { return depth_; }

  // What sinks were to get later (Message::sinks_later), copied, to those that are still there. Belongs behind what has
  // published it, in the same turn. True: there was some.
  bool DeliverKept();
  size_t kept() const { return kept_.size(); }

  // Publish for many messages in a row with one match: collects them and delivers later, receiver by receiver, so that
  // a receiver is looked up, and its output found in memory, once for all. What is kept are views: FlushRun has to
  // come before they end and before anything else is written to anybody. The match is pinned until then.
  // OpenRun: `common` is what the messages share (account, origin), with the subject of the first to come; they have
  // tails, no reply and no trace. Subjects may differ as long as the match is the same; OpenRun hears of a new one.
  // False: this match takes no runs.
  bool OpenRun(const Message& common, const MatchResult& match);
  // The same where a run of this match is open already, and nothing otherwise.
  bool ContinueRun(const MatchResult& match, std::string_view subject) {
    if (run_count_ == 0 || run_match_ != &match) return false;
    if (!run_mixed_) run_mixed_ = run_.subject != subject;
    return true;
  }
  void AddToRun(std::string_view subject, std::string_view tail, size_t payload_bytes, uint32_t header_bytes) {
    MR_DCHECK(run_match_ != nullptr && run_count_ <= run_limit_);
    MR_DCHECK(header_bytes <= payload_bytes && payload_bytes + 2 <= tail.size());
    if (run_count_ == run_limit_) [[unlikely]]
      DeliverRun();
    run_messages_[run_count_++] = RunMessage{subject, tail, static_cast<uint32_t>(payload_bytes), header_bytes};
  }
  void FlushRun() {
    if (run_match_ != nullptr) CloseRun();
  }

  // A record from another shard.
  void OnMessage(uint32_t from, const char* body);
  void OnMessageRun(const char* body);
  void OnFrameRelease(const char* body);

  // Marks the receiver for the flush at the end of the turn.
  void Touch(Receiver* receiver) {
    MR_DCHECK(shard_checker_.Here());
    if (receiver->dirty) return;
    receiver->dirty = true;
    dirty_.push_back(receiver);
  }
  std::vector<Receiver*>& dirty() { return dirty_; }

  // Deliveries of a turn are bounded: publishers stop reading when TurnSpent, and go on in the next turn.
  void BeginTurn() { turn_end_ = counters_.out_messages.Get() + limits_.turn_deliveries; }
  bool TurnSpent() const { return counters_.out_messages.Get() >= turn_end_; }

  // The publisher of this message should pause for a while: what takes it cannot keep up.
  void Stall(const Message& message, const ConnectionId& by);

  // Wall clock of the turn, for traces.
  void set_wall_ns(int64_t wall_ns) { wall_ns_ = wall_ns; }

  // Receivers that went over max_pending this turn.
  std::vector<Receiver*> TakeSlow() { return std::exchange(slow_, {}); }

  // Requests of our own connections that came back without having found anybody.
  struct Undelivered {
    ConnectionId origin;
    std::string subject;
    std::string reply;
  };
  std::vector<Undelivered> TakeUndelivered() { return std::exchange(undelivered_here_, {}); }

  // End of the turn: sends foreign frames home and stall notices to the shards of remote producers.
  void FinishTurn();

  // Mail to another shard piles up: publishers should pause.
  bool Congested() const { return mesh_.AnyOverflowAbove(kOverflowPauseBytes); }

  Interest& interest() { return interest_; }
  MeshPort& mesh() { return mesh_; }
  const RouterLimits& limits() const { return limits_; }
  void set_limits(const RouterLimits& limits) { limits_ = limits; }

 private:
  // What messages of one run differ in.
  struct RunMessage {
    std::string_view subject;
    std::string_view tail;
    uint32_t payload_bytes;
    uint32_t header_bytes;
  };
  class MixedLine;
  static constexpr uint32_t kRunMax = 128;
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
  void DeliverRun();
  void CloseRun();
  void DeliverRunTo(Subscription* sub);
  void SendRun();
  void SendRunRecord(uint32_t target, uint32_t begin, uint32_t end, size_t bytes);
  // Bytes of one message in a record; `begin` is the first of the record.
  size_t RunPartBytes(uint32_t index, uint32_t begin) const;
  void EncodeRun(Subscription* sub, Receiver* receiver);
  Message RunMessageAt(uint32_t index) const;
  bool Deliver(Subscription* sub, const Message& message);
  // Deliver for a traced message: records the outcome, and only that when nothing is to be delivered.
  bool DeliverTraced(Subscription* sub, const Message& message);
  void CountSent(Receiver* receiver, size_t payload_bytes);
  void Encode(Subscription* sub, Receiver* receiver, const Message& message);
  bool DeliverToMember(const std::vector<Subscription*>& members, const Message& message);
  void OverHighWater(Receiver* receiver, const Message& message);
  void AutoUnsubscribe(Subscription* sub);
  // One record for `target`, or several when there are many groups. `groups` are those it must pick a member of.
  void SendTo(uint32_t target, const Message& message, bool to_plain, std::span<const std::string_view> groups,
              uint8_t hops, bool report, Frame** frame);
  void SendRecord(uint32_t target, const Message& message, bool to_plain, std::span<const std::string_view> groups,
                  uint8_t hops, bool report, Frame** frame);
  void PickGroups(const Message& message, const MatchResult& match, Outcome* outcome);
  uint32_t Random(uint32_t below);

  [[no_unique_address]] ShardChecker shard_checker_;
  MeshPort& mesh_;
  ShardCounters& counters_;
  Interest& interest_;
  RouterLimits limits_;
  uint64_t random_;
  int64_t wall_ns_ = 0;
  std::vector<Receiver*> dirty_;
  std::vector<Receiver*> slow_;
  std::vector<std::vector<std::string_view>> group_picks_[kPublishDepthMax];  // per depth and shard, reused
  uint32_t depth_ = 0;
  std::vector<Kept> kept_;
  struct ForeignFrame {
    uint32_t owner;
    Frame* frame;
  };
  std::vector<ForeignFrame> frames_home_;
  std::vector<ConnectionId> stalls_;  // remote producers to tell
  std::vector<Undelivered> undelivered_here_;

  Message run_;  // what all messages of the run have in common
  const MatchResult* run_match_ = nullptr;  // pinned; nullptr: no run is open
  ShardSet run_remote_ = 0;  // shards that get it too
  uint32_t run_count_ = 0;
  uint32_t run_limit_ = kRunMax;
  uint64_t turn_end_ = UINT64_MAX;  // in counters_.out_messages
  bool run_mixed_ = false;  // its messages have different subjects
  RunMessage run_messages_[kRunMax];
};

}  // namespace millrace
