// SPDX-License-Identifier: Apache-2.0
// SharedSequence: one count that all shards and the control thread take numbers of, each number once.
// Owner:  the mesh's users: made before the shards start and freed behind them.
#pragma once

#include <atomic>
#include <cstdint>

namespace millrace {

class SharedSequence {
 public:
  explicit SharedSequence(uint64_t last) : last_(last) {}
  SharedSequence(const SharedSequence&) = delete;
  SharedSequence& operator=(const SharedSequence&) = delete;

  uint64_t Next() { return last_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  std::atomic<uint64_t> last_;
};

}  // namespace millrace
