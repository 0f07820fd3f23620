// SPDX-License-Identifier: Apache-2.0
// BlockDirectory: the blocks of one stream by sequence.
// Owner:  shard (BlockLog). Bodies are not its business: whoever takes a block out has taken care of its body.
// Cost:   finding a block touches eight bytes of each that is looked at, and none of the blocks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "store/segment/block.h"

namespace millrace {

class BlockDirectory {
 public:
  using Blocks = std::vector<std::unique_ptr<Block>>;

  size_t size() const { return blocks_.size(); }
  bool empty() const { return blocks_.empty(); }
  const std::unique_ptr<Block>& operator[](size_t index) const { return blocks_[index]; }
  const std::unique_ptr<Block>& front() const { return blocks_.front(); }
  const std::unique_ptr<Block>& back() const { return blocks_.back(); }
  Blocks::const_iterator begin() const { return blocks_.begin(); }
  Blocks::const_iterator end() const { return blocks_.end(); }
  const Blocks& all() const { return blocks_; }

  // Of the block that spans seq, or of the first one behind it; size(): there is none.
  size_t IndexOf(uint64_t seq) const {
    const size_t n = blocks_.size();
    if (n > 0 && seq >= blocks_[n - 1]->first_seq) return seq <= blocks_[n - 1]->last_seq ? n - 1 : n;
    return static_cast<size_t>(std::lower_bound(ends_.begin(), ends_.end(), seq) - ends_.begin());
  }

  // A block behind all others that takes appends, until it is closed; no other does.
  Block* Open(uint64_t first_seq);
  void CloseLast();
  void Insert(size_t at, std::unique_ptr<Block> block);
  void Erase(size_t first, size_t end);
  void Adopt(Blocks blocks);  // of a directory that has none
  void ShrinkToFit();

  size_t memory_bytes() const { return (blocks_.capacity() + ends_.capacity()) * 8; }
  // Blocks ascend, in sequences and in times, and no count of one is more than what it is a part of.
  void Invariant() const;

 private:
  Blocks blocks_;               // only the last may be open
  std::vector<uint64_t> ends_;  // last_seq of each; UINT64_MAX of the open one
};

}  // namespace millrace
