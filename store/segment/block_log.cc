// SPDX-License-Identifier: Apache-2.0
// BlockLog: changes. Reading is in block_log_read.cc.
#include "store/segment/block_log.h"

#include <algorithm>

#include "store/segment/block_slices.h"
#include "store/varint.h"

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

bool ReadAppend(std::string_view body, StoredMessage* message) {
  uint64_t time = 0;
  uint64_t header_bytes = 0;
  uint64_t subject_bytes = 0;
  if (!TakeVarint(&body, &message->seq) || message->seq == 0 || !TakeVarint(&body, &time) ||
      !TakeVarint(&body, &header_bytes) || !TakeVarint(&body, &subject_bytes)) {
    return false;
  }
  if (subject_bytes > body.size() || header_bytes > body.size() - subject_bytes) return false;
  message->time_ns = UnZigZag(time);
  message->subject = body.substr(0, subject_bytes);
  message->payload = body.substr(subject_bytes);
  message->header_bytes = static_cast<uint32_t>(header_bytes);
  return true;
}

void BlockLog::Invariant() const {
  if (changing_ > 0) return;
  MR_CHECK_OP(blocks_.size(), ==, ends_.size());
  uint64_t live = 0;
  uint64_t bytes = 0;
  const Block* before = nullptr;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = *blocks_[i];
    MR_CHECK_OP(block.first_seq, <=, block.last_seq);
    MR_CHECK_OP(block.messages, <=, block.last_seq - block.first_seq + 1);
    MR_CHECK_OP(block.live, <=, block.messages);
    MR_CHECK_OP(block.live_headed, <=, block.messages);
    MR_CHECK_OP(block.live_bytes, <=, block.record_bytes);
    MR_CHECK_OP(block.live, ==, live_.CountFrom(block.first_seq) - live_.CountFrom(block.last_seq + 1));
    MR_CHECK(block.messages > 0 && block.last_time_ns <= block.max_time_ns);
    MR_CHECK(!block.open || i + 1 == blocks_.size());
    MR_CHECK_OP(ends_[i], ==, block.open ? UINT64_MAX : block.last_seq);
    MR_CHECK(before == nullptr || (before->last_seq < block.first_seq && before->max_time_ns <= block.max_time_ns));
    MR_CHECK((block.place == Block::Place::kMemory) == (block.file == 0));
    MR_CHECK(block.body != nullptr || block.place == Block::Place::kDisk);
    if (block.body != nullptr) {
      MR_CHECK(block.body->block == &block && block.body->count() == block.messages);
      MR_CHECK_OP(block.body->record_bytes(), ==, block.record_bytes);
    }
    live += block.live;
    bytes += block.message_bytes(memory());
    before = &block;
  }
  MR_CHECK_OP(live, ==, state_.messages);
  MR_CHECK_OP(live_.size(), ==, state_.messages);
  if (!bytes_guessed_) MR_CHECK_OP(bytes, ==, state_.bytes);
  MR_CHECK(bytes_sum_ == nullptr || *bytes_sum_ >= state_.bytes);
  if (before != nullptr) MR_CHECK_OP(before->last_seq, <=, state_.last_seq);
  if (state_.messages > 0) {
    MR_CHECK_OP(state_.first_seq, ==, live_.Next(1));
  } else {
    MR_CHECK(state_.first_seq == state_.last_seq + 1 || (state_.first_seq == 0 && state_.last_seq == 0));
  }
  MR_CHECK(cursor_ == nullptr || (cursor_index_ < blocks_.size() && blocks_[cursor_index_].get() == cursor_));
  if (index_ != nullptr && working_ == 0) {
    index_->Invariant();
    MR_CHECK_OP(state_.subjects, ==, index_->subject_count());
    if (!bytes_guessed_) MR_CHECK_OP(state_.subjects, <=, state_.messages);
  }
}

BlockLog::~BlockLog() {
  MR_CHECK(working_ == 0 && changing_ == 0);
  for (const auto& block : blocks_) MR_CHECK(block->body == nullptr);  // the derived class has dropped them
  MR_CHECK(bytes_sum_ == nullptr);
}

void BlockLog::set_options(const StreamLogOptions& options) {
  MR_CHECK(options.memory == options_.memory);
  options_ = options;
}

void BlockLog::set_bytes_sum(uint64_t* sum) {
  MR_CHECK(bytes_sum_ == nullptr || *bytes_sum_ >= state_.bytes);
  if (bytes_sum_ != nullptr) *bytes_sum_ -= state_.bytes;
  bytes_sum_ = sum;
  if (bytes_sum_ != nullptr) *bytes_sum_ += state_.bytes;
}

// At most what is there: sizes of damaged messages are guesses.
void BlockLog::TakeBytes(uint64_t bytes) {
  bytes = std::min(bytes, state_.bytes);
  MR_CHECK(bytes_sum_ == nullptr || *bytes_sum_ >= bytes);
  state_.bytes -= bytes;
  if (bytes_sum_ != nullptr) *bytes_sum_ -= bytes;
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
    blocks_.push_back(std::make_unique<Block>());
    ends_.push_back(UINT64_MAX);
    block = blocks_.back().get();
    block->first_seq = message.seq;
    block->max_time_ns = blocks_.size() > 1 ? blocks_[blocks_.size() - 2]->max_time_ns : INT64_MIN;
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
  AddBytes(MessageBytes(memory(), message.subject.size(), message.header_bytes, message.payload.size()));
  state_.last_seq = message.seq;
  state_.last_time_ns = message.time_ns;
}

void BlockLog::SealOpenBlock() {
  if (blocks_.empty() || !blocks_.back()->open) return;
  Block* block = blocks_.back().get();
  MR_CHECK(block->body != nullptr && block->place == Block::Place::kMemory);
  block->open = false;
  ends_.back() = block->last_seq;
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
  TakeBytes(state_.messages == 0 ? state_.bytes : bytes);
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
  const bool read = Find(seq, Wait::kNow, &message, &block);
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
    message_bytes = MessageBytes(memory(), message.subject.size(), message.header_bytes, message.payload.size());
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
      const size_t index = BlockIndexOf(seq);
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
    const size_t gone = BlockIndexOf(seq);
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
    const uint64_t bytes = block->message_bytes(memory());
    live_.RemoveRange(block->first_seq, block->last_seq);
    OnShrunk(block, block->live_bytes);
    block->live = 0;
    block->live_bytes = 0;
    if (messages == 0) continue;
    dirty_ = true;
    subjects_stale_ = true;
    MR_CHECK_OP(state_.messages, >=, messages);
    state_.messages -= messages;
    TakeBytes(bytes);
  }
  if (gone > 0) DropBlocks(0, gone);
  return gone;
}

void BlockLog::DropBlocks(size_t first, size_t end) {
  MR_CHECK(first < end && end <= blocks_.size());
  for (size_t i = first; i < end; ++i) {
    Block* block = blocks_[i].get();
    if (cursor_ == block) cursor_ = nullptr;
    OnDropped(block);
    delete block->body;
    block->body = nullptr;
  }
  blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(first), blocks_.begin() + static_cast<ptrdiff_t>(end));
  ends_.erase(ends_.begin() + static_cast<ptrdiff_t>(first), ends_.begin() + static_cast<ptrdiff_t>(end));
  if (cursor_ == nullptr || cursor_index_ < end) {
    cursor_ = nullptr;
    cursor_index_ = 0;
  } else {
    cursor_index_ -= end - first;
  }
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
  blocks_.shrink_to_fit();
  ends_.shrink_to_fit();
  TakeBytes(state_.bytes);
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
    const BlockBody* from = BodyOf(block, Wait::kNow, &why);
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
  ends_.insert(ends_.begin() + static_cast<ptrdiff_t>(first), merged->last_seq);
  blocks_.insert(blocks_.begin() + static_cast<ptrdiff_t>(first), std::move(merged));
  cursor_ = nullptr;
  dirty_ = true;
  OnSealed(fresh);
  return true;
}

// What may be paused comes before the message is half in.
void BlockLog::SealRunBefore(uint64_t seq) {
  if (!index_->SealsBefore(seq)) return;
  const Working working(*this);
  index_->Seal();
}

void BlockLog::Prepare() {
  const Working working(*this);
  if (index().WantsSeal(state_.last_seq + 1)) index().Seal();
}

void BlockLog::Dissolve() {
  const Changing changing(*this);
  MR_CHECK_OP(working_, ==, 1u);  // nobody else works with the index
  if (index_ == nullptr) return;
  index_->Clear(MessageIndex::Runs::kStay);
  index_.reset();
  subjects_stale_ = true;
}

// --- with the journal

// Sequence, time, sizes, subject; what remains is the payload (store/FORMAT.md).
Lsn BlockLog::Append(const StoredMessage& message) {
  if (journal_ == nullptr) {
    SealRunBefore(message.seq);
    DoAppend(message);
    return 0;
  }
  used_ = true;
  if (index_ == nullptr) BuildIndex();
  SealRunBefore(message.seq);
  DoAppend(message);
  char head[4 * kVarintBytesMax];
  char* end = PutVarint(head, message.seq);
  end = PutVarint(end, ZigZag(message.time_ns));
  end = PutVarint(end, message.header_bytes);
  end = PutVarint(end, message.subject.size());
  return Staged(journal_->Append(RecordKind::kAppend, uid_,
                                 {{head, static_cast<size_t>(end - head)}, message.subject, message.payload}));
}

Lsn BlockLog::SkipTo(uint64_t seq) {
  if (seq <= state_.last_seq) return 0;
  DoSkipTo(seq);
  if (journal_ == nullptr) return 0;
  char body[kVarintBytesMax];
  const auto size = static_cast<size_t>(PutVarint(body, seq) - body);
  return Staged(journal_->Append(RecordKind::kStreamSkip, uid_, {{body, size}}));
}

Lsn BlockLog::Remove(uint64_t seq, Erase erase) {
  if (!live_.Contains(seq)) return 0;
  const Changing changing(*this);
  DoRemove(seq, erase);
  if (journal_ == nullptr) return 0;
  char body[kVarintBytesMax];
  const auto size = static_cast<size_t>(PutVarint(body, seq) - body);
  const RecordKind kind = erase == Erase::kYes ? RecordKind::kErase : RecordKind::kRemove;
  return Staged(journal_->Append(kind, uid_, {{body, size}}));
}

// Sequences one behind the other, each as the zigzag difference from the one before.
Lsn BlockLog::RemoveMany(const std::vector<uint64_t>& seqs) {
  const Changing changing(*this);
  std::string body;
  uint64_t before = 0;
  for (const uint64_t seq : seqs) {
    if (!live_.Contains(seq)) continue;
    const bool at_hand = IsAtHand(seq);
    DoRemove(seq, Erase::kNo);
    Tick(pace_, at_hand ? kRemoveUnits : kReadUnits);
    if (journal_ == nullptr) continue;
    if (body.empty()) {
      AppendVarint(&body, seq);
    } else {
      AppendVarint(&body, ZigZag(static_cast<int64_t>(seq - before)));
    }
    before = seq;
  }
  return body.empty() ? 0 : Staged(journal_->Append(RecordKind::kRemove, uid_, {body}));
}

Lsn BlockLog::TrimBelow(uint64_t seq) {
  if (seq <= state_.last_seq ? (state_.messages == 0 || seq <= state_.first_seq)
                             : (state_.messages == 0 && seq <= state_.last_seq + 1)) {
    return 0;
  }
  const Changing changing(*this);
  DoTrimBelow(seq);
  if (journal_ == nullptr) return 0;
  char body[kVarintBytesMax];
  const auto size = static_cast<size_t>(PutVarint(body, seq) - body);
  return Staged(journal_->Append(RecordKind::kTrim, uid_, {{body, size}}));
}

Lsn BlockLog::Purge() {
  if (state_.last_seq == 0) state_.first_seq = 1;  // as the peer tells it, until it starts again
  if (state_.messages == 0) return 0;
  const Changing changing(*this);
  DoPurge();
  if (journal_ == nullptr) return 0;
  char body[kVarintBytesMax];
  const auto size = static_cast<size_t>(PutVarint(body, state_.last_seq) - body);
  return Staged(journal_->Append(RecordKind::kPurge, uid_, {{body, size}}));
}

}  // namespace millrace
