// SPDX-License-Identifier: Apache-2.0
// PendingSet: the messages of one consumer that are delivered and not acknowledged, by sequence and by deadline.
// Owner:  shard.  New messages come in ascending order of their sequences, so the set is a ring in that order; what
//         leaves the middle leaves a tombstone, and a ring that is half tombstones is packed. Lookups try where the
//         next ack in order would be, then where it would be without gaps, then search by halves.
// Time:   a first delivery waits as long as its neighbours, so deadlines of first deliveries ascend along the ring and
//         one cursor finds the next. Only what was touched since (redelivered, delayed, in progress) is in a tree.
// Memory: 32 bytes an entry; nothing while it is empty and Shrink was called.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "proto/base/check.h"

namespace millrace {

struct PendingEntry {
  // kFirst: waits since its first delivery. kTouched: waits, deadline in the tree. kQueued: in the redelivery queue.
  enum class State : uint8_t { kGone, kFirst, kTouched, kQueued };

  uint64_t seq = 0;           // in the stream
  uint64_t consumer_seq = 0;  // of its first delivery
  int64_t time_ns = 0;        // wall clock that its wait counts from
  uint32_t redeliveries = 0;
  State state = State::kGone;

  bool operator==(const PendingEntry&) const = default;
};

// How long a delivery waits for its ack: ack_wait, or by the number of earlier deliveries. 0: for ever.
struct AckWaits {
  int64_t ack_wait_ns = 0;
  std::vector<int64_t> backoff_ns;

  int64_t For(uint32_t redeliveries) const {
    if (ack_wait_ns == 0 || backoff_ns.empty()) return ack_wait_ns;
    return backoff_ns[redeliveries < backoff_ns.size() ? redeliveries : backoff_ns.size() - 1];
  }
  bool operator==(const AckWaits&) const = default;
};

class PendingSet {
 public:
  PendingSet() = default;
  PendingSet(const PendingSet&) = delete;
  PendingSet& operator=(const PendingSet&) = delete;

  size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  size_t queued() const { return queued_; }

  void SetWaits(AckWaits waits);
  const AckWaits& waits() const { return waits_; }

  // A first delivery: seq is above all in the set.
  void Add(uint64_t seq, uint64_t consumer_seq, int64_t time_ns);
  // As it was saved: ascending seqs. It waits on from time_ns.
  void Restore(const PendingEntry& entry);
  // Valid until the set changes.
  const PendingEntry* Find(uint64_t seq) const;
  const PendingEntry* first() const;                // lowest seq
  const PendingEntry* After(uint64_t seq) const;    // lowest above seq
  bool Remove(uint64_t seq, PendingEntry* removed);  // removed may be nullptr
  // All up to and including seq, in order.
  template <typename F>
  void RemoveUpTo(uint64_t seq, F&& on_removed);
  void Clear();
  // Gives memory back if there is much more than the set needs.
  void Shrink();

  // Waits anew from time_ns (progress, delayed NAK); a queued one stays queued. False: not there.
  bool Touch(uint64_t seq, int64_t time_ns);
  // Sent again: waits from time_ns, one redelivery more. It must be there.
  void Redeliver(uint64_t seq, int64_t time_ns);
  // Out of the redelivery queue (or waiting already), and waits from time_ns. False: not there.
  bool Unqueue(uint64_t seq, int64_t time_ns);
  // To the redelivery queue: waits for nothing. False: not there, or queued already.
  bool Queue(uint64_t seq);

  static constexpr int64_t kNever = INT64_MAX;
  int64_t NextDeadline() const;  // wall clock; kNever
  // Appends the sequences whose deadline is not after now_ns, ascending; they become queued.
  void TakeExpired(int64_t now_ns, std::vector<uint64_t>* seqs);
  // The latest end of all waits, for those that end after now_ns; 0: none. Walks the set.
  int64_t LatestDeadline(int64_t now_ns) const;

  // Aborts unless the ring, the counts and the tree agree. Walks the set.
  void Invariant() const;

  template <typename F>
  void ForEach(F&& visit) const {  // ascending
    for (uint64_t at = head_; at != tail_; ++at) {
      const PendingEntry& entry = ring_[at & mask_];
      if (entry.state != PendingEntry::State::kGone) visit(entry);
    }
  }

 private:
  using State = PendingEntry::State;
  static constexpr uint64_t kNowhere = UINT64_MAX;

  PendingEntry& at(uint64_t position) const {
    MR_DCHECK(capacity_ > 0 && position - head_ < capacity_);
    return ring_[position & mask_];
  }
  uint64_t PositionOf(uint64_t seq) const;      // of the entry with this seq and not gone; kNowhere
  uint64_t LowerBound(uint64_t seq) const;      // first position whose seq is >= seq, gone or not
  void MakeRoom();
  void Repack(uint64_t capacity);
  void DropGoneAtEnds();
  int64_t DeadlineOf(const PendingEntry& entry) const;
  void EnterTree(const PendingEntry& entry);
  void Leave(PendingEntry* entry);  // the tree, or the count of queued ones

  std::unique_ptr<PendingEntry[]> ring_;
  uint64_t mask_ = 0;
  uint64_t head_ = 0;  // positions grow without bound; head_ <= tail_ <= head_ + capacity
  uint64_t tail_ = 0;
  size_t live_ = 0;
  size_t queued_ = 0;
  size_t capacity_ = 0;
  mutable uint64_t hint_ = 0;          // where the next lookup probably ends
  mutable uint64_t first_waiting_ = 0;  // no kFirst entry is before it
  int64_t restored_time_ns_ = INT64_MIN;
  AckWaits waits_;
  absl::btree_set<std::pair<int64_t, uint64_t>> touched_;  // (deadline, seq)
};

template <typename F>
void PendingSet::RemoveUpTo(uint64_t seq, F&& on_removed) {
  while (head_ != tail_ && at(head_).seq <= seq) {
    PendingEntry& entry = at(head_);
    if (entry.state != State::kGone) {
      Leave(&entry);
      const PendingEntry removed = entry;
      entry.state = State::kGone;
      MR_DCHECK(live_ > 0);
      --live_;
      on_removed(removed);
    }
    ++head_;
  }
  DropGoneAtEnds();
}

}  // namespace millrace
