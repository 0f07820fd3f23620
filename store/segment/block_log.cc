// SPDX-License-Identifier: Apache-2.0
// BlockLog: changes. Reading is in block_log_read.cc.
#include "store/segment/block_log.h"

#include <algorithm>

#include "store/segment/block_slices.h"

namespace millrace {
namespace {

constexpr size_t kFirstRoom = 512;
constexpr size_t kManyBlocks = 16;
constexpr size_t kBlocksAtOnce = 32;  // dropped between two pauses
// Units of a pace, as measured.
constexpr uint64_t kRemoveUnits = 10;
constexpr uint64_t kReadUnits = 400;
constexpr uint64_t kDropUnits = 20;  // a block

}  // namespace

uint64_t MessageBytes(bool memory, size_t subject_bytes, size_t header_bytes, size_t payload_bytes) {
  if (memory) return subject_bytes + payload_bytes + 16;
  return 22 + subject_bytes + (header_bytes > 0 ? 4 : 0) + payload_bytes + 8;
}

void BlockLog::Invariant() const {
  if (changing_ > 0) return;
  blocks_.Invariant();
  reader_.Invariant();
  uint64_t live = 0;
  uint64_t bytes = 0;
  for (const auto& block : blocks_) {
    MR_CHECK_OP(block->live, ==, live_.CountFrom(block->first_seq) - live_.CountFrom(block->last_seq + 1));
    live += block->live;
    bytes += block->message_bytes(options_.memory);
  }
  MR_CHECK_OP(live, ==, state_.messages);
  MR_CHECK_OP(live_.size(), ==, state_.messages);
  if (!bytes_guessed_) MR_CHECK_OP(bytes, ==, state_.bytes);
  state_.Invariant();
  if (!blocks_.empty()) MR_CHECK_OP(blocks_.back()->last_seq, <=, state_.last_seq);
  if (state_.messages > 0) {
    MR_CHECK_OP(state_.first_seq, ==, live_.Next(1));
  } else {
    MR_CHECK(state_.first_seq == state_.last_seq + 1 || (state_.first_seq == 0 && state_.last_seq == 0));
  }
  if (index_ != nullptr && working_ == 0) {
    index_->Invariant();
    MR_CHECK_OP(state_.subjects, ==, index_->subject_count());
    if (!bytes_guessed_) MR_CHECK_OP(state_.subjects, <=, state_.messages);
  }
}

BlockLog::~BlockLog() {
  MR_CHECK(working_ == 0 && changing_ == 0);
  for (const auto& block : blocks_) MR_CHECK(block->body == nullptr);  // the derived class has dropped them
  MR_CHECK(!state_.summed());
}

void BlockLog::set_options(const StreamLogOptions& options) {
  MR_CHECK(options.memory == options_.memory);
  options_ = options;
}

// --- append

void BlockLog::DoAppend(const StoredMessage& message) {
  MR_CHECK_OP(message.seq, >, state_.last_seq);
  const size_t size = BlockBody::RecordBytes(message);
  Block* block = blocks_.empty() || !blocks_.back()->open ? nullptr : blocks_.back().get();
  bool full = false;
  if (block != nullptr) {
    full = block->record_bytes + size + sizeof(BlockHeader) + SliceTableRoom(options_.block_bytes) >
           options_.block_bytes;
    if ((full && block->messages > 0) || message.seq - block->first_seq > UINT32_MAX) {
      SealOpenBlock();
      block = nullptr;
    }
  }
  if (block == nullptr) {
    // The first block grows from small; one that follows a full one will be full, too.
    const size_t room = full ? std::max<size_t>(options_.block_bytes, size + sizeof(BlockHeader)) : kFirstRoom;
    block = blocks_.Open(message.seq);
    block->body = new BlockBody(room);
    block->body->block = block;
  }
  block->body->Append(static_cast<uint32_t>(message.seq - block->first_seq), message);
  block->last_seq = message.seq;
  block->last_time_ns = message.time_ns;
  block->live_headed += message.header_bytes > 0 ? 1 : 0;
  ++block->messages;
  ++block->live;
  block->record_bytes += size;
  block->live_bytes += size;
  block->max_time_ns = std::max(block->max_time_ns, message.time_ns);
  live_.Add(message.seq);
  if (index_ != nullptr) {
    index_->Append(message.seq, message.subject);
    state_.subjects = index_->subject_count();
  }
  if (state_.messages == 0) {
    state_.first_seq = message.seq;
    state_.first_time_ns = message.time_ns;
    state_stale_ = false;
  }
  dirty_ = true;
  ++state_.messages;
  state_.AddBytes(MessageBytes(options_.memory, message.subject.size(), message.header_bytes, message.payload.size()));
  state_.last_seq = message.seq;
  state_.last_time_ns = message.time_ns;
}

void BlockLog::SealOpenBlock() {
  if (blocks_.empty() || !blocks_.back()->open) return;
  Block* block = blocks_.back().get();
  MR_CHECK(block->body != nullptr && block->place == Block::Place::kMemory);
  blocks_.CloseLast();
  if (block->live == 0) {
    DropBlocks(blocks_.size() - 1, blocks_.size());
    return;
  }
  block->body->Trim();
  OnSealed(block);
}

void BlockLog::DoSkipTo(uint64_t seq) {
  if (seq <= state_.last_seq) return;
  dirty_ = true;
  state_.last_seq = seq;
  if (state_.messages == 0) state_.first_seq = seq + 1;
}

// --- removal

void BlockLog::AccountRemoved(uint64_t seq, uint64_t bytes) {
  MR_CHECK(state_.messages > 0);
  dirty_ = true;
  --state_.messages;
  state_.TakeBytes(state_.messages == 0 ? state_.bytes : bytes);
  if (index_ != nullptr) state_.subjects = index_->subject_count();
  if (state_.messages == 0) {
    state_.first_seq = state_.last_seq + 1;
    state_.first_time_ns = 0;
    state_stale_ = false;
    if (index_ == nullptr) state_.subjects = 0;
    subjects_stale_ = false;
  } else if (seq == state_.first_seq) {
    state_.first_seq = live_.Next(seq);
    state_stale_ = true;
  }
}

void BlockLog::DoRemove(uint64_t seq, Erase erase) {
  if (!live_.Contains(seq)) return;
  StoredMessage message;
  Block* block = nullptr;
  const bool read = reader_.Find(seq, Wait::kNow, &message, &block);
  if (block == nullptr || block->live == 0) {  // only with a checkpoint that contradicts itself
    live_.Remove(seq);
    return;
  }
  uint64_t record_bytes = block->live_bytes / block->live;  // a guess, for a message that cannot be read
  uint64_t message_bytes = record_bytes;
  live_.Remove(seq);
  if (read) {
    record_bytes = BlockBody::RecordBytes(message);
    block->live_headed -= message.header_bytes > 0 ? 1 : 0;
    message_bytes = MessageBytes(options_.memory, message.subject.size(), message.header_bytes, message.payload.size());
    if (index_ != nullptr) index_->Remove(seq, message.subject);
  } else {
    bytes_guessed_ = true;
    if (index_ != nullptr) index_->RemoveUnread(seq);
  }
  AccountRemoved(seq, message_bytes);
  --block->live;
  OnShrunk(block, record_bytes);
  block->live_bytes -= std::min(record_bytes, block->live_bytes);
  const bool unwritten = block->place == Block::Place::kMemory;
  if (erase == Erase::kYes && read && unwritten) {
    // The views are of our own body, and no checksum has been made of it yet.
    std::memset(const_cast<char*>(message.payload.data()), 0, message.payload.size());
  }
  wipe_ = erase == Erase::kYes && !unwritten;
  if (block->live == 0) {
    if (!block->open || block->record_bytes > options_.block_bytes / 2) {
      const size_t index = blocks_.IndexOf(seq);
      DropBlocks(index, index + 1);
    }
  } else if (wipe_) {
    OnErased(block);
  } else if (!block->open && block->live_bytes * 2 < block->record_bytes) {
    OnThinned(block);
  }
  wipe_ = false;
}

void BlockLog::DoTrimBelow(uint64_t seq) {
  if (seq > state_.last_seq) {
    DoPurge();
    DoSkipTo(seq - 1);
    return;
  }
  DropBlocksBelow(seq);
  while (state_.messages > 0 && state_.first_seq < seq) {
    DoRemove(state_.first_seq, Erase::kNo);
    Tick(pace_, kRemoveUnits);
  }
}

// Whole blocks go without being read while there is no index; and when most of the stream goes, making the index anew
// from what is left costs less than taking everything else out of it.
void BlockLog::DropBlocksBelow(uint64_t seq) {
  if (index_ != nullptr) {
    const size_t gone = blocks_.IndexOf(seq);
    if (gone < kManyBlocks || gone * 4 < blocks_.size() * 3 || !MayDropIndex()) return;
    index_->Clear(MessageIndex::Runs::kStay);
    index_.reset();
    subjects_stale_ = true;
  }
  bool any = false;
  while (size_t gone = DropSomeBelow(seq)) {
    any = true;
    Tick(pace_, gone * kDropUnits);
  }
  if (!any) return;
  if (state_.messages > 0) {
    state_.first_seq = live_.Next(1);
    state_stale_ = true;
  } else {
    DoPurge();
  }
}

size_t BlockLog::DropSomeBelow(uint64_t seq) {
  size_t gone = 0;
  const size_t most = std::min(blocks_.size(), kBlocksAtOnce);
  for (; gone < most && blocks_[gone]->last_seq < seq && !blocks_[gone]->open; ++gone) {
    Block* block = blocks_[gone].get();
    const uint64_t messages = block->live;
    const uint64_t bytes = block->message_bytes(options_.memory);
    live_.RemoveRange(block->first_seq, block->last_seq);
    OnShrunk(block, block->live_bytes);
    block->live = 0;
    block->live_bytes = 0;
    if (messages == 0) continue;
    dirty_ = true;
    subjects_stale_ = true;
    MR_CHECK_OP(state_.messages, >=, messages);
    state_.messages -= messages;
    state_.TakeBytes(bytes);
  }
  if (gone > 0) DropBlocks(0, gone);
  return gone;
}

void BlockLog::DropBlocks(size_t first, size_t end) {
  MR_CHECK(first < end && end <= blocks_.size());
  reader_.OnErase(first, end);
  for (size_t i = first; i < end; ++i) {
    Block* block = blocks_[i].get();
    OnDropped(block);
    delete block->body;
    block->body = nullptr;
  }
  blocks_.Erase(first, end);
}

void BlockLog::DoPurge() {
  dirty_ = true;
  subjects_stale_ = false;
  live_.Clear();
  if (index_ != nullptr) index_->Clear();
  OnRunsCleared();
  while (!blocks_.empty()) {
    const size_t kept = blocks_.size() - std::min(blocks_.size(), kBlocksAtOnce);
    DropBlocks(kept, blocks_.size());
    Tick(pace_, kBlocksAtOnce * kDropUnits);
  }
  blocks_.ShrinkToFit();
  state_.TakeBytes(state_.bytes);
  MR_CHECK(live_.empty() && blocks_.empty() && state_.bytes == 0);
  bytes_guessed_ = false;
  state_.messages = state_.subjects = 0;
  state_.first_seq = state_.last_seq == 0 ? 0 : state_.last_seq + 1;
  state_.first_time_ns = 0;
  state_stale_ = false;
}

bool BlockLog::Rewrite(size_t first, size_t last) {
  MR_CHECK(first <= last && last < blocks_.size() && !blocks_[last]->open);
  size_t bytes = sizeof(BlockHeader);
  for (size_t i = first; i <= last; ++i) bytes += blocks_[i]->live_bytes;
  auto merged = std::make_unique<Block>();
  auto body = std::make_unique<BlockBody>(bytes);
  merged->open = false;
  merged->max_time_ns = blocks_[last]->max_time_ns;
  for (size_t i = first; i <= last; ++i) {
    Block* block = blocks_[i].get();
    LoadStatus why = LoadStatus::kFound;
    const BlockBody* from = reader_.BodyOf(block, Wait::kNow, &why);
    if (from == nullptr) return false;
    for (uint32_t ordinal = 0; ordinal < from->count(); ++ordinal) {
      const uint64_t seq = block->first_seq + from->HeaderAt(ordinal).seq_offset;
      if (!live_.Contains(seq)) continue;
      if (merged->messages == 0) merged->first_seq = seq;
      merged->last_seq = seq;
      ++merged->messages;
      merged->last_time_ns = from->HeaderAt(ordinal).time_ns;
      merged->live_headed += from->HeaderAt(ordinal).header_bytes > 0 ? 1 : 0;
      body->AppendRecord(static_cast<uint32_t>(seq - merged->first_seq), from->RecordAt(ordinal));
    }
  }
  MR_CHECK(merged->messages > 0 && merged->last_seq - merged->first_seq <= UINT32_MAX);
  merged->live = merged->messages;
  merged->record_bytes = merged->live_bytes = body->record_bytes();
  body->Trim();
  body->block = merged.get();
  merged->body = body.release();
  Block* fresh = merged.get();
  DropBlocks(first, last + 1);
  blocks_.Insert(first, std::move(merged));
  reader_.OnInserted();
  dirty_ = true;
  OnSealed(fresh);
  return true;
}

// What may be paused comes before the message is half in.
void BlockLog::SealRunBefore(uint64_t seq) {
  if (!index_->SealsBefore(seq)) return;
  const LogWork working(*this);
  index_->Seal();
}

void BlockLog::Prepare() {
  const LogWork working(*this);
  if (index().WantsSeal(state_.last_seq + 1)) index().Seal();
}

void BlockLog::Dissolve() {
  const LogChange changing(*this);
  MR_CHECK_OP(working_, ==, 1u);  // nobody else works with the index
  if (index_ == nullptr) return;
  index_->Clear(MessageIndex::Runs::kStay);
  index_.reset();
  subjects_stale_ = true;
}

// --- with the journal

Lsn BlockLog::Append(const StoredMessage& message) {
  if (journal_.none()) {
    SealRunBefore(message.seq);
    DoAppend(message);
    return 0;
  }
  used_ = true;
  if (index_ == nullptr) BuildIndex();
  SealRunBefore(message.seq);
  DoAppend(message);
  return Staged(journal_.Append(message));
}

Lsn BlockLog::SkipTo(uint64_t seq) {
  if (seq <= state_.last_seq) return 0;
  DoSkipTo(seq);
  return Staged(journal_.Seq(RecordKind::kStreamSkip, seq));
}

Lsn BlockLog::Remove(uint64_t seq, Erase erase) {
  if (!live_.Contains(seq)) return 0;
  const LogChange changing(*this);
  DoRemove(seq, erase);
  return Staged(journal_.Seq(erase == Erase::kYes ? RecordKind::kErase : RecordKind::kRemove, seq));
}

Lsn BlockLog::RemoveMany(const std::vector<uint64_t>& seqs) {
  const LogChange changing(*this);
  RemovedSeqs removed;
  for (const uint64_t seq : seqs) {
    if (!live_.Contains(seq)) continue;
    const bool at_hand = reader_.IsAtHand(seq);
    DoRemove(seq, Erase::kNo);
    Tick(pace_, at_hand ? kRemoveUnits : kReadUnits);
    if (!journal_.none()) removed.Add(seq);
  }
  return Staged(journal_.Remove(removed));
}

Lsn BlockLog::TrimBelow(uint64_t seq) {
  if (seq <= state_.last_seq ? (state_.messages == 0 || seq <= state_.first_seq)
                             : (state_.messages == 0 && seq <= state_.last_seq + 1)) {
    return 0;
  }
  const LogChange changing(*this);
  DoTrimBelow(seq);
  return Staged(journal_.Seq(RecordKind::kTrim, seq));
}

Lsn BlockLog::Purge() {
  if (state_.last_seq == 0) state_.first_seq = 1;  // as the peer tells it, until it starts again
  if (state_.messages == 0) return 0;
  const LogChange changing(*this);
  DoPurge();
  return Staged(journal_.Seq(RecordKind::kPurge, state_.last_seq));
}

}  // namespace millrace
