// SPDX-License-Identifier: Apache-2.0
// BlockWrite, BlockRead: what a BlockStore has in flight. Only its own files include this.
// Owner:  shard (BlockStore).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "proto/base/completion.h"
#include "store/segment/block.h"
#include "store/segment/block_owner.h"
#include "store/segment/segment_file.h"

namespace millrace {

class BlockStore;

struct BlockWrite {
  enum class Kind : uint8_t { kBlock, kBlob, kZeros };
  Kind kind = Kind::kBlock;
  BlockStore* store = nullptr;
  BlockOwner* owner = nullptr;  // nullptr: nobody waits for it
  Block* block = nullptr;
  std::unique_ptr<BlockBody> orphan;  // the body, when its block went while it was being written
  std::string room;                   // the bytes, unless they are the body's
  std::string_view bytes;
  SegmentFile* file = nullptr;
  Extent extent;
  uint64_t tag = 0;
  Completion completion;

  void OnDone(const IoResult& result);
  void Detach() {
    owner = nullptr;
    if (block == nullptr) return;
    MR_CHECK(orphan == nullptr && block->body != nullptr);
    orphan.reset(block->body);
    block->body = nullptr;
    block = nullptr;
  }
};

struct BlockRead {
  BlockStore* store = nullptr;
  BlockOwner* owner = nullptr;
  Block* block = nullptr;
  SegmentFile* file = nullptr;
  std::unique_ptr<BlockBody> body;
  Completion completion;

  void OnDone(const IoResult& result);
  void Detach() {
    owner = nullptr;
    if (block != nullptr) block->reading = false;
    block = nullptr;
  }
};

}  // namespace millrace
