// SPDX-License-Identifier: Apache-2.0
// The operations that a SegmentStore has in flight. Only its own files include this.
// Owner:  shard (SegmentStore).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/base/completion.h"
#include "store/segment/segment_store.h"

namespace millrace {

struct SegmentStore::WriteOp {
  enum class Kind : uint8_t { kBlock, kBlob, kZeros };
  Kind kind = Kind::kBlock;
  SegmentStore* store = nullptr;
  FileStreamLog* log = nullptr;  // nullptr: nobody waits for it
  Block* block = nullptr;
  std::unique_ptr<BlockBody> orphan;  // the body, when its block went while it was being written
  std::string room;                   // the bytes, unless they are the body's
  std::string_view bytes;
  SegmentFile* file = nullptr;
  Extent extent;
  uint64_t tag = 0;
  Completion completion;

  void OnDone(const IoResult& result) { store->OnWritten(this, result.ok() ? 0 : result.error()); }
  void Detach() {
    log = nullptr;
    if (block == nullptr) return;
    MR_CHECK(orphan == nullptr && block->body != nullptr);
    orphan.reset(block->body);
    block->body = nullptr;
    block = nullptr;
  }
};

struct SegmentStore::ReadOp {
  SegmentStore* store = nullptr;
  FileStreamLog* log = nullptr;
  Block* block = nullptr;
  SegmentFile* file = nullptr;
  std::unique_ptr<BlockBody> body;
  Completion completion;

  void OnDone(const IoResult& result) { store->OnRead(this, result); }
  void Detach() {
    log = nullptr;
    if (block != nullptr) block->reading = false;
    block = nullptr;
  }
};

struct SegmentStore::FileSync {
  SegmentStore* store = nullptr;
  SyncOp* op = nullptr;
  SegmentFile* file = nullptr;  // nullptr: the directory
  Completion completion;

  void OnDone(const IoResult& result) { store->OnSynced(this, result); }
};

struct SegmentStore::SyncOp {
  Completion* user = nullptr;
  size_t pending = 0;
  int32_t error = 0;
  std::vector<std::unique_ptr<FileSync>> parts;
};

}  // namespace millrace
