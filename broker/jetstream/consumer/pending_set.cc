// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/consumer/pending_set.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr size_t kCapacityMin = 16;

}  // namespace

void PendingSet::SetWaits(AckWaits waits) {
  if (waits == waits_) return;
  // The tree is ordered by deadlines that are about to change.
  touched_.clear();
  waits_ = std::move(waits);
  ForEach([this](const PendingEntry& entry) {
    if (entry.state == State::kTouched) EnterTree(entry);
  });
}

void PendingSet::Add(uint64_t seq, uint64_t consumer_seq, int64_t time_ns) {
  MR_DCHECK(head_ == tail_ || at(tail_ - 1).seq < seq);
  if (tail_ - head_ == capacity_) MakeRoom();
  MR_DCHECK(tail_ - head_ < capacity_);
  at(tail_++) = PendingEntry{seq, consumer_seq, time_ns, 0, State::kFirst};
  ++live_;
}

void PendingSet::Restore(const PendingEntry& entry) {
  // A clock that went back, or a first delivery that was touched: the order along the ring is no order of time.
  MR_DCHECK(entry.seq > 0);
  const bool in_order = entry.redeliveries == 0 && entry.time_ns >= restored_time_ns_;
  Add(entry.seq, entry.consumer_seq, entry.time_ns);
  PendingEntry& added = at(tail_ - 1);
  added.redeliveries = entry.redeliveries;
  if (in_order) {
    restored_time_ns_ = entry.time_ns;
  } else {
    added.state = State::kTouched;
    EnterTree(added);
  }
}

const PendingEntry* PendingSet::Find(uint64_t seq) const {
  const uint64_t position = PositionOf(seq);
  return position == kNowhere ? nullptr : &at(position);
}

const PendingEntry* PendingSet::first() const {
  return head_ == tail_ ? nullptr : &at(head_);  // neither end is a tombstone
}

const PendingEntry* PendingSet::After(uint64_t seq) const {
  for (uint64_t position = LowerBound(seq + 1); position != tail_; ++position) {
    if (at(position).state != State::kGone) return &at(position);
  }
  return nullptr;
}

bool PendingSet::Remove(uint64_t seq, PendingEntry* removed) {
  const uint64_t position = PositionOf(seq);
  if (position == kNowhere) return false;
  PendingEntry& entry = at(position);
  Leave(&entry);
  if (removed != nullptr) *removed = entry;
  entry.state = State::kGone;
  MR_DCHECK(live_ > 0);
  --live_;
  DropGoneAtEnds();
  MR_DCHECK(live_ > 0 || head_ == tail_);
  return true;
}

void PendingSet::Clear() {
  touched_.clear();
  head_ = tail_ = hint_ = first_waiting_ = 0;
  live_ = queued_ = 0;
  restored_time_ns_ = INT64_MIN;
  Shrink();
}

void PendingSet::Shrink() {
  if (live_ == 0) {
    MR_DCHECK(queued_ == 0 && touched_.empty());
    ring_.reset();
    head_ = tail_ = hint_ = first_waiting_ = 0;
    capacity_ = 0;
    mask_ = 0;
  } else if (capacity_ > kCapacityMin && live_ < capacity_ / 4) {
    size_t capacity = capacity_;
    while (capacity > kCapacityMin && live_ < capacity / 4) capacity /= 2;
    Repack(capacity);
  }
}

bool PendingSet::Touch(uint64_t seq, int64_t time_ns) {
  const uint64_t position = PositionOf(seq);
  if (position == kNowhere) return false;
  PendingEntry& entry = at(position);
  if (entry.state == State::kQueued) {
    entry.time_ns = time_ns;
    return true;
  }
  Leave(&entry);
  entry.time_ns = time_ns;
  entry.state = State::kTouched;
  EnterTree(entry);
  return true;
}

void PendingSet::Redeliver(uint64_t seq, int64_t time_ns) {
  const uint64_t position = PositionOf(seq);
  MR_CHECK(position != kNowhere);
  PendingEntry& entry = at(position);
  Leave(&entry);
  entry.time_ns = time_ns;
  ++entry.redeliveries;
  entry.state = State::kTouched;
  EnterTree(entry);
}

bool PendingSet::Unqueue(uint64_t seq, int64_t time_ns) {
  const uint64_t position = PositionOf(seq);
  if (position == kNowhere) return false;
  PendingEntry& entry = at(position);
  Leave(&entry);
  entry.time_ns = time_ns;
  entry.state = State::kTouched;
  EnterTree(entry);
  return true;
}

bool PendingSet::Queue(uint64_t seq) {
  const uint64_t position = PositionOf(seq);
  if (position == kNowhere) return false;
  PendingEntry& entry = at(position);
  if (entry.state == State::kQueued) return false;
  Leave(&entry);
  entry.state = State::kQueued;
  ++queued_;
  return true;
}

int64_t PendingSet::NextDeadline() const {
  if (waits_.ack_wait_ns == 0) return kNever;
  int64_t next = touched_.empty() ? kNever : touched_.begin()->first;
  if (first_waiting_ < head_) first_waiting_ = head_;
  while (first_waiting_ != tail_ && at(first_waiting_).state != State::kFirst) ++first_waiting_;
  if (first_waiting_ != tail_) next = std::min(next, DeadlineOf(at(first_waiting_)));
  return next;
}

void PendingSet::TakeExpired(int64_t now_ns, std::vector<uint64_t>* seqs) {
  const size_t before = seqs->size();
  while (NextDeadline() <= now_ns) {
    if (!touched_.empty() && touched_.begin()->first <= now_ns) {
      const uint64_t seq = touched_.begin()->second;
      touched_.erase(touched_.begin());
      const uint64_t position = PositionOf(seq);
      MR_CHECK(position != kNowhere);
      MR_DCHECK(at(position).state == State::kTouched);
      at(position).state = State::kQueued;
      seqs->push_back(seq);
    } else {
      PendingEntry& entry = at(first_waiting_);
      MR_DCHECK(entry.state == State::kFirst && DeadlineOf(entry) <= now_ns);
      entry.state = State::kQueued;
      seqs->push_back(entry.seq);
    }
  }
  queued_ += seqs->size() - before;
  MR_DCHECK(queued_ <= live_);
  std::sort(seqs->begin() + static_cast<ptrdiff_t>(before), seqs->end());
}

int64_t PendingSet::LatestDeadline(int64_t now_ns) const {
  int64_t latest = 0;
  ForEach([&](const PendingEntry& entry) {
    const int64_t deadline = DeadlineOf(entry);
    if (deadline > now_ns) latest = std::max(latest, deadline);
  });
  return latest;
}

uint64_t PendingSet::PositionOf(uint64_t seq) const {
  if (head_ == tail_) return kNowhere;
  uint64_t position = hint_;
  if (position < head_ || position >= tail_ || at(position).seq != seq) {
    const uint64_t first = at(head_).seq;
    if (seq < first) return kNowhere;
    position = head_ + (seq - first);
    if (seq - first >= tail_ - head_ || at(position).seq != seq) {
      position = LowerBound(seq);
      if (position == tail_ || at(position).seq != seq) return kNowhere;
    }
  }
  hint_ = position + 1;
  return at(position).state == State::kGone ? kNowhere : position;
}

uint64_t PendingSet::LowerBound(uint64_t seq) const {
  uint64_t low = head_;
  uint64_t high = tail_;
  // Sequences ascend by one at least: an entry is not further from either end than its sequence.
  if (low != high) {
    const uint64_t first = at(head_).seq;
    const uint64_t last = at(tail_ - 1).seq;
    if (seq <= first) return head_;
    if (seq > last) return tail_;
    high = std::min(high, head_ + (seq - first) + 1);
    if (last - seq < tail_ - head_) low = std::max(low, tail_ - 1 - (last - seq));
  }
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (at(middle).seq < seq) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void PendingSet::MakeRoom() {
  if (capacity_ == 0) {
    Repack(kCapacityMin);
  } else {
    // Packing in place is only worth its copy when it frees half.
    Repack(live_ <= capacity_ / 2 ? capacity_ : capacity_ * 2);
  }
}

void PendingSet::Repack(uint64_t capacity) {
  MR_CHECK(capacity >= live_ && (capacity & (capacity - 1)) == 0);
  hint_ = 0;
  if (capacity == capacity_) {
    const uint64_t end = tail_;
    tail_ = head_;
    for (uint64_t from = head_; from != end; ++from) {
      if (at(from).state != State::kGone) at(tail_++) = at(from);
    }
    first_waiting_ = head_;
    return;
  }
  auto ring = std::make_unique<PendingEntry[]>(capacity);
  uint64_t to = 0;
  ForEach([&](const PendingEntry& entry) { ring[to++] = entry; });
  ring_ = std::move(ring);
  capacity_ = capacity;
  mask_ = capacity - 1;
  head_ = 0;
  tail_ = to;
  first_waiting_ = 0;
  MR_CHECK_OP(to, ==, live_);
}

void PendingSet::DropGoneAtEnds() {
  while (head_ != tail_ && at(head_).state == State::kGone) ++head_;
  while (head_ != tail_ && at(tail_ - 1).state == State::kGone) --tail_;
  if (first_waiting_ > tail_) first_waiting_ = tail_;
}

int64_t PendingSet::DeadlineOf(const PendingEntry& entry) const {
  const int64_t wait = waits_.For(entry.redeliveries);
  return wait == 0 ? kNever : entry.time_ns + wait;
}

void PendingSet::EnterTree(const PendingEntry& entry) {
  const bool fresh = touched_.emplace(DeadlineOf(entry), entry.seq).second;
  MR_DCHECK(fresh);
}

void PendingSet::Leave(PendingEntry* entry) {
  MR_DCHECK(entry->state != State::kGone);
  if (entry->state == State::kTouched) {
    const size_t left = touched_.erase({DeadlineOf(*entry), entry->seq});
    MR_DCHECK(left == 1);
  }
  if (entry->state == State::kQueued) {
    MR_DCHECK(queued_ > 0);
    --queued_;
  }
}

void PendingSet::Invariant() const {
  MR_CHECK(capacity_ == 0 ? ring_ == nullptr : (capacity_ & (capacity_ - 1)) == 0 && mask_ == capacity_ - 1);
  MR_CHECK(head_ <= tail_ && tail_ - head_ <= capacity_);
  MR_CHECK(head_ == tail_ || (at(head_).state != State::kGone && at(tail_ - 1).state != State::kGone));
  size_t live = 0;
  size_t queued = 0;
  size_t touched = 0;
  for (uint64_t position = head_; position != tail_; ++position) {
    const PendingEntry& entry = at(position);
    MR_CHECK(position == head_ || at(position - 1).seq < entry.seq);
    MR_CHECK(entry.state != State::kFirst || position >= first_waiting_);
    live += entry.state != State::kGone;
    queued += entry.state == State::kQueued;
    if (entry.state != State::kTouched) continue;
    MR_CHECK(touched_.contains({DeadlineOf(entry), entry.seq}));
    ++touched;
  }
  MR_CHECK_OP(live, ==, live_);
  MR_CHECK_OP(queued, ==, queued_);
  MR_CHECK_OP(touched, ==, touched_.size());
}

}  // namespace millrace
