// SPDX-License-Identifier: Apache-2.0
// SegmentStore: blocks and blobs on their way to files and back, and the cache.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "store/segment/block_codec.h"
#include "store/segment/block_slices.h"
#include "store/segment/file_stream_log.h"
#include "store/hash.h"
#include "store/segment/segment_ops.h"
#include "store/segment/segment_sweep.h"
#include "store/segment/segment_store.h"

namespace millrace {
namespace {

constexpr size_t kBlobHashBytes = 8;
constexpr uint64_t kFloorBytesLeast = 16 << 10;
// A block of which more messages are wanted in one round is read whole. A round is no longer than blocks that are read
// for that would stay in the cache.
constexpr uint32_t kPeeksPerBlock = 4;
constexpr uint64_t kPeeksPerRound = 1024;

// What is authenticated with an index run: where it stands.
struct BlobPosition {
  BlobPosition(const SegmentFile& segment, const Extent& extent)
      : uuid(segment.uuid), file(extent.file), bytes(extent.bytes), offset(extent.offset) {}
  std::string_view view() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }

  uint64_t uuid;
  uint32_t file;
  uint32_t bytes;  // hash and seal included
  uint64_t offset;
};
static_assert(sizeof(BlobPosition) == 24);

// A block's part of its file's live bytes.
uint64_t ShareOf(const Block& block, uint64_t live_bytes) {
  return block.record_bytes == 0 ? 0 : block.stored_bytes * live_bytes / block.record_bytes;
}

}  // namespace

// --- writing

void SegmentStore::Place(SegmentFile* file, uint64_t uid, uint64_t bytes, Extent* extent) {
  const uint64_t offset = (file->end + kSegmentAlignment - 1) & ~(kSegmentAlignment - 1);
  // A place is 40 bits of offset in a file's number (PlaceOf), and nothing goes behind what has failed.
  MR_CHECK(file->takes_appends && !file->failed && file->file >= 0);
  MR_CHECK_OP(offset + bytes, <, uint64_t{1} << 40);
  MR_CHECK_OP(bytes, <=, UINT32_MAX);
  *extent = {file->number, static_cast<uint32_t>(bytes), offset};
  SetEnd(file, offset + bytes);
  MR_CHECK_OP(file->held_bytes, >=, file->held_rest);
  use_.held_bytes -= file->held_rest;  // it stays after all
  file->held_bytes -= std::exchange(file->held_rest, 0);
  ++file->wanted;
  ++file->in_flight;
  if (file->uids.empty() || file->uids.back() != uid) file->uids.push_back(uid);
}

// The last bytes are for the catalog: the checkpoint that is committed with them gives back what blocks need.
bool SegmentStore::TakesTheLast(uint64_t bytes) {
  if (recovering_) return false;
  const absl::StatusOr<uint64_t> free = disk_.FreeBytes();
  return free.ok() && *free < bytes + std::max(options_.slack_bytes / 8, kFloorBytesLeast);
}

void SegmentStore::Write(FileStreamLog* log, Block* block) {
  MR_CHECK(block->place == Block::Place::kMemory && block->body != nullptr && !block->open);
  MR_CHECK_OP(block->body->count(), ==, block->messages);
  auto op = std::make_unique<WriteOp>();
  const size_t bytes = CompressBlock(*block->body, log->options().compress, &op->room, options_.keys);
  if (TakesTheLast(bytes)) {
    full_ = true;
    log->OnBlockFailed(block);
    return;
  }
  const absl::StatusOr<SegmentFile*> file = FileFor(log, bytes);
  if (!file.ok()) {
    log->OnBlockFailed(block);
    return;
  }
  op->log = log;
  op->block = block;
  op->file = *file;
  Place(*file, log->uid(), bytes, &op->extent);
  block->file = op->extent.file;
  block->offset = op->extent.offset;
  block->stored_bytes = op->extent.bytes;
  block->place = Block::Place::kWriting;
  AddLive(*file, ShareOf(*block, block->live_bytes));
  op->bytes = PrepareBlock(log->uid(), *block, block->body, &op->room, **file, block->offset, options_.keys);
  MR_CHECK_OP(op->bytes.size(), ==, bytes);  // the place was made before they were
  StartWrite(std::move(op));
}

Extent SegmentStore::WriteBlob(FileStreamLog* log, uint64_t tag, std::string_view bytes) {
  StoreKeys* keys = options_.keys;
  const size_t stored_bytes = bytes.size() + SealBytes(keys);
  if (TakesTheLast(stored_bytes)) return {};
  const absl::StatusOr<SegmentFile*> file = FileFor(log, stored_bytes + kBlobHashBytes);
  if (!file.ok()) return {};
  auto op = std::make_unique<WriteOp>();
  op->kind = WriteOp::Kind::kBlob;
  op->log = log;
  op->tag = tag;
  op->file = *file;
  Place(*file, log->uid(), stored_bytes + kBlobHashBytes, &op->extent);
  AddLive(*file, op->extent.bytes);
  op->room.resize(kBlobHashBytes);
  if (keys == nullptr) {
    op->room.append(bytes);
  } else {
    op->room.resize(kBlobHashBytes + stored_bytes);
    const BlobPosition position(**file, op->extent);
    keys->Seal(position.view(), bytes.data(), bytes.size(), op->room.data() + kBlobHashBytes);
  }
  const std::string_view stored = std::string_view(op->room).substr(kBlobHashBytes);
  const uint64_t hash = Hash64(stored, (*file)->SeedAt(op->extent.offset));
  std::memcpy(op->room.data(), &hash, sizeof hash);
  op->bytes = op->room;
  MR_CHECK_OP(op->bytes.size(), ==, op->extent.bytes);
  const Extent extent = op->extent;
  StartWrite(std::move(op));
  return extent;
}

void SegmentStore::StartWrite(std::unique_ptr<WriteOp> op) {
  op->store = this;
  if (op->kind == WriteOp::Kind::kZeros && op->file->file < 0 && !OpenFile(op->file).ok()) {
    --op->file->in_flight;
    if (sweep_ != nullptr) sweep_->failed = true;
    return;
  }
  if (recovering_) {
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
  op->completion.Bind<&WriteOp::OnDone>(op.get());
  WriteOp* started = op.get();
  writes_.push_back(std::move(op));
  disk_.Write(started->file->file, started->extent.offset, started->bytes, &started->completion);
}

void SegmentStore::StartQueued() {
  while (!queued_.empty() && writes_.size() < options_.writes_max) {
    std::unique_ptr<WriteOp> op = std::move(queued_.front());
    queued_.pop_front();
    StartWrite(std::move(op));
  }
}

void SegmentStore::OnWritten(WriteOp* done, int error) {
  const bool ok = error == 0;
  const auto at = std::find_if(writes_.begin(), writes_.end(), [done](const auto& op) { return op.get() == done; });
  MR_CHECK(at != writes_.end() && done->file->in_flight > 0);
  const std::unique_ptr<WriteOp> op = std::move(*at);
  writes_.erase(at);
  SegmentFile* file = op->file;
  --file->in_flight;
  file->unsynced = true;
  // A full disk refuses a write before it becomes a dirty page: the file is as good as before.
  full_ = error == ENOSPC || error == EDQUOT;
  if (!ok && !full_) file->takes_appends = false;
  if (!ok) {
    file->tracks_dead = false;  // something of it may stand there
    std::vector<Extent>().swap(file->dead);
    if (op->kind == WriteOp::Kind::kZeros && sweep_ != nullptr) sweep_->failed = true;
  }
  Block* block = op->block;
  if (block != nullptr) MR_CHECK(block->place == Block::Place::kWriting && block->file == file->number);
  if (block != nullptr && ok) {
    block->place = Block::Place::kDisk;
    Insert(block->body);
    op->log->OnBlockWritten(block);
  } else if (block != nullptr) {
    DropLive(file, ShareOf(*block, block->live_bytes));
    --file->wanted;
    block->place = Block::Place::kMemory;
    block->file = 0;
    op->log->OnBlockFailed(block);
  } else if (op->kind == WriteOp::Kind::kBlob && op->log != nullptr) {
    if (!ok) {
      DropLive(file, op->extent.bytes);
      --file->wanted;
    }
    op->log->OnBlobWritten(op->tag, ok);
  }
  RemoveIfUnwanted(file->number);
}

void SegmentStore::Hold(SegmentFile* file, uint64_t bytes) {
  MR_CHECK(file->wanted > 0);
  --file->wanted;
  ++file->held;
  file->held_bytes += bytes;
  use_.held_bytes += bytes;
  if (file->wanted > 0 || (file->takes_appends && file->end < kOpenFileBytes)) return;
  const uint64_t rest = file->dead_bytes();
  file->held_rest += rest;
  file->held_bytes += rest;
  use_.held_bytes += rest;
}

void SegmentStore::Release(FileStreamLog* log, Block* block, bool wipe) {
  if (block->place == Block::Place::kMemory) return;
  for (auto* ops : {&writes_}) {
    for (auto& op : *ops) {
      if (op->block == block) op->Detach();
    }
  }
  for (auto& op : queued_) {
    if (op->block == block) op->Detach();
  }
  if (block->reading) {
    for (auto& op : reads_) {
      if (op->block == block) op->Detach();
    }
  }
  if (block->place == Block::Place::kDisk && block->body != nullptr) Remove(block->body);
  SegmentFile* file = FileOf(block->file);
  DropLive(file, ShareOf(*block, block->live_bytes));
  Hold(file, block->stored_bytes);
  const FreedExtent freed{{block->file, block->stored_bytes, block->offset}, wipe, false};
  if (sweep_ != nullptr) sweep_->Keep({freed});
  log->OnReleased(freed);
}

void SegmentStore::ReleaseBlob(FileStreamLog* log, const Extent& extent) {
  SegmentFile* file = FileOf(extent.file);
  DropLive(file, extent.bytes);
  Hold(file, extent.bytes);
  const FreedExtent freed{extent, false, false};
  if (sweep_ != nullptr) sweep_->Keep({freed});
  log->OnReleased(freed);
  for (auto* ops : {&writes_}) {
    for (auto& op : *ops) {
      if (op->kind == WriteOp::Kind::kBlob && op->file == file && op->extent.offset == extent.offset) op->log = nullptr;
    }
  }
  for (auto& op : queued_) {
    if (op->kind == WriteOp::Kind::kBlob && op->file == file && op->extent.offset == extent.offset) op->log = nullptr;
  }
}

void SegmentStore::OnShrunk(const Block& block, uint64_t record_bytes) {
  SegmentFile* file = FileOf(block.file);
  MR_CHECK(block.place != Block::Place::kMemory && file->wanted > 0);
  const uint64_t after = block.live_bytes - std::min(record_bytes, block.live_bytes);
  DropLive(file, ShareOf(block, block.live_bytes) - ShareOf(block, after));
}

// --- reading

BlockBody* SegmentStore::TakeBody(FileStreamLog* log, Block* block, std::unique_ptr<BlockBody> body, size_t bytes) {
  SegmentFile* file = FileOf(block->file);
  if (file->uuid == 0 || !OpenBlock(log->uid(), *block, *file, bytes, &body, options_.keys)) {
    block->damaged = true;
    ReportBadBlock(log, *block);
    return nullptr;
  }
  MR_CHECK(block->body == nullptr && block->place == Block::Place::kDisk);
  body->block = block;
  block->body = body.release();
  Insert(block->body);
  return block->body;
}

BlockBody* SegmentStore::ReadNow(FileStreamLog* log, Block* block) {
  if (block->damaged) return nullptr;
  if (block->reading) {
    for (auto& op : reads_) {
      if (op->block == block) op->Detach();  // it waits for the same bytes; its listener is told all the same
    }
    log->OnLoaded();
  }
  SegmentFile* file = FileOf(block->file);
  auto body = std::make_unique<BlockBody>(block->stored_bytes);
  size_t bytes = 0;
  const absl::Status opened = OpenFile(file);
  if (absl::IsUnavailable(opened)) return nullptr;  // no handle is left: that says nothing of the block
  if (opened.ok()) {
    const absl::StatusOr<size_t> read = disk_.ReadNow(file->file, block->offset, body->data(), block->stored_bytes);
    if (read.ok()) bytes = *read;
  }
  return TakeBody(log, block, std::move(body), bytes);
}

BlockBody* SegmentStore::ReadSoon(FileStreamLog* log, Block* block, LoadStatus* why) {
  *why = LoadStatus::kPending;
  if (block->reading) return nullptr;
  *why = LoadStatus::kDamaged;
  if (block->damaged) return nullptr;
  SegmentFile* file = FileOf(block->file);
  auto body = std::make_unique<BlockBody>(block->stored_bytes);
  if (const absl::Status opened = OpenFile(file); absl::IsUnavailable(opened)) {
    without_handle_.push_back(log->uid());  // it asks again when it is told
    *why = LoadStatus::kPending;
    return nullptr;
  } else if (!opened.ok()) {
    return TakeBody(log, block, std::move(body), 0);
  }
  const int32_t read = disk_.TryRead(file->file, block->offset, body->data(), block->stored_bytes);
  if (read >= 0 && static_cast<uint32_t>(read) == block->stored_bytes) {
    BlockBody* taken = TakeBody(log, block, std::move(body), block->stored_bytes);
    *why = taken == nullptr ? LoadStatus::kDamaged : LoadStatus::kFound;
    return taken;
  }
  *why = LoadStatus::kPending;
  auto op = std::make_unique<ReadOp>();
  op->store = this;
  op->log = log;
  op->block = block;
  op->file = file;
  op->body = std::move(body);
  op->completion.Bind<&ReadOp::OnDone>(op.get());
  block->reading = true;
  ++file->in_flight;
  ReadOp* started = op.get();
  reads_.push_back(std::move(op));
  disk_.Read(file->file, block->offset, started->body->data(), block->stored_bytes, &started->completion);
  return nullptr;
}

bool SegmentStore::Peek(FileStreamLog* log, Block* block, uint64_t seq, bool wait, StoredMessage* message) {
  if (block->place != Block::Place::kDisk || block->damaged || block->reading) return false;
  const auto round = static_cast<uint8_t>(peeks_ / kPeeksPerRound);
  if (block->peek_round != round) block->peeks = 0;
  if (block->peeks >= kPeeksPerBlock) return false;
  SegmentFile* file = FileOf(block->file);
  if (!OpenFile(file).ok() || file->uuid == 0 || file->key_id != 0 || !KnowsKey(options_.keys, 0)) return false;
  const auto read = [&](uint64_t at, char* to, size_t bytes) {
    if (!wait) return disk_.TryRead(file->file, block->offset + at, to, bytes) == static_cast<int32_t>(bytes);
    const absl::StatusOr<size_t> got = disk_.ReadNow(file->file, block->offset + at, to, bytes);
    return got.ok() && *got == bytes;
  };
  const SliceSeeds seeds(log->uid(), block->first_seq, file->SeedAt(block->offset));
  if (!ReadOneMessage(*block, seeds, seq, read, &peek_room_, message)) return false;
  ++peeks_;
  block->peek_round = round;
  ++block->peeks;
  return true;
}

void SegmentStore::ReadAhead(FileStreamLog* log, Block* block) {
  if (block->body != nullptr || block->place != Block::Place::kDisk || block->reading || block->damaged) return;
  if (reads_.size() >= options_.writes_max) return;
  LoadStatus why = LoadStatus::kFound;
  (void)ReadSoon(log, block, &why);
}

void SegmentStore::OnRead(ReadOp* done, const IoResult& result) {
  const auto at = std::find_if(reads_.begin(), reads_.end(), [done](const auto& op) { return op.get() == done; });
  MR_CHECK(at != reads_.end() && done->file->in_flight > 0);
  const std::unique_ptr<ReadOp> op = std::move(*at);
  reads_.erase(at);
  --op->file->in_flight;
  if (op->block != nullptr) {
    MR_CHECK(op->block->reading);  // Detach takes the block out, whoever else has read it
    op->block->reading = false;
    const size_t bytes = result.ok() ? static_cast<size_t>(result.value) : 0;
    if (op->block->body == nullptr) TakeBody(op->log, op->block, std::move(op->body), bytes);
    op->log->OnLoaded();
  }
  RemoveIfUnwanted(op->file->number);
}

void SegmentStore::ReportBadBlock(FileStreamLog* log, const Block& block) {
  ReportDamage(absl::StrFormat("segment file %08x: block at %u of stream %u, sequences %u to %u, is damaged",
                               block.file, block.offset, log->uid(), block.first_seq, block.last_seq),
               block.file);
}

void SegmentStore::ReportBadRun(const Extent& extent) {
  ReportDamage(absl::StrFormat("segment file %08x: index run at %u is damaged; it is made anew", extent.file,
                               extent.offset),
               extent.file);
}

bool SegmentStore::OpenBlob(const Extent& extent, std::string* bytes) {
  SegmentFile* file = FileOf(extent.file);
  uint64_t hash = 0;
  std::memcpy(&hash, bytes->data(), sizeof hash);
  if (hash != Hash64(std::string_view(*bytes).substr(kBlobHashBytes), file->SeedAt(extent.offset))) return false;
  StoreKeys* keys = options_.keys;
  if (file->key_id == 0) {
    if (!KnowsKey(keys, 0)) return false;
  } else {
    const BlobPosition position(*file, extent);
    char* stored = bytes->data() + kBlobHashBytes;
    const size_t stored_bytes = bytes->size() - kBlobHashBytes;
    if (keys == nullptr || !keys->Open(file->key_id, position.view(), stored, stored_bytes, stored)) return false;
    bytes->resize(bytes->size() - kSealBytes);
  }
  bytes->erase(0, kBlobHashBytes);
  return true;
}

bool SegmentStore::ReadBlob(const Extent& extent, std::string* bytes) {
  SegmentFile* file = FileOf(extent.file);
  if (extent.bytes < kBlobHashBytes || !OpenFile(file).ok()) return false;
  bytes->resize(extent.bytes);
  const absl::StatusOr<size_t> read = disk_.ReadNow(file->file, extent.offset, bytes->data(), extent.bytes);
  if (read.ok() && *read == extent.bytes && OpenBlob(extent, bytes)) return true;
  ReportBadRun(extent);
  return false;
}

// --- cache

void SegmentStore::Insert(BlockBody* body) {
  MR_CHECK(body->block != nullptr && body->newer == nullptr && body->older == nullptr && body != newest_);
  body->newer = nullptr;
  body->older = newest_;
  if (newest_ != nullptr) newest_->newer = body;
  newest_ = body;
  if (oldest_ == nullptr) oldest_ = body;
  cache_bytes_ += body->memory_bytes();
  Evict();
}

void SegmentStore::Remove(BlockBody* body) {
  MR_CHECK(body->newer != nullptr ? body->newer->older == body : body == newest_);
  MR_CHECK_OP(cache_bytes_, >=, body->memory_bytes());
  (body->newer != nullptr ? body->newer->older : newest_) = body->older;
  (body->older != nullptr ? body->older->newer : oldest_) = body->newer;
  body->newer = body->older = nullptr;
  cache_bytes_ -= body->memory_bytes();
}

void SegmentStore::Touch(BlockBody* body) {
  if (body == newest_) return;
  Remove(body);
  Insert(body);
}

// The newest two stay: the one that is being read, and the one that was read ahead for it.
void SegmentStore::Evict() {
  while (cache_bytes_ > options_.cache_bytes && oldest_ != newest_ && oldest_->newer != newest_) {
    BlockBody* body = oldest_;
    MR_CHECK(body->block->place == Block::Place::kDisk);  // or nobody could read it again
    Remove(body);
    body->block->body = nullptr;
    delete body;
  }
}

}  // namespace millrace
