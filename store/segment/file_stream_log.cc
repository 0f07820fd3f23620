// SPDX-License-Identifier: Apache-2.0
// FileStreamLog: blocks on their way to and from segments, checkpoints, replay. Its index: file_stream_index.cc.
#include "store/segment/file_stream_log.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "store/segment/segment_store.h"
#include "store/varint.h"

namespace millrace {
namespace {

constexpr uint64_t kCheckpointVersion = 1;

}  // namespace

FileStreamLog::FileStreamLog(uint64_t uid, const StreamLogOptions& options, SegmentStore& segments, Journal& journal)
    : BlockLog(uid, options, &journal), segments_(segments) {
  segments_.Register(this);
}

FileStreamLog::~FileStreamLog() {
  segments_.Unregister(this);
  for (const auto& block : blocks_) {
    if (block->body == nullptr) continue;
    if (block->place == Block::Place::kDisk) segments_.Forget(block->body);
    delete block->body;
    block->body = nullptr;
  }
}

void FileStreamLog::Invariant() const {
  BlockLog::Invariant();
  if (changing_ > 0) return;
  uint64_t stored = 0;
  for (const auto& block : blocks_) stored += block->place == Block::Place::kDisk ? block->stored_bytes : 0;
  MR_CHECK_OP(stored, ==, disk_bytes_);
  for (size_t i = 0; i < cold_.size(); ++i) {
    const ColdRun& cold = cold_[i];
    MR_CHECK(i == 0 || cold_[i - 1].key < cold.key);
    MR_CHECK(cold.extent.file != 0 && cold.through > 0 && cold.through <= LiveSet::kChunkSpan);
    MR_CHECK(cold.written || (cold.tag > 0 && cold.tag < next_tag_));
  }
  MR_CHECK_OP(flush_seq_, <=, state_.last_seq);
  MR_CHECK(!flush_started_ || flush_wanted_);
  MR_CHECK(working_ > 0 || resting_runs_.empty());
}

// --- blocks

BlockBody* FileStreamLog::Fetch(Block* block, Wait wait, LoadStatus* why) {
  if (wait == Wait::kLater) return segments_.ReadSoon(this, block, why);
  BlockBody* body = segments_.ReadNow(this, block);
  *why = body == nullptr ? LoadStatus::kDamaged : LoadStatus::kFound;
  return body;
}

bool FileStreamLog::Peek(Block* block, uint64_t seq, Wait wait, StoredMessage* message) {
  return segments_.Peek(this, block, seq, wait == Wait::kNow, message);
}

void FileStreamLog::OnUsed(Block* block) {
  if (block->place == Block::Place::kDisk) segments_.Touch(block->body);
  const size_t index = cursor_index_;
  if (index == used_index_ + 1 && index + 1 < blocks_.size()) segments_.ReadAhead(this, blocks_[index + 1].get());
  used_index_ = index;
}

void FileStreamLog::OnSealed(Block* block) {
  segments_.Write(this, block);
}

void FileStreamLog::OnDropped(Block* block) {
  if (block->place == Block::Place::kDisk) {
    MR_CHECK_OP(disk_bytes_, >=, block->stored_bytes);
    disk_bytes_ -= block->stored_bytes;
  }
  segments_.Release(this, block, wipe_);
}

void FileStreamLog::OnShrunk(Block* block, uint64_t record_bytes) {
  if (block->place != Block::Place::kMemory) segments_.OnShrunk(*block, record_bytes);
}

// The block is written anew without the message; where it was is overwritten once no checkpoint wants it any more.
void FileStreamLog::OnErased(Block* block) {
  const size_t index = BlockIndexOf(block->first_seq);
  (void)Rewrite(index, index);
}

void FileStreamLog::OnBlockWritten(Block* block) {
  MR_CHECK(block->place == Block::Place::kDisk);
  disk_bytes_ += block->stored_bytes;
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
  for (ColdRun& cold : cold_) {
    if (cold.extent.file != from || !cold.written || cold.bad) continue;
    std::string bytes;
    if (!segments_.ReadBlob(cold.extent, &bytes)) {
      cold.bad = true;
      return cold.extent.bytes;
    }
    segments_.ReleaseBlob(this, cold.extent);
    StartBlob(&cold, bytes);
    dirty_ = true;
    return bytes.size();
  }
  return 0;
}

// --- the scrub

const Block* FileStreamLog::StoredBlockFrom(uint64_t seq) const {
  if (changing_ > 0) return nullptr;
  for (size_t i = BlockIndexOf(seq); i < blocks_.size(); ++i) {
    if (blocks_[i]->place == Block::Place::kDisk && !blocks_[i]->damaged) return blocks_[i].get();
  }
  return nullptr;
}

Block* FileStreamLog::StoredBlockAt(const Extent& extent, uint64_t first_seq) {
  const size_t index = BlockIndexOf(first_seq);
  if (index == blocks_.size()) return nullptr;
  Block* block = blocks_[index].get();
  const bool same = block->place == Block::Place::kDisk && !block->damaged && block->file == extent.file &&
                    block->offset == extent.offset && block->stored_bytes == extent.bytes;
  return same ? block : nullptr;
}

// What is in memory is as it was written: the block goes elsewhere from there.
void FileStreamLog::OnBlockDamaged(Block* block) {
  const size_t index = BlockIndexOf(block->first_seq);
  if (working_ == 0 && block->body != nullptr && block->live > 0 && Rewrite(index, index)) return;
  block->damaged = true;
}

bool FileStreamLog::StoredRunFrom(uint64_t* key, Extent* extent) const {
  for (size_t i = ColdAtOrAfter(*key); i < cold_.size(); ++i) {
    if (!cold_[i].written || cold_[i].bad || cold_[i].extent.file == 0) continue;
    *extent = cold_[i].extent;
    *key = cold_[i].key + 1;
    return true;
  }
  return false;
}

bool FileStreamLog::HasRunAt(const Extent& extent) const {
  return std::any_of(cold_.begin(), cold_.end(), [&extent](const ColdRun& cold) {
    return cold.written && !cold.bad && cold.IsAt(extent);
  });
}

void FileStreamLog::OnRunDamaged(const Extent& extent) {
  for (ColdRun& cold : cold_) {
    if (cold.IsAt(extent)) cold.bad = true;
  }
}

void FileStreamLog::ForEachExtent(const std::function<void(const Extent&)>& visit) const {
  for (const auto& block : blocks_) {
    if (block->place != Block::Place::kMemory) visit({block->file, block->stored_bytes, block->offset});
  }
  for (const ColdRun& cold : cold_) {
    if (cold.extent.file != 0) visit(cold.extent);
  }
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
    if (block->place == Block::Place::kMemory && !block->open) segments_.Write(this, block.get());
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
  StreamLogState covered = state();
  LiveSet later;
  for (size_t i = count; i < blocks_.size(); ++i) {
    MR_CHECK_OP(covered.messages, >=, blocks_[i]->live);
    covered.messages -= blocks_[i]->live;
    covered.bytes -= std::min(covered.bytes, blocks_[i]->message_bytes(false));
  }
  uint64_t through = UINT64_MAX;
  if (count < blocks_.size()) {
    through = blocks_[count]->first_seq - 1;
    covered.last_seq = std::max(count == 0 ? 0 : blocks_[count - 1]->last_seq, std::min(flush_seq_, through));
    covered.last_time_ns = count == 0 ? 0 : blocks_[count - 1]->last_time_ns;
  }
  if (covered.messages == 0) covered.bytes = 0;
  AppendVarint(out, kCheckpointVersion);
  const int64_t first_time_ns = covered.messages == 0 ? 0 : covered.first_time_ns;
  for (const uint64_t number : {covered.messages, covered.bytes, covered.last_seq, covered.subjects,
                                ZigZag(covered.last_time_ns), ZigZag(first_time_ns)}) {
    AppendVarint(out, number);
  }
  live_.Encode(out, through);
  // Files with the seeds of their checksums: a damaged file header does not cost the blocks behind it.
  std::vector<uint32_t> files;
  ForEachExtent([&](const Extent& extent) {
    if (files.empty() || files.back() != extent.file) files.push_back(extent.file);
  });
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  AppendVarint(out, files.size());
  for (const uint32_t number : files) {
    AppendVarint(out, number);
    AppendVarint(out, segments_.UuidOf(number));
  }
  AppendVarint(out, count);
  uint64_t before = 0;
  int64_t time = 0;
  for (size_t i = 0; i < count; ++i) {
    const Block& block = *blocks_[i];
    MR_CHECK(block.first_seq > before && block.last_seq <= covered.last_seq);  // or Restore refuses all of it
    for (const uint64_t number :
         {block.first_seq - before, block.last_seq - block.first_seq, uint64_t{block.messages}, uint64_t{block.live},
          uint64_t{block.live_headed}, block.record_bytes, block.live_bytes, ZigZag(block.max_time_ns - time),
          ZigZag(block.last_time_ns - block.max_time_ns), uint64_t{block.file}, block.offset,
          uint64_t{block.stored_bytes}}) {
      AppendVarint(out, number);
    }
    before = block.last_seq;
    time = block.max_time_ns;
  }
  PruneCold();
  // A run must not name what is left out: those sequences may come to be other messages.
  const auto belongs = [&](const ColdRun& cold) {
    const uint64_t end = (cold.key << LiveSet::kChunkBits) + cold.through;
    return cold.written && !cold.bad && end <= covered.last_seq + 1;
  };
  AppendVarint(out, static_cast<uint64_t>(std::count_if(cold_.begin(), cold_.end(), belongs)));
  for (const ColdRun& cold : cold_) {
    if (!belongs(cold)) continue;
    for (const uint64_t number : {cold.key, uint64_t{cold.named}, uint64_t{cold.through}, uint64_t{cold.extent.file},
                                  cold.extent.offset, uint64_t{cold.extent.bytes}}) {
      AppendVarint(out, number);
    }
  }
  dirty_ = count < blocks_.size();
  segments_.OnEncoded(this);
}

absl::Status FileStreamLog::Restore(std::string_view blob) {
  MR_CHECK(state_.last_seq == 0 && blocks_.empty() && cold_.empty());  // before anything else, at most once
  const auto bad = [this](std::string_view what) {
    return absl::DataLossError(absl::StrFormat("checkpoint of stream %u: bad %s", uid_, what));
  };
  uint64_t n[12] = {};
  const auto take = [&](int count) {
    for (int i = 0; i < count; ++i) {
      if (!TakeVarint(&blob, &n[i])) return false;
    }
    return true;
  };
  if (!take(7) || n[0] != kCheckpointVersion) return bad("head");
  StreamLogState restored;
  restored.messages = n[1];
  restored.bytes = n[2];
  restored.last_seq = n[3];
  restored.subjects = n[4];
  restored.last_time_ns = UnZigZag(n[5]);
  restored.first_time_ns = UnZigZag(n[6]);
  if (!live_.Decode(&blob) || live_.size() != restored.messages) return live_.Clear(), bad("live sequences");
  restored.first_seq = restored.messages > 0 ? live_.Next(1) : restored.last_seq == 0 ? 0 : restored.last_seq + 1;
  if (!take(1)) return live_.Clear(), bad("files");
  for (uint64_t i = n[0]; i > 0; --i) {
    if (!take(2) || n[0] == 0 || n[0] > UINT32_MAX) return live_.Clear(), bad("files");
    segments_.AdoptFile(static_cast<uint32_t>(n[0]), n[1]);
  }
  const auto fail = [&](std::string_view what) {
    live_.Clear();
    blocks_.clear();
    ends_.clear();
    cold_.clear();
    return bad(what);
  };
  if (!take(1)) return fail("blocks");
  uint64_t before = 0;
  uint64_t live = 0;
  int64_t time = 0;
  for (uint64_t i = n[0]; i > 0; --i) {
    if (!take(12)) return fail("blocks");
    auto block = std::make_unique<Block>();
    block->first_seq = before + n[0];
    block->last_seq = block->first_seq + n[1];
    block->messages = static_cast<uint32_t>(n[2]);
    block->live = static_cast<uint32_t>(n[3]);
    block->live_headed = static_cast<uint32_t>(n[4]);
    block->record_bytes = n[5];
    block->live_bytes = n[6];
    block->max_time_ns = time + UnZigZag(n[7]);
    block->last_time_ns = block->max_time_ns + UnZigZag(n[8]);
    block->file = static_cast<uint32_t>(n[9]);
    block->offset = n[10];
    block->stored_bytes = static_cast<uint32_t>(n[11]);
    block->open = false;
    block->place = Block::Place::kDisk;
    if (n[0] == 0 || n[1] > UINT32_MAX || n[2] == 0 || n[2] > n[1] + 1 || n[3] > n[2] || n[6] > n[5] ||
        n[5] > UINT32_MAX || n[9] == 0 || n[9] > UINT32_MAX || n[10] >> 40 != 0 || n[11] > UINT32_MAX ||
        n[11] < sizeof(BlockHeader) || block->last_seq > restored.last_seq) {
      return fail("blocks");
    }
    live += block->live;
    before = block->last_seq;
    time = block->max_time_ns;
    ends_.push_back(block->last_seq);
    blocks_.push_back(std::move(block));
  }
  if (live != restored.messages) return fail("blocks");
  if (!take(1)) return fail("index runs");
  for (uint64_t i = n[0]; i > 0; --i) {
    if (!take(6) || n[1] > LiveSet::kChunkSpan || n[2] > LiveSet::kChunkSpan || n[3] == 0 || n[3] > UINT32_MAX ||
        n[4] >> 40 != 0 || n[5] > UINT32_MAX || (!cold_.empty() && n[0] <= cold_.back().key)) {
      return fail("index runs");
    }
    cold_.emplace_back();
    ColdRun& cold = cold_.back();
    cold.key = n[0];
    cold.named = static_cast<uint32_t>(n[1]);
    cold.through = static_cast<uint32_t>(n[2]);
    cold.extent = {static_cast<uint32_t>(n[3]), static_cast<uint32_t>(n[5]), n[4]};
    cold.written = true;
  }
  if (!blob.empty()) return fail("end");
  blocks_.shrink_to_fit();
  ends_.shrink_to_fit();
  cold_.shrink_to_fit();
  state_ = restored;
  uint64_t bytes = 0;
  for (const auto& block : blocks_) bytes += block->message_bytes(false);
  bytes_guessed_ = bytes != state_.bytes;
  for (const auto& block : blocks_) {
    segments_.Adopt(this, {block->file, block->stored_bytes, block->offset},
                    block->stored_bytes * block->live_bytes / std::max<uint64_t>(block->record_bytes, 1));
    disk_bytes_ += block->stored_bytes;
  }
  for (const ColdRun& cold : cold_) segments_.Adopt(this, cold.extent, cold.extent.bytes);
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
  uint64_t seq = 0;
  if (!TakeVarint(&body, &seq) || seq == 0) return;
  switch (kind) {
    case RecordKind::kRemove:
    case RecordKind::kErase: {
      const Erase erase = kind == RecordKind::kErase ? Erase::kYes : Erase::kNo;
      DoRemove(seq, erase);
      uint64_t step = 0;
      while (TakeVarint(&body, &step)) {
        seq += static_cast<uint64_t>(UnZigZag(step));
        DoRemove(seq, erase);
      }
      subjects_stale_ = state_stale_ = state_.messages > 0;
      break;
    }
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
