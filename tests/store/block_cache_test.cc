// SPDX-License-Identifier: Apache-2.0
// Goal: the cache keeps what was used last, within its budget, and never less than the newest two.
// Method: a list of sizes beside it under random use; its own recount after every step.
#include "store/segment/block_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr uint64_t kBudget = 64 << 10;

// Blocks with bodies that are read again when they are wanted, and who of them should be in the cache.
class Cached {
 public:
  explicit Cached(size_t count) : blocks_(count) {
    for (Block& block : blocks_) block.place = Block::Place::kDisk;
  }
  ~Cached() {
    for (Block& block : blocks_) {
      if (block.body != nullptr) cache.Remove(block.body);
      delete block.body;
    }
    EXPECT_EQ(cache.bytes(), 0u);
  }

  void Use(size_t i, size_t payload_bytes) {
    Block& block = blocks_[i];
    if (block.body != nullptr) {
      cache.Touch(block.body);
      order_.remove(i);
    } else {
      block.body = new BlockBody(1);
      block.body->block = &block;
      const std::string payload(payload_bytes, 'x');
      StoredMessage message;
      message.payload = payload;
      block.body->Append(0, message);
      block.body->Trim();
      cache.Insert(block.body);
    }
    order_.push_front(i);
    sizes_.resize(blocks_.size());
    sizes_[i] = block.body->memory_bytes();
    while (order_.size() > 2 && Sum() > kBudget) order_.pop_back();
  }
  void Forget(size_t i) {
    Block& block = blocks_[i];
    if (block.body == nullptr) return;
    cache.Remove(block.body);
    delete block.body;
    block.body = nullptr;
    order_.remove(i);
  }
  void Compare() {
    cache.Recount();
    ASSERT_EQ(cache.bytes(), Sum());
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const bool there = std::find(order_.begin(), order_.end(), i) != order_.end();
      ASSERT_EQ(blocks_[i].body != nullptr, there) << i;
    }
  }
  size_t held() const { return order_.size(); }

  BlockCache cache{kBudget};

 private:
  uint64_t Sum() const {
    uint64_t sum = 0;
    for (const size_t i : order_) sum += sizes_[i];
    return sum;
  }

  std::vector<Block> blocks_;
  std::vector<uint64_t> sizes_;
  std::list<size_t> order_;  // used last first
};

TEST(BlockCacheTest, KeepsWhatWasUsedLast) {
  SeededRandom random(7);
  Cached cached(40);
  for (size_t i = 0; i < Rounds(20'000); ++i) {
    const size_t block = random.Below(40);
    if (random.OneIn(10)) {
      cached.Forget(block);
    } else {
      cached.Use(block, 100 + random.Below(8000));
    }
    cached.Compare();
    if (HasFatalFailure()) return;
  }
}

TEST(BlockCacheTest, TheNewestTwoStayHoweverLargeTheyAre) {
  Cached cached(4);
  for (size_t i = 0; i < 4; ++i) {
    cached.Use(i, 2 * kBudget);
    cached.cache.Evict();
    cached.Compare();
  }
  EXPECT_EQ(cached.held(), 2u);
}

TEST(BlockCacheTest, ThePlaceOfOneThatGoesIsNotTakenByTheOthers) {
  Cached cached(3);
  for (size_t i = 0; i < 3; ++i) cached.Use(i, 100);
  for (const size_t i : {1, 2, 0}) {  // from the middle, the newest, the only one
    cached.Forget(i);
    cached.Compare();
  }
  cached.cache.Invariant();
  EXPECT_EQ(cached.held(), 0u);
}

}  // namespace
}  // namespace millrace
