// SPDX-License-Identifier: Apache-2.0
// BlockReader: messages out of the blocks of one stream, with the block at hand that was read last: who reads one
//              message after the other finds it without a search. BlockSource: where bodies come from that are not in
//              memory.
// Owner:  shard (BlockLog). What it is given outlives it; it is told what is erased from the directory.
// Views:  of messages are valid until the next call that loads or changes anything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "store/segment/block.h"
#include "store/segment/block_directory.h"
#include "store/stream_log.h"

namespace millrace {

class BlockSource {
 public:
  // kNow: reads it and waits; kLater: may say kPending.
  enum class Wait : uint8_t { kNow, kLater };
  // The body of a block that is not in memory. nullptr: *why.
  virtual BlockBody* Fetch(Block* block, Wait wait, LoadStatus* why) = 0;
  // One message of such a block without the rest of it. False: Fetch will tell.
  virtual bool Peek(Block*, uint64_t /*seq*/, Wait, StoredMessage*) { return false; }
  virtual void OnUsed(size_t index) = 0;  // another block than before is being read

 protected:
  ~BlockSource() = default;
};

class BlockReader {
 public:
  using Wait = BlockSource::Wait;

  BlockReader(const BlockDirectory& blocks, BlockSource& source) : blocks_(blocks), source_(source) {}
  BlockReader(const BlockReader&) = delete;
  BlockReader& operator=(const BlockReader&) = delete;

  // As in StreamLog, of a sequence that lives.
  LoadStatus Load(uint64_t seq, StoredMessage* message) {
    const Block* block = cursor_;
    if (block != nullptr && seq >= block->first_seq && seq <= block->last_seq && block->body != nullptr) [[likely]] {
      if (block->dense()) {
        block->body->MessageAt(static_cast<uint32_t>(seq - block->first_seq), block->first_seq, message);
        return LoadStatus::kFound;
      }
      if (LoadAtCursor(seq, message)) return LoadStatus::kFound;
    }
    return LoadSlow(seq, message, Wait::kLater);
  }
  LoadStatus LoadNow(uint64_t seq, StoredMessage* message) { return LoadSlow(seq, message, Wait::kNow); }

  // For who does not read on; with its block, and whether it lives or not. False: it cannot be read; *block then, if
  // there is one.
  bool Find(uint64_t seq, Wait wait, StoredMessage* message, Block** block);
  BlockBody* BodyOf(Block* block, Wait wait, LoadStatus* why) {
    return block->body != nullptr ? block->body : source_.Fetch(block, wait, why);
  }
  // Its block is in memory.
  bool IsAtHand(uint64_t seq) const {
    const size_t index = blocks_.IndexOf(seq);
    return index < blocks_.size() && blocks_[index]->body != nullptr;
  }

  // These blocks are about to be erased from the directory.
  void OnErase(size_t first, size_t end);
  // Another block has come between the others.
  void OnInserted() { cursor_ = nullptr; }
  void Invariant() const;

 private:
  LoadStatus LoadSlow(uint64_t seq, StoredMessage* message, Wait wait);
  bool LoadAtCursor(uint64_t seq, StoredMessage* message);
  bool PeekAt(size_t index, uint64_t seq, Wait wait, StoredMessage* message);
  void SetCursor(size_t index);

  const BlockDirectory& blocks_;
  BlockSource& source_;
  Block* cursor_ = nullptr;  // read last
  size_t cursor_index_ = 0;
  uint32_t cursor_ordinal_ = 0;
  uint64_t peeked_seq_ = 0;  // asked for last, of a block that was not in memory
};

}  // namespace millrace
