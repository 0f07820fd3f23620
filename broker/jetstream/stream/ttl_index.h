// SPDX-License-Identifier: Apache-2.0
// TtlIndex: which messages of a stream go at which time, each on its own (Nats-TTL; spec J-39).
// Owner:  shard.  Memory: 16 bytes a message. It is not told of messages that go by other ways: their entries stay
//         until they are due, or until WantsSweep says that they may be half of all; so memory follows the live ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "proto/base/check.h"

namespace millrace {

class TtlIndex {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // A seq that is added again is due again.
  void Add(uint64_t seq, int64_t expires_ns) {
    MR_DCHECK(seq > 0);
    heap_.push_back({expires_ns, seq});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  // When the first one is due; kNever: there is none.
  int64_t next_ns() const { return heap_.empty() ? kNever : heap_.front().expires_ns; }
  // Takes what is due at `now_ns`, at most `max` (the earliest), in the order of sequences.
  std::vector<uint64_t> TakeDue(int64_t now_ns, size_t max);

  bool WantsSweep() const { return heap_.size() > sweep_at_; }
  // Forgets the messages that are not live any more.
  template <class IsLive>
  void Sweep(IsLive&& is_live) {
    std::erase_if(heap_, [&](const Entry& entry) { return !is_live(entry.seq); });
    std::make_heap(heap_.begin(), heap_.end(), Later);
    sweep_at_ = 2 * heap_.size() + kSlack;
    MR_DCHECK(!WantsSweep());
  }
  size_t size() const { return heap_.size(); }
  void Clear() { heap_.clear(); }

 private:
  static constexpr size_t kSlack = 4096;
  struct Entry {
    int64_t expires_ns;
    uint64_t seq;
  };
  static bool Later(const Entry& a, const Entry& b) {
    return a.expires_ns != b.expires_ns ? a.expires_ns > b.expires_ns : a.seq > b.seq;
  }

  std::vector<Entry> heap_;
  size_t sweep_at_ = kSlack;
};

inline std::vector<uint64_t> TtlIndex::TakeDue(int64_t now_ns, size_t max) {
  std::vector<uint64_t> due;
  while (due.size() < max && next_ns() <= now_ns) {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    due.push_back(heap_.back().seq);
    heap_.pop_back();
  }
  std::sort(due.begin(), due.end());
  return due;
}

}  // namespace millrace
