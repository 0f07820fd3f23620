// SPDX-License-Identifier: Apache-2.0
// RedeliveryQueue: sequences that are to be sent again, first come first served.
// Owner:  shard.  A sequence whose message was acknowledged meanwhile stays until it is at the front: PendingSet says
//         whether it is still queued, and knows how many are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "proto/base/check.h"

namespace millrace {

class RedeliveryQueue {
 public:
  bool empty() const { return front_ == seqs_.size(); }
  uint64_t front() const {
    MR_DCHECK(!empty());
    return seqs_[front_];
  }
  void Push(uint64_t seq) { seqs_.push_back(seq); }
  void PopFront() {
    MR_DCHECK(!empty());
    ++front_;
    if (front_ == seqs_.size()) {
      seqs_.clear();
      front_ = 0;
    } else if (front_ >= 64 && front_ * 2 >= seqs_.size()) {
      seqs_.erase(seqs_.begin(), seqs_.begin() + static_cast<std::ptrdiff_t>(front_));
      front_ = 0;
    }
  }
  // Walks the queue: for what is rare.
  void Remove(uint64_t seq) {
    const auto found = std::find(seqs_.begin() + static_cast<std::ptrdiff_t>(front_), seqs_.end(), seq);
    if (found != seqs_.end()) seqs_.erase(found);
    if (empty()) Clear();
  }
  void Clear() {
    seqs_ = {};
    front_ = 0;
  }

  template <typename F>
  void ForEach(F&& visit) const {
    for (size_t at = front_; at != seqs_.size(); ++at) visit(seqs_[at]);
  }

 private:
  std::vector<uint64_t> seqs_;
  size_t front_ = 0;
};

}  // namespace millrace
