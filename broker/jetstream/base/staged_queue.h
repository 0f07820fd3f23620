// SPDX-License-Identifier: Apache-2.0
// StagedQueue: which messages of which stream may be seen once the log is durable up to where.
// Owner:  shard; part of the engine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "proto/base/check.h"
#include "store/journal.h"

namespace millrace {

class StagedQueue {
 public:
  // Messages of the stream up to `seq` are staged, and durable with `lsn`.
  void Add(uint64_t stream_uid, uint64_t seq, Lsn lsn) {
    // A task may have been paused between the log and here. What was staged meanwhile leaves first, so it waits for
    // that.
    if (!staged_.empty()) lsn = std::max(lsn, staged_.back().lsn);
    // What is staged in one turn is submitted together: one entry. Across turns entries must not merge, or a stream
    // that is published to without a pause would never become visible.
    if (!staged_.empty() && staged_.back().turn == turn_ && staged_.back().stream_uid == stream_uid) {
      MR_DCHECK(staged_.back().seq <= seq);
      staged_.back().lsn = lsn;
      staged_.back().seq = seq;
      return;
    }
    staged_.push_back(Staged{lsn, stream_uid, seq, turn_});
  }
  // show(stream_uid, seq) for what is durable, in the order in which it was staged.
  template <class Show>
  void Release(Lsn durable, Show&& show) {
    while (!staged_.empty() && staged_.front().lsn <= durable) {
      const Staged next = staged_.front();
      show(next.stream_uid, next.seq);
      staged_.pop_front();
    }
  }
  // What was staged is with the store.
  void EndTurn() { ++turn_; }

  void Invariant(Lsn staged) const {
    for (size_t i = 1; i < staged_.size(); ++i) MR_CHECK_OP(staged_[i - 1].lsn, <=, staged_[i].lsn);
    MR_CHECK(staged_.empty() || staged_.back().lsn <= staged);
  }

 private:
  struct Staged {
    Lsn lsn;
    uint64_t stream_uid;
    uint64_t seq;
    uint64_t turn;
  };
  std::deque<Staged> staged_;
  uint64_t turn_ = 0;
};

}  // namespace millrace
