// SPDX-License-Identifier: Apache-2.0
// SharedCounts: numbers that all shards count together, exactly, and seldom: connections of an account.
// Owner:  the mesh; made larger by the control thread before anybody is told of a new index, used by all threads.
// Bounds: kChunks doubling chunks; a count is never given back below 0.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "proto/base/check.h"

namespace millrace {

class SharedCounts {
 public:
  // Indexes below `count` can be used from now on.
  void Reserve(uint32_t count) {
    for (uint32_t chunk = 0; count > 0 && chunk <= ChunkOf(count - 1); ++chunk) {
      if (chunks_[chunk] == nullptr) chunks_[chunk] = std::make_unique<std::atomic<int64_t>[]>(size_t{kFirst} << chunk);
    }
  }

  // One more, unless there are `most` already (below 0: no limit).
  bool TryTake(uint32_t index, int64_t most) {
    std::atomic<int64_t>& count = At(index);
    int64_t now = count.load(std::memory_order_relaxed);
    do {
      if (most >= 0 && now >= most) return false;
    } while (!count.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
    return true;
  }
  void GiveBack(uint32_t index) {
    const int64_t before = At(index).fetch_sub(1, std::memory_order_relaxed);
    MR_CHECK_OP(before, >, 0);
  }
  // One less, if there are more than `most` (below 0: no limit). False when there are not.
  bool GiveBackAbove(uint32_t index, int64_t most) {
    std::atomic<int64_t>& count = At(index);
    int64_t now = count.load(std::memory_order_relaxed);
    do {
      if (most < 0 || now <= most) return false;
    } while (!count.compare_exchange_weak(now, now - 1, std::memory_order_relaxed));
    return true;
  }
  int64_t Get(uint32_t index) { return At(index).load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kFirst = 64;
  static constexpr uint32_t kChunks = 26;

  static uint32_t ChunkOf(uint32_t index) {
    return static_cast<uint32_t>(std::bit_width(uint64_t{index} + kFirst) - std::bit_width(kFirst));
  }
  std::atomic<int64_t>& At(uint32_t index) {
    const uint32_t chunk = ChunkOf(index);
    MR_CHECK(chunk < kChunks && chunks_[chunk] != nullptr);
    return chunks_[chunk][uint64_t{index} + kFirst - (uint64_t{kFirst} << chunk)];
  }

  std::array<std::unique_ptr<std::atomic<int64_t>[]>, kChunks> chunks_;
};

}  // namespace millrace
