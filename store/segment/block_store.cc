// SPDX-License-Identifier: Apache-2.0
// BlockStore: writing and giving back. Reading: block_store_read.cc.
#include "store/segment/block_store.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/segment/block_codec.h"
#include "store/segment/block_ops.h"
#include "store/segment/blob_codec.h"

namespace millrace {
namespace {

// A block's part of its file's live bytes.
uint64_t ShareOf(const Block& block, uint64_t live_bytes) {
  return block.record_bytes == 0 ? 0 : block.stored_bytes * live_bytes / block.record_bytes;
}

}  // namespace

void BlockWrite::OnDone(const IoResult& result) { store->OnWritten(this, result.ok() ? 0 : result.error()); }

BlockStore::BlockStore(Disk& disk, const SegmentStoreOptions& options, SegmentFiles& files, BlockCache& cache)
    : disk_(disk), options_(options), files_(files), cache_(cache) {}

BlockStore::~BlockStore() = default;

template <typename F>
void BlockStore::ForEachWrite(F&& visit) {
  for (auto& op : writes_) visit(op.get());
  for (auto& op : queued_) visit(op.get());
}

// --- writing

void BlockStore::Write(BlockOwner* owner, Block* block, bool compress) {
  MR_CHECK(block->place == Block::Place::kMemory && block->body != nullptr && !block->open);
  MR_CHECK_OP(block->body->count(), ==, block->messages);
  auto op = std::make_unique<BlockWrite>();
  const size_t bytes = CompressBlock(*block->body, compress, &op->room, options_.keys);
  if (files_.TakesTheLast(bytes)) {
    files_.set_full(true);
    return;
  }
  const absl::StatusOr<SegmentFile*> file = files_.ForAppend(owner, bytes);
  if (!file.ok()) return;
  op->owner = owner;
  op->block = block;
  op->file = *file;
  files_.Place(*file, owner->stream_uid, bytes, &op->extent);
  block->file = op->extent.file;
  block->offset = op->extent.offset;
  block->stored_bytes = op->extent.bytes;
  block->place = Block::Place::kWriting;
  files_.AddLive(*file, ShareOf(*block, block->live_bytes));
  op->bytes = PrepareBlock(owner->stream_uid, *block, block->body, &op->room, **file, block->offset, options_.keys);
  MR_CHECK_OP(op->bytes.size(), ==, bytes);  // the place was made before they were
  StartWrite(std::move(op));
}

Extent BlockStore::WriteBlob(BlockOwner* owner, uint64_t tag, std::string_view bytes) {
  const size_t stored_bytes = BlobBytes(bytes.size(), options_.keys);
  if (files_.TakesTheLast(stored_bytes - kBlobHashBytes)) return {};
  const absl::StatusOr<SegmentFile*> file = files_.ForAppend(owner, stored_bytes);
  if (!file.ok()) return {};
  auto op = std::make_unique<BlockWrite>();
  op->kind = BlockWrite::Kind::kBlob;
  op->owner = owner;
  op->tag = tag;
  op->file = *file;
  files_.Place(*file, owner->stream_uid, stored_bytes, &op->extent);
  files_.AddLive(*file, op->extent.bytes);
  op->room = PrepareBlob(bytes, **file, op->extent, options_.keys);
  op->bytes = op->room;
  MR_CHECK_OP(op->bytes.size(), ==, op->extent.bytes);
  const Extent extent = op->extent;
  StartWrite(std::move(op));
  return extent;
}

void BlockStore::WriteZeros(SegmentFile* file, const Extent& extent) {
  auto op = std::make_unique<BlockWrite>();
  op->kind = BlockWrite::Kind::kZeros;
  op->extent = extent;
  op->room.assign(extent.bytes, '\0');
  op->bytes = op->room;
  op->file = file;
  ++file->in_flight;
  StartWrite(std::move(op));
}

void BlockStore::StartWrite(std::unique_ptr<BlockWrite> op) {
  op->store = this;
  if (op->kind == BlockWrite::Kind::kZeros && op->file->file < 0 && !files_.OpenFile(op->file).ok()) {
    --op->file->in_flight;
    if (files_.marks().under_way) files_.marks().failed = true;
    return;
  }
  if (files_.recovering()) {
    // No loop turns yet, and what is replayed must not pile up in memory.
    const absl::Status status = disk_.WriteNow(op->file->file, op->extent.offset, op->bytes);
    writes_.push_back(std::move(op));
    OnWritten(writes_.back().get(), status.ok() ? 0 : absl::IsResourceExhausted(status) ? ENOSPC : EIO);
    return;
  }
  if (writes_.size() >= options_.writes_max) {
    queued_.push_back(std::move(op));
    return;
  }
  op->completion.Bind<&BlockWrite::OnDone>(op.get());
  BlockWrite* started = op.get();
  writes_.push_back(std::move(op));
  disk_.Write(started->file->file, started->extent.offset, started->bytes, &started->completion);
}

void BlockStore::OnWritten(BlockWrite* done, int error) {
  const bool ok = error == 0;
  const auto at = std::find_if(writes_.begin(), writes_.end(), [done](const auto& op) { return op.get() == done; });
  MR_CHECK(at != writes_.end() && done->file->in_flight > 0);
  const std::unique_ptr<BlockWrite> op = std::move(*at);
  writes_.erase(at);
  SegmentFile* file = op->file;
  --file->in_flight;
  file->unsynced = true;
  // A full disk refuses a write before it becomes a dirty page: the file is as good as before.
  const bool full = error == ENOSPC || error == EDQUOT;
  files_.set_full(full);
  if (!ok && !full) file->takes_appends = false;
  if (!ok) {
    SegmentFiles::ForgetDead(file);  // something of it may stand there
    if (op->kind == BlockWrite::Kind::kZeros && files_.marks().under_way) files_.marks().failed = true;
  }
  if (op->block != nullptr) {
    OnBlockWritten(op.get(), ok);
  } else if (op->kind == BlockWrite::Kind::kBlob && op->owner != nullptr) {
    if (!ok) {
      files_.DropLive(file, op->extent.bytes);
      --file->wanted;
    }
    op->owner->OnBlobWritten(op->tag, ok);
  }
  files_.RemoveIfUnwanted(file->number);
}

void BlockStore::OnBlockWritten(BlockWrite* op, bool ok) {
  Block* block = op->block;
  MR_CHECK(block->place == Block::Place::kWriting && block->file == op->file->number);
  if (ok) {
    block->place = Block::Place::kDisk;
    op->owner->disk_bytes += block->stored_bytes;
    cache_.Insert(block->body);
    return;
  }
  files_.DropLive(op->file, ShareOf(*block, block->live_bytes));
  --op->file->wanted;
  block->place = Block::Place::kMemory;
  block->file = 0;
}

// --- giving back

void BlockStore::Release(BlockOwner* owner, Block* block, bool wipe) {
  if (block->place == Block::Place::kMemory) return;
  ForEachWrite([block](BlockWrite* op) {
    if (op->block == block) op->Detach();
  });
  if (block->reading) {
    for (auto& op : reads_) {
      if (op->block == block) op->Detach();
    }
  }
  if (block->place == Block::Place::kDisk) {
    if (block->body != nullptr) cache_.Remove(block->body);
    MR_CHECK_OP(owner->disk_bytes, >=, block->stored_bytes);
    owner->disk_bytes -= block->stored_bytes;
  }
  SegmentFile* file = files_.Of(block->file);
  files_.DropLive(file, ShareOf(*block, block->live_bytes));
  files_.Hold(file, block->stored_bytes);
  const Extent extent{block->file, block->stored_bytes, block->offset};
  files_.marks().Keep(extent);
  owner->released.push_back({extent, wipe, false});
}

void BlockStore::ReleaseBlob(BlockOwner* owner, const Extent& extent) {
  SegmentFile* file = files_.Of(extent.file);
  files_.DropLive(file, extent.bytes);
  files_.Hold(file, extent.bytes);
  files_.marks().Keep(extent);
  owner->released.push_back({extent, false, false});
  ForEachWrite([&](BlockWrite* op) {
    if (op->kind == BlockWrite::Kind::kBlob && op->file == file && op->extent.offset == extent.offset) {
      op->owner = nullptr;
    }
  });
}

void BlockStore::OnShrunk(const Block& block, uint64_t record_bytes) {
  SegmentFile* file = files_.Of(block.file);
  MR_CHECK(block.place != Block::Place::kMemory && file->wanted > 0);
  const uint64_t after = block.live_bytes - std::min(record_bytes, block.live_bytes);
  files_.DropLive(file, ShareOf(block, block.live_bytes) - ShareOf(block, after));
}

void BlockStore::OnEncoded(BlockOwner* owner) {
  const std::vector<FreedExtent> released = std::exchange(owner->released, {});
  files_.marks().Keep(released);
  released_.OnEncoded(owner->stream_uid, released);
}

void BlockStore::Leave(BlockOwner* owner, std::vector<FreedExtent> left) {
  files_.marks().Keep(left);
  released_.OnLeft(owner->stream_uid, std::move(left));
  if (owner->file != 0) files_.StopAppends(files_.Of(owner->file));
  ForEachWrite([owner](BlockWrite* op) {
    if (op->owner == owner) op->Detach();
  });
  for (auto& op : reads_) {
    if (op->owner == owner) op->Detach();
  }
  std::erase(without_handle_, owner);
  std::erase(to_tell_, owner);
}

void BlockStore::Free(const FreedExtent& freed) {
  SegmentFile* file = files_.GiveBack(freed);
  if (freed.wipe && !files_.marks().under_way && (file->wanted > 0 || file->held > 0)) {
    return WriteZeros(file, freed.extent);
  }
  SegmentFiles::NoteDead(file, freed.extent);
  files_.RemoveIfUnwanted(freed.extent.file);
}

// --- turns

void BlockStore::EndTurn() {
  to_tell_.swap(without_handle_);
  while (!to_tell_.empty()) {
    BlockOwner* owner = to_tell_.front();
    to_tell_.erase(to_tell_.begin());
    owner->OnLoaded();
  }
  while (!queued_.empty() && writes_.size() < options_.writes_max) {
    std::unique_ptr<BlockWrite> op = std::move(queued_.front());
    queued_.pop_front();
    StartWrite(std::move(op));
  }
}

uint64_t BlockStore::unwritten_bytes() const {
  uint64_t bytes = 0;
  for (const auto& op : writes_) bytes += op->bytes.size();
  for (const auto& op : queued_) bytes += op->bytes.size();
  return bytes;
}

size_t BlockStore::zeros_in_flight() const {
  const auto zeros = [](const auto& ops) {
    return static_cast<size_t>(std::count_if(ops.begin(), ops.end(), [](const auto& op) {
      return op->kind == BlockWrite::Kind::kZeros;
    }));
  };
  return zeros(writes_) + zeros(queued_);
}

void BlockStore::Invariant() const {
  MR_CHECK_OP(writes_.size(), <=, std::max(options_.writes_max, 1u));
  for (const auto& op : reads_) MR_CHECK(op->block == nullptr || (op->block->reading && op->owner != nullptr));
  MR_CHECK(to_tell_.empty());
}

}  // namespace millrace
