// SPDX-License-Identifier: Apache-2.0
#include "broker/route/outlet.h"

#include <algorithm>

#include "broker/route/message_codec.h"

namespace millrace {

Outlet::Outlet(ShardCounters& counters, const RouterLimits& limits) : counters_(counters), limits_(limits) {
  MR_CHECK_OP(limits.high_water_bytes, <=, limits.pending_bytes_max);
}

void Outlet::OverHighWater(Receiver* receiver, const Message& message) {
  MR_DCHECK(receiver->dirty);  // it will be flushed, or closed, at the end of the turn
  if (receiver->outbox.pending_bytes() > limits_.pending_bytes_max) {
    if (!receiver->slow) {
      receiver->slow = true;
      slow_.push_back(receiver);
    }
    return;
  }
  if (!limits_.producers_pause) return;
  if (message.origin == receiver) return;  // it could only wait for itself
  // Who cannot catch up while its producers pause is not worth another pause, until it is about to be closed.
  const uint64_t pending = receiver->outbox.pending_bytes();
  if (receiver->hopeless > 0 && pending < limits_.pending_bytes_max / 4 * 3) return;
  if (receiver->hopeless > Receiver::kPausesInVain) return;
  receiver->pending_at_pause = pending;
  Stall(message, receiver->id);
  ++receiver->stalls;
}

void Outlet::Stall(const Message& message, const ConnectionId& by) {
  if (message.origin != nullptr) {
    message.origin->stall_requested = true;
    message.origin->stalled_by = by;
  } else if (message.origin_id.cid != 0 &&
             std::find(stalls_.begin(), stalls_.end(), message.origin_id) == stalls_.end()) {
    stalls_.push_back(message.origin_id);
  }
}

void Outlet::FinishTurn(MeshPort* mesh) {
  for (const ConnectionId& origin : stalls_) {
    if (origin.shard != mesh->self()) SendStall(mesh, origin);
  }
  stalls_.clear();
}

}  // namespace millrace
