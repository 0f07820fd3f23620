// SPDX-License-Identifier: Apache-2.0
#include "store/segment/block_reader.h"

#include <utility>

namespace millrace {
namespace {

constexpr uint64_t kNear = 2;  // sequences apart: the next message, or one is gone between them

}  // namespace

void BlockReader::SetCursor(size_t index) {
  MR_CHECK(index < blocks_.size() && blocks_[index]->body != nullptr);
  cursor_ = blocks_[index].get();
  cursor_index_ = index;
  cursor_ordinal_ = 0;
  source_.OnUsed(index);
}

// A block with gaps: a sequential reader wants the record behind the one before.
bool BlockReader::LoadAtCursor(uint64_t seq, StoredMessage* message) {
  MR_DCHECK(cursor_ == blocks_[cursor_index_].get());
  const BlockBody& body = *cursor_->body;
  const auto offset = static_cast<uint32_t>(seq - cursor_->first_seq);
  for (uint32_t ordinal = cursor_ordinal_; ordinal < body.count() && ordinal < cursor_ordinal_ + 3; ++ordinal) {
    if (body.HeaderAt(ordinal).seq_offset != offset) continue;
    cursor_ordinal_ = ordinal;
    body.MessageAt(ordinal, cursor_->first_seq, message);
    return true;
  }
  return false;
}

// Who reads one message after the other wants the block; who picks some wants only these.
bool BlockReader::PeekAt(size_t index, uint64_t seq, Wait wait, StoredMessage* message) {
  Block* block = blocks_[index].get();
  MR_DCHECK(seq >= block->first_seq && seq <= block->last_seq);
  if (block->body != nullptr) return false;
  const bool follows = seq - std::exchange(peeked_seq_, seq) <= kNear;
  const bool next = cursor_ != nullptr && index == cursor_index_ + 1 && seq - cursor_->last_seq <= kNear;
  return !follows && !next && source_.Peek(block, seq, wait, message);
}

LoadStatus BlockReader::LoadSlow(uint64_t seq, StoredMessage* message, Wait wait) {
  if (cursor_ == nullptr || seq < cursor_->first_seq || seq > cursor_->last_seq || cursor_->body == nullptr) {
    size_t index = cursor_index_ + 1;
    if (cursor_ == nullptr || index >= blocks_.size() || seq < blocks_[index]->first_seq ||
        seq > blocks_[index]->last_seq) {
      index = blocks_.IndexOf(seq);
    }
    if (index >= blocks_.size()) return LoadStatus::kDamaged;
    if (PeekAt(index, seq, wait, message)) return LoadStatus::kFound;
    LoadStatus why = LoadStatus::kFound;
    if (BodyOf(blocks_[index].get(), wait, &why) == nullptr) return why;
    SetCursor(index);
  }
  const uint32_t ordinal = cursor_->OrdinalOf(seq);
  if (ordinal >= cursor_->body->count()) return LoadStatus::kDamaged;
  cursor_ordinal_ = ordinal;
  cursor_->body->MessageAt(ordinal, cursor_->first_seq, message);
  return message->seq == seq ? LoadStatus::kFound : LoadStatus::kDamaged;
}

bool BlockReader::Find(uint64_t seq, Wait wait, StoredMessage* message, Block** found) {
  const size_t index = blocks_.empty() || seq > blocks_.front()->last_seq ? blocks_.IndexOf(seq) : 0;
  if (index == blocks_.size()) return false;
  Block* block = blocks_[index].get();
  *found = block;
  if (PeekAt(index, seq, wait, message)) return true;
  LoadStatus why = LoadStatus::kFound;
  const BlockBody* body = BodyOf(block, wait, &why);
  if (body == nullptr) return false;
  const uint32_t ordinal = block->OrdinalOf(seq);
  if (ordinal >= body->count()) return false;
  body->MessageAt(ordinal, block->first_seq, message);
  return message->seq == seq;
}

void BlockReader::OnErase(size_t first, size_t end) {
  MR_CHECK(first < end && end <= blocks_.size());
  if (cursor_ == nullptr || cursor_index_ < end) {
    cursor_ = nullptr;
    cursor_index_ = 0;
  } else {
    cursor_index_ -= end - first;
  }
}

void BlockReader::Invariant() const {
  MR_CHECK(cursor_ == nullptr || (cursor_index_ < blocks_.size() && blocks_[cursor_index_].get() == cursor_));
}

}  // namespace millrace
