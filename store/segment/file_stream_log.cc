// SPDX-License-Identifier: Apache-2.0
// FileStreamLog: blocks on their way to and from segments, checkpoints, replay. Its index: file_stream_index.cc.
#include "store/segment/file_stream_log.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "store/segment/stream_records.h"

namespace millrace {

FileStreamLog::FileStreamLog(uint64_t uid, const StreamLogOptions& options, LogTable& logs, BlockStore& store,
                             Journal& journal)
    : BlockLog(uid, options, &journal), BlockOwner(uid), logs_(logs), store_(store), runs_(*this, store) {
  logs_.Add(uid, this);
}

FileStreamLog::~FileStreamLog() {
  logs_.Remove(uid_);
  std::vector<FreedExtent> left = std::exchange(released, {});
  ForEachExtent([&](const Extent& extent) { left.push_back({extent, false, true}); });
  store_.Leave(this, std::move(left));
  for (const auto& block : blocks_) {
    if (block->body == nullptr) continue;
    if (block->place == Block::Place::kDisk) store_.cache().Remove(block->body);
    delete block->body;
    block->body = nullptr;
  }
}

void FileStreamLog::Invariant() const {
  BlockLog::Invariant();
  if (changing_ > 0) return;
  uint64_t stored = 0;
  for (const auto& block : blocks_) stored += block->place == Block::Place::kDisk ? block->stored_bytes : 0;
  MR_CHECK_OP(stored, ==, disk_bytes);
  runs_.Invariant();
  MR_CHECK_OP(flush_seq_, <=, state_.last_seq);
  MR_CHECK(!flush_started_ || flush_wanted_);
  MR_CHECK(working_ > 0 || resting_runs_.empty());
}

// --- blocks

BlockBody* FileStreamLog::Fetch(Block* block, Wait wait, LoadStatus* why) {
  if (wait == Wait::kLater) return store_.ReadSoon(this, block, why);
  BlockBody* body = store_.ReadNow(this, block);
  *why = body == nullptr ? LoadStatus::kDamaged : LoadStatus::kFound;
  return body;
}

bool FileStreamLog::Peek(Block* block, uint64_t seq, Wait wait, StoredMessage* message) {
  return store_.Peek(this, block, seq, wait == Wait::kNow, message);
}

void FileStreamLog::OnUsed(size_t index) {
  if (blocks_[index]->place == Block::Place::kDisk) store_.cache().Touch(blocks_[index]->body);
  if (index == used_index_ + 1 && index + 1 < blocks_.size()) store_.ReadAhead(this, blocks_[index + 1].get());
  used_index_ = index;
}

void FileStreamLog::OnSealed(Block* block) {
  store_.Write(this, block, options_.compress);
}

void FileStreamLog::OnDropped(Block* block) {
  store_.Release(this, block, wipe_);
}

void FileStreamLog::OnShrunk(Block* block, uint64_t record_bytes) {
  if (block->place != Block::Place::kMemory) store_.OnShrunk(*block, record_bytes);
}

// The block is written anew without the message; where it was is overwritten once no checkpoint wants it any more.
void FileStreamLog::OnErased(Block* block) {
  const size_t index = blocks_.IndexOf(block->first_seq);
  (void)Rewrite(index, index);
}

void FileStreamLog::OnLoaded() {
  if (listener_ != nullptr) listener_->OnLoaded();
}

uint64_t FileStreamLog::MoveOut(uint32_t from) {
  MR_CHECK(working_ == 0);
  const auto movable = [from](const Block& block) {
    return block.file == from && block.place == Block::Place::kDisk && !block.damaged && block.live > 0;
  };
  for (size_t first = 0; first < blocks_.size(); ++first) {
    if (!movable(*blocks_[first])) continue;
    size_t last = first;
    uint64_t live = blocks_[first]->live_bytes;
    uint64_t bytes = blocks_[first]->stored_bytes;
    while (last + 1 < blocks_.size() && movable(*blocks_[last + 1]) &&
           live + blocks_[last + 1]->live_bytes + sizeof(BlockHeader) <= options_.block_bytes &&
           blocks_[last + 1]->last_seq - blocks_[first]->first_seq <= UINT32_MAX) {
      ++last;
      live += blocks_[last]->live_bytes;
      bytes += blocks_[last]->stored_bytes;
    }
    (void)Rewrite(first, last);  // false: a block turned out to be damaged, and is not tried again
    return bytes;
  }
  bool moved = false;
  const uint64_t bytes = runs_.MoveOut(from, &moved);
  dirty_ = dirty_ || moved;
  return bytes;
}

// --- the scrub

const Block* FileStreamLog::StoredBlockFrom(uint64_t seq) const {
  if (changing_ > 0) return nullptr;
  for (size_t i = blocks_.IndexOf(seq); i < blocks_.size(); ++i) {
    if (blocks_[i]->place == Block::Place::kDisk && !blocks_[i]->damaged) return blocks_[i].get();
  }
  return nullptr;
}

Block* FileStreamLog::StoredBlockAt(const Extent& extent, uint64_t first_seq) {
  const size_t index = blocks_.IndexOf(first_seq);
  if (index == blocks_.size()) return nullptr;
  Block* block = blocks_[index].get();
  const bool same = block->place == Block::Place::kDisk && !block->damaged && block->file == extent.file &&
                    block->offset == extent.offset && block->stored_bytes == extent.bytes;
  return same ? block : nullptr;
}

// What is in memory is as it was written: the block goes elsewhere from there.
void FileStreamLog::OnBlockDamaged(Block* block) {
  const size_t index = blocks_.IndexOf(block->first_seq);
  if (working_ == 0 && block->body != nullptr && block->live > 0 && Rewrite(index, index)) return;
  block->damaged = true;
}

void FileStreamLog::ForEachExtent(const std::function<void(const Extent&)>& visit) const {
  for (const auto& block : blocks_) {
    if (block->place != Block::Place::kMemory) visit({block->file, block->stored_bytes, block->offset});
  }
  runs_.ForEachExtent(visit);
}

// --- checkpoint

// Small blocks at the end are joined, so that a stream that gets a few messages between checkpoints does not end up as
// many tiny blocks. A block joins only others that are at least half as large: each message is written a few times at
// most.
void FileStreamLog::MergeTail() {
  if (blocks_.empty() || !blocks_.back()->open || blocks_.back()->live == 0) return;
  size_t first = blocks_.size() - 1;
  uint64_t live = blocks_[first]->live_bytes;
  while (first > 0) {
    const Block& before = *blocks_[first - 1];
    if (before.place != Block::Place::kDisk || before.damaged || before.live == 0) break;
    if (before.live_bytes > 2 * live || live + before.live_bytes > options_.block_bytes / 2) break;
    if (blocks_.back()->last_seq - before.first_seq > UINT32_MAX) break;
    live += before.live_bytes;
    --first;
  }
  if (first + 1 == blocks_.size()) return;
  blocks_.back()->open = false;
  if (!Rewrite(first, blocks_.size() - 1)) blocks_.back()->open = true;
}

// Work that is paused has blocks and the index in its hands.
void FileStreamLog::Flush() {
  flush_wanted_ = true;
  if (working_ > 0 || flush_started_) return;
  flush_started_ = true;
  // An index run of many subjects takes some ms.
  if (listener_ == nullptr || !WantsOpenRun()) return FlushNow();
  listener_->RunLong([this] { FlushNow(); });
}

void FileStreamLog::FlushNow() {
  MR_CHECK(flush_wanted_ && flush_started_);
  MergeTail();
  SealOpenBlock();
  for (const auto& block : blocks_) {
    if (block->place == Block::Place::kMemory && !block->open) store_.Write(this, block.get(), options_.compress);
  }
  if (WantsOpenRun()) WriteOpenRun();
  flush_seq_ = state_.last_seq;
  flush_wanted_ = flush_started_ = false;
}

void FileStreamLog::OnRested() {
  if (!resting_runs_.empty()) [[unlikely]] {
    for (const uint64_t key : std::exchange(resting_runs_, {})) RestRun(key);
  }
}

bool FileStreamLog::flushed() const {
  if (flush_wanted_ || changing_ > 0) return false;
  for (size_t i = blocks_.size(); i-- > 0;) {
    const Block& block = *blocks_[i];
    if (block.first_seq <= flush_seq_ && block.place != Block::Place::kDisk) return false;
  }
  return true;
}

bool FileStreamLog::stuck() const {
  return std::any_of(blocks_.begin(), blocks_.end(), [this](const auto& block) {
    return block->first_seq <= flush_seq_ && block->place == Block::Place::kMemory;
  });
}

// What came after Flush and is not on disk yet is left out: the journal has it, and Replay will bring it.
void FileStreamLog::EncodeCheckpoint(std::string* out) {
  MR_CHECK_OP(changing_, ==, 0u);
  size_t count = 0;
  while (count < blocks_.size() && blocks_[count]->place == Block::Place::kDisk) ++count;
  uint64_t live_through = UINT64_MAX;
  const StreamLogState covered = Covered(count, &live_through);
  const SegmentUuids files = FilesInUse();
  DropDeadRuns();
  // A run must not name what is left out: those sequences may come to be other messages.
  std::vector<const StoredRun*> runs;
  for (const StoredRun& run : runs_.all()) {
    const uint64_t end = (run.key << LiveSet::kChunkBits) + run.through;
    if (run.good() && end <= covered.last_seq + 1) runs.push_back(&run);
  }
  EncodeStreamCheckpoint({covered, live_, live_through, files, blocks_.all(), count, runs}, out);
  dirty_ = count < blocks_.size();
  store_.OnEncoded(this);
}

StreamLogState FileStreamLog::Covered(size_t count, uint64_t* live_through) const {
  StreamLogState covered = state();
  for (size_t i = count; i < blocks_.size(); ++i) {
    MR_CHECK_OP(covered.messages, >=, blocks_[i]->live);
    covered.messages -= blocks_[i]->live;
    covered.bytes -= std::min(covered.bytes, blocks_[i]->message_bytes(false));
  }
  if (count < blocks_.size()) {
    const Block* last = count == 0 ? nullptr : blocks_[count - 1].get();
    *live_through = blocks_[count]->first_seq - 1;
    covered.last_seq = std::max(last == nullptr ? 0 : last->last_seq, std::min(flush_seq_, *live_through));
    covered.last_time_ns = last == nullptr ? 0 : last->last_time_ns;
  }
  if (covered.messages == 0) covered.bytes = 0;
  return covered;
}

SegmentUuids FileStreamLog::FilesInUse() {
  std::vector<uint32_t> numbers;
  ForEachExtent([&](const Extent& extent) {
    if (numbers.empty() || numbers.back() != extent.file) numbers.push_back(extent.file);
  });
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  SegmentUuids files;
  for (const uint32_t number : numbers) files.emplace_back(number, store_.files().UuidOf(number));
  return files;
}

absl::Status FileStreamLog::Restore(std::string_view blob) {
  MR_CHECK(state_.last_seq == 0 && blocks_.empty() && runs_.empty());  // before anything else, at most once
  StreamCheckpoint restored;
  if (const absl::Status decoded = DecodeStreamCheckpoint(blob, &live_, &restored); !decoded.ok()) {
    return absl::DataLossError(
        absl::StrFormat("checkpoint of stream %u: %s", uid_, std::string(decoded.message())));
  }
  for (const auto& [number, uuid] : restored.files) store_.files().AdoptFile(number, uuid);
  state_.Restore(restored.state);
  blocks_.Adopt(std::move(restored.blocks));
  runs_.Adopt(std::move(restored.runs));
  uint64_t bytes = 0;
  for (const auto& block : blocks_) {
    bytes += block->message_bytes(false);
    store_.files().AdoptPlace(uid_, {block->file, block->stored_bytes, block->offset},
                              block->stored_bytes * block->live_bytes / std::max<uint64_t>(block->record_bytes, 1));
    disk_bytes += block->stored_bytes;
  }
  bytes_guessed_ = bytes != state_.bytes;
  dirty_ = false;
  return absl::OkStatus();
}

// --- replay

void FileStreamLog::Replay(RecordKind kind, std::string_view body) {
  if (kind == RecordKind::kAppend) {
    StoredMessage message;
    if (!ReadAppend(body, &message) || message.seq <= state_.last_seq) return;
    DoAppend(message);
    subjects_stale_ = state_stale_ = true;
    return;
  }
  if (kind == RecordKind::kRemove || kind == RecordKind::kErase) {
    const Erase erase = kind == RecordKind::kErase ? Erase::kYes : Erase::kNo;
    ForEachSeq(body, [&](uint64_t seq) {
      DoRemove(seq, erase);
      subjects_stale_ = state_stale_ = state_.messages > 0;
    });
    return;
  }
  uint64_t seq = 0;
  if (!ReadSeq(body, &seq)) return;
  switch (kind) {
    case RecordKind::kTrim:
      if (seq > state_.first_seq || seq > state_.last_seq + 1) DoTrimBelow(seq);
      subjects_stale_ = state_stale_ = state_.messages > 0;
      break;
    case RecordKind::kPurge:
      if (seq >= state_.last_seq) {
        if (state_.messages > 0) DoPurge();
      } else if (seq >= state_.first_seq) {
        DoTrimBelow(seq + 1);
        subjects_stale_ = state_stale_ = true;
      }
      break;
    case RecordKind::kStreamSkip:
      DoSkipTo(seq);
      break;
    default:
      break;
  }
}

}  // namespace millrace
