// SPDX-License-Identifier: Apache-2.0
// Outlet: back-pressure: what waits in the outboxes of this shard's receivers, who falls behind, and who has to wait
//         because of it.
// Owner:  shard.  Rows: C-25 C-27.
// Bounds: a receiver over max_pending is marked slow, and closed by its shard at the end of the turn; one over the
//         high-water mark asks its producers to pause. A turn makes about turn_deliveries deliveries.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "broker/mesh/mesh.h"
#include "broker/route/message.h"
#include "broker/route/subscription.h"
#include "proto/base/shard_checker.h"

namespace millrace {

struct RouterLimits {
  uint64_t pending_bytes_max = 64 << 20;     // per receiver; over it the consumer is slow
  uint64_t high_water_bytes = 1 << 20;       // per receiver; over it producers pause
  uint64_t inline_payload_bytes_max = 2048;  // a larger payload goes to another shard by reference
  uint64_t turn_deliveries = 32768;          // after so many publishers wait for the next turn
  bool producers_pause = true;               // false: above 3/4 of pending_bytes_max deliveries are dropped instead
};

class Outlet {
 public:
  Outlet(ShardCounters& counters, const RouterLimits& limits);

  const RouterLimits& limits() const { return limits_; }
  void set_limits(const RouterLimits& limits) { limits_ = limits; }

  // Marks the receiver for the flush at the end of the turn.
  void Touch(Receiver* receiver) {
    MR_DCHECK(shard_checker_.Here());
    if (receiver->dirty) return;
    receiver->dirty = true;
    dirty_.push_back(receiver);
  }
  std::vector<Receiver*>& dirty() { return dirty_; }

  // Nothing more is for it in this turn.
  bool IsShut(const Receiver& receiver) const { return receiver.closed || receiver.slow; }
  // Where producers do not pause, it has too much to get more.
  bool Drops(const Receiver& receiver) const {
    return !limits_.producers_pause && receiver.outbox.pending_bytes() > limits_.pending_bytes_max / 4 * 3;
  }
  // `messages` with `bytes` of payload have been appended to its outbox; the last of them, or what they have in common.
  void OnAppended(Receiver* receiver, uint64_t messages, uint64_t bytes, const Message& message) {
    receiver->out_messages += messages;
    receiver->out_bytes += bytes;
    counters_.out_messages.Add(messages);
    counters_.out_bytes.Add(bytes);
    Touch(receiver);
    if (receiver->outbox.pending_bytes() > limits_.high_water_bytes) [[unlikely]]
      OverHighWater(receiver, message);
  }

  // The publisher of this message should pause for a while: what takes it cannot keep up.
  void Stall(const Message& message, const ConnectionId& by);

  // Deliveries of a turn are bounded: publishers stop reading when TurnSpent, and go on in the next turn.
  void BeginTurn() { turn_end_ = counters_.out_messages.Get() + limits_.turn_deliveries; }
  bool TurnSpent() const { return counters_.out_messages.Get() >= turn_end_; }
  // Tells the shards of producers that are to pause.
  void FinishTurn(MeshPort* mesh);

  // Receivers that went over max_pending this turn.
  std::vector<Receiver*> TakeSlow() { return std::exchange(slow_, {}); }

 private:
  void OverHighWater(Receiver* receiver, const Message& message);

  [[no_unique_address]] ShardChecker shard_checker_;
  ShardCounters& counters_;
  RouterLimits limits_;
  uint64_t turn_end_ = UINT64_MAX;  // in counters_.out_messages
  std::vector<Receiver*> dirty_;
  std::vector<Receiver*> slow_;
  std::vector<ConnectionId> stalls_;  // remote producers to tell
};

}  // namespace millrace
