// SPDX-License-Identifier: Apache-2.0
// BlockStore: reading.
#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "store/segment/blob_codec.h"
#include "store/segment/block_codec.h"
#include "store/segment/block_ops.h"
#include "store/segment/block_slices.h"
#include "store/segment/block_store.h"

namespace millrace {
namespace {

// A block of which more messages are wanted in one round is read whole. A round is no longer than blocks that are read
// for that would stay in the cache.
constexpr uint32_t kPeeksPerBlock = 4;
constexpr uint64_t kPeeksPerRound = 1024;

}  // namespace

void BlockRead::OnDone(const IoResult& result) { store->OnRead(this, result); }

BlockBody* BlockStore::TakeBody(uint64_t uid, Block* block, std::unique_ptr<BlockBody> body, size_t bytes) {
  SegmentFile* file = files_.Of(block->file);
  if (file->uuid == 0 || !OpenBlock(uid, *block, *file, bytes, &body, options_.keys)) {
    block->damaged = true;
    ReportBadBlock(uid, *block);
    return nullptr;
  }
  MR_CHECK(block->body == nullptr && block->place == Block::Place::kDisk);
  body->block = block;
  block->body = body.release();
  cache_.Insert(block->body);
  return block->body;
}

BlockBody* BlockStore::ReadNow(BlockOwner* owner, Block* block) {
  if (block->damaged) return nullptr;
  if (block->reading) {
    for (auto& op : reads_) {
      if (op->block == block) op->Detach();  // it waits for the same bytes; its listener is told all the same
    }
    owner->OnLoaded();
  }
  SegmentFile* file = files_.Of(block->file);
  auto body = std::make_unique<BlockBody>(block->stored_bytes);
  size_t bytes = 0;
  const absl::Status opened = files_.OpenFile(file);
  if (absl::IsUnavailable(opened)) return nullptr;  // no handle is left: that says nothing of the block
  if (opened.ok()) {
    const absl::StatusOr<size_t> read = disk_.ReadNow(file->file, block->offset, body->data(), block->stored_bytes);
    if (read.ok()) bytes = *read;
  }
  return TakeBody(owner->stream_uid, block, std::move(body), bytes);
}

BlockBody* BlockStore::ReadSoon(BlockOwner* owner, Block* block, LoadStatus* why) {
  *why = LoadStatus::kPending;
  if (block->reading) return nullptr;
  *why = LoadStatus::kDamaged;
  if (block->damaged) return nullptr;
  SegmentFile* file = files_.Of(block->file);
  auto body = std::make_unique<BlockBody>(block->stored_bytes);
  if (const absl::Status opened = files_.OpenFile(file); absl::IsUnavailable(opened)) {
    without_handle_.push_back(owner);  // it asks again when it is told
    *why = LoadStatus::kPending;
    return nullptr;
  } else if (!opened.ok()) {
    return TakeBody(owner->stream_uid, block, std::move(body), 0);
  }
  const int32_t read = disk_.TryRead(file->file, block->offset, body->data(), block->stored_bytes);
  if (read >= 0 && static_cast<uint32_t>(read) == block->stored_bytes) {
    BlockBody* taken = TakeBody(owner->stream_uid, block, std::move(body), block->stored_bytes);
    *why = taken == nullptr ? LoadStatus::kDamaged : LoadStatus::kFound;
    return taken;
  }
  *why = LoadStatus::kPending;
  auto op = std::make_unique<BlockRead>();
  op->store = this;
  op->owner = owner;
  op->block = block;
  op->file = file;
  op->body = std::move(body);
  op->completion.Bind<&BlockRead::OnDone>(op.get());
  block->reading = true;
  ++file->in_flight;
  BlockRead* started = op.get();
  reads_.push_back(std::move(op));
  disk_.Read(file->file, block->offset, started->body->data(), block->stored_bytes, &started->completion);
  return nullptr;
}

void BlockStore::ReadAhead(BlockOwner* owner, Block* block) {
  if (block->body != nullptr || block->place != Block::Place::kDisk || block->reading || block->damaged) return;
  if (reads_.size() >= options_.writes_max) return;
  LoadStatus why = LoadStatus::kFound;
  (void)ReadSoon(owner, block, &why);
}

void BlockStore::OnRead(BlockRead* done, const IoResult& result) {
  const auto at = std::find_if(reads_.begin(), reads_.end(), [done](const auto& op) { return op.get() == done; });
  MR_CHECK(at != reads_.end() && done->file->in_flight > 0);
  const std::unique_ptr<BlockRead> op = std::move(*at);
  reads_.erase(at);
  --op->file->in_flight;
  if (op->block != nullptr) {
    MR_CHECK(op->block->reading);  // Detach takes the block out, whoever else has read it
    op->block->reading = false;
    const size_t bytes = result.ok() ? static_cast<size_t>(result.value) : 0;
    if (op->block->body == nullptr) TakeBody(op->owner->stream_uid, op->block, std::move(op->body), bytes);
    op->owner->OnLoaded();
  }
  files_.RemoveIfUnwanted(op->file->number);
}

bool BlockStore::Peek(BlockOwner* owner, Block* block, uint64_t seq, bool wait, StoredMessage* message) {
  if (block->place != Block::Place::kDisk || block->damaged || block->reading) return false;
  const auto round = static_cast<uint8_t>(peeks_ / kPeeksPerRound);
  if (block->peek_round != round) block->peeks = 0;
  if (block->peeks >= kPeeksPerBlock) return false;
  SegmentFile* file = files_.Of(block->file);
  if (!files_.OpenFile(file).ok() || file->uuid == 0 || file->key_id != 0 || !KnowsKey(options_.keys, 0)) return false;
  const auto read = [&](uint64_t at, char* to, size_t bytes) {
    if (!wait) return disk_.TryRead(file->file, block->offset + at, to, bytes) == static_cast<int32_t>(bytes);
    const absl::StatusOr<size_t> got = disk_.ReadNow(file->file, block->offset + at, to, bytes);
    return got.ok() && *got == bytes;
  };
  const SliceSeeds seeds(owner->stream_uid, block->first_seq, file->SeedAt(block->offset));
  if (!ReadOneMessage(*block, seeds, seq, read, &peek_room_, message)) return false;
  ++peeks_;
  block->peek_round = round;
  ++block->peeks;
  return true;
}

bool BlockStore::ReadBlob(const Extent& extent, std::string* bytes) {
  SegmentFile* file = files_.Of(extent.file);
  if (extent.bytes < kBlobHashBytes || !files_.OpenFile(file).ok()) return false;
  bytes->resize(extent.bytes);
  const absl::StatusOr<size_t> read = disk_.ReadNow(file->file, extent.offset, bytes->data(), extent.bytes);
  if (read.ok() && *read == extent.bytes && OpenBlob(extent, bytes)) return true;
  ReportBadBlob(extent);
  return false;
}

bool BlockStore::OpenBlob(const Extent& extent, std::string* bytes) {
  return millrace::OpenBlob(*files_.Of(extent.file), extent, bytes, options_.keys);
}

void BlockStore::ReportBadBlock(uint64_t uid, const Block& block) {
  files_.ReportDamage(absl::StrFormat("segment file %08x: block at %u of stream %u, sequences %u to %u, is damaged",
                                      block.file, block.offset, uid, block.first_seq, block.last_seq),
                      block.file);
}

void BlockStore::ReportBadBlob(const Extent& extent) {
  files_.ReportDamage(absl::StrFormat("segment file %08x: index run at %u is damaged; it is made anew", extent.file,
                                      extent.offset),
                      extent.file);
}

}  // namespace millrace
