// SPDX-License-Identifier: Apache-2.0
#include "store/segment/block_directory.h"

#include <utility>

namespace millrace {

Block* BlockDirectory::Open(uint64_t first_seq) {
  MR_CHECK(blocks_.empty() || (!blocks_.back()->open && blocks_.back()->last_seq < first_seq));
  const int64_t max_time_ns = blocks_.empty() ? INT64_MIN : blocks_.back()->max_time_ns;
  blocks_.push_back(std::make_unique<Block>());
  ends_.push_back(UINT64_MAX);
  Block* block = blocks_.back().get();
  block->first_seq = first_seq;
  block->max_time_ns = max_time_ns;
  return block;
}

void BlockDirectory::CloseLast() {
  MR_CHECK(!blocks_.empty() && blocks_.back()->open);
  blocks_.back()->open = false;
  ends_.back() = blocks_.back()->last_seq;
}

void BlockDirectory::Insert(size_t at, std::unique_ptr<Block> block) {
  MR_CHECK(at <= blocks_.size() && !block->open);
  ends_.insert(ends_.begin() + static_cast<ptrdiff_t>(at), block->last_seq);
  blocks_.insert(blocks_.begin() + static_cast<ptrdiff_t>(at), std::move(block));
}

void BlockDirectory::Erase(size_t first, size_t end) {
  MR_CHECK(first < end && end <= blocks_.size());
  blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(first), blocks_.begin() + static_cast<ptrdiff_t>(end));
  ends_.erase(ends_.begin() + static_cast<ptrdiff_t>(first), ends_.begin() + static_cast<ptrdiff_t>(end));
}

void BlockDirectory::Adopt(Blocks blocks) {
  MR_CHECK(blocks_.empty());
  blocks_ = std::move(blocks);
  ends_.reserve(blocks_.size());
  for (const auto& block : blocks_) ends_.push_back(block->last_seq);
}

void BlockDirectory::ShrinkToFit() {
  blocks_.shrink_to_fit();
  ends_.shrink_to_fit();
}

void BlockDirectory::Invariant() const {
  MR_CHECK_OP(blocks_.size(), ==, ends_.size());
  const Block* before = nullptr;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = *blocks_[i];
    MR_CHECK_OP(block.first_seq, <=, block.last_seq);
    MR_CHECK_OP(block.messages, <=, block.last_seq - block.first_seq + 1);
    MR_CHECK_OP(block.live, <=, block.messages);
    MR_CHECK_OP(block.live_headed, <=, block.messages);
    MR_CHECK_OP(block.live_bytes, <=, block.record_bytes);
    MR_CHECK(block.messages > 0 && block.last_time_ns <= block.max_time_ns);
    MR_CHECK(!block.open || i + 1 == blocks_.size());
    MR_CHECK_OP(ends_[i], ==, block.open ? UINT64_MAX : block.last_seq);
    MR_CHECK(before == nullptr || (before->last_seq < block.first_seq && before->max_time_ns <= block.max_time_ns));
    MR_CHECK((block.place == Block::Place::kMemory) == (block.file == 0));
    MR_CHECK(block.body != nullptr || block.place == Block::Place::kDisk);
    if (block.body != nullptr) {
      MR_CHECK(block.body->block == &block && block.body->count() == block.messages);
      MR_CHECK_OP(block.body->record_bytes(), ==, block.record_bytes);
    }
    before = &block;
  }
}

}  // namespace millrace
