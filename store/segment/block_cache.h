// SPDX-License-Identifier: Apache-2.0
// BlockCache: the bodies of blocks that are on disk and could be read again, as many as fit into a budget.
// Owner:  shard (SegmentStore). A body in it is its block's; who goes out of it by Evict is deleted.
// Order:  used last first; the newest two stay in any case: the one that is being read, and the one that was read ahead
//         for it.
// Proof:  tests/store/block_cache_test.cc.
#pragma once

#include <cstdint>

#include "store/segment/block.h"

namespace millrace {

class BlockCache {
 public:
  explicit BlockCache(uint64_t budget_bytes) : budget_bytes_(budget_bytes) {}
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // Its block is on disk. Others may be evicted.
  void Insert(BlockBody* body);
  // Out of the cache; the body is the caller's.
  void Remove(BlockBody* body);
  // It is being read.
  void Touch(BlockBody* body) {
    if (body == newest_) return;
    Remove(body);
    Insert(body);
  }
  void Evict();
  uint64_t bytes() const { return bytes_; }

  // The list has two ends or none.
  void Invariant() const;
  // And is linked both ways, to blocks that are on disk and have these bodies; their sum is counted again.
  void Recount() const;

 private:
  const uint64_t budget_bytes_;
  BlockBody* newest_ = nullptr;
  BlockBody* oldest_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace millrace
