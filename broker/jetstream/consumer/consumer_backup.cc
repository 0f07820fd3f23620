// SPDX-License-Identifier: Apache-2.0
// A consumer into and out of a backup of its stream (spec J-38).
#include <algorithm>

#include "broker/jetstream/archive/consumer_snapshot.h"
#include "broker/jetstream/consumer/consumer.h"
#include "proto/base/check.h"

namespace millrace {

void Consumer::Export(uint64_t last_seq, ConsumerSnapshot* snapshot) const {
  MR_CHECK(snapshot->pending.empty() && snapshot->redelivered.empty());
  snapshot->config = config_;
  snapshot->delivered_consumer = state_.delivered_consumer();
  snapshot->delivered_stream = std::min(state_.delivered_stream(), last_seq);
  snapshot->floor_consumer = state_.ack_floor_consumer();
  snapshot->floor_stream = std::min(state_.ack_floor_stream(), last_seq);
  state_.pending().ForEach([&](const PendingEntry& entry) {
    if (entry.seq > last_seq) return;
    snapshot->pending[entry.seq] = {entry.consumer_seq, entry.time_ns};
    if (entry.redeliveries != 0) snapshot->redelivered[entry.seq] = entry.redeliveries;
  });
  for (const auto& [seq, redeliveries] : state_.exhausted()) {
    if (seq <= last_seq) snapshot->redelivered[seq] = redeliveries;
  }
}

void Consumer::Import(const ConsumerSnapshot& snapshot) {
  std::vector<PendingEntry> pending;
  for (const auto& [seq, one] : snapshot.pending) {
    PendingEntry entry;
    entry.seq = seq;
    entry.consumer_seq = one.consumer_seq;
    entry.time_ns = one.time_ns;
    const auto again = snapshot.redelivered.find(seq);
    if (again != snapshot.redelivered.end()) entry.redeliveries = static_cast<uint32_t>(again->second);
    pending.push_back(entry);
  }
  absl::flat_hash_map<uint64_t, uint32_t> exhausted;
  for (const auto& [seq, count] : snapshot.redelivered) {
    if (!snapshot.pending.contains(seq)) exhausted[seq] = static_cast<uint32_t>(count);
  }
  const ConsumerState::Positions positions{snapshot.delivered_consumer, snapshot.delivered_stream,
                                           snapshot.floor_consumer, snapshot.floor_stream};
  state_.Import(positions, pending, exhausted);
  const StreamLogState& log = log_.state();
  if (state_.delivered_stream() > log.last_seq) state_.RollBack(log.last_seq);
  state_.DropBelow(log.first_seq);
  next_seq_ = state_.delivered_stream() + 1;
  Activate();
  if (state_.changed()) host_.Persist(this, state_.TakeDelta());
  if constexpr (kDebugChecks) Invariant();
}

}  // namespace millrace
