// SPDX-License-Identifier: Apache-2.0
// BlockLog: reading.
#include <algorithm>
#include <utility>

#include "store/segment/block_log.h"

namespace millrace {

namespace {

// With more subjects than this, state() does not count them anew after a restart; the first use of the index does.
constexpr uint64_t kCountSubjectsMax = 65536;
constexpr uint64_t kBlockUnits = 1000;  // of a pace: one is read and looked through
constexpr uint64_t kFindUnits = 4;
constexpr uint64_t kNear = 2;  // sequences apart: the next message, or one is gone between them

}  // namespace

size_t BlockLog::BlockIndexOf(uint64_t seq) const {
  const size_t n = blocks_.size();
  if (n > 0 && seq >= blocks_[n - 1]->first_seq) return seq <= blocks_[n - 1]->last_seq ? n - 1 : n;
  return static_cast<size_t>(std::lower_bound(ends_.begin(), ends_.end(), seq) - ends_.begin());
}

BlockBody* BlockLog::BodyOf(Block* block, Wait wait, LoadStatus* why) {
  if (block->body != nullptr) return block->body;
  return Fetch(block, wait, why);
}

void BlockLog::SetCursor(size_t index) {
  MR_CHECK(index < blocks_.size() && blocks_[index]->body != nullptr);
  cursor_ = blocks_[index].get();
  cursor_index_ = index;
  cursor_ordinal_ = 0;
  OnUsed(cursor_);
}

// A block with gaps: a sequential reader wants the record behind the one before.
bool BlockLog::LoadAtCursor(uint64_t seq, StoredMessage* message) {
  MR_DCHECK(cursor_ == blocks_[cursor_index_].get());
  const BlockBody& body = *cursor_->body;
  const auto offset = static_cast<uint32_t>(seq - cursor_->first_seq);
  for (uint32_t ordinal = cursor_ordinal_; ordinal < body.count() && ordinal < cursor_ordinal_ + 3; ++ordinal) {
    if (body.HeaderAt(ordinal).seq_offset != offset) continue;
    cursor_ordinal_ = ordinal;
    body.MessageAt(ordinal, cursor_->first_seq, message);
    return true;
  }
  return false;
}

// Who reads one message after the other wants the block; who picks some wants only these.
bool BlockLog::PeekAt(size_t index, uint64_t seq, Wait wait, StoredMessage* message) {
  Block* block = blocks_[index].get();
  MR_DCHECK(seq >= block->first_seq && seq <= block->last_seq);
  if (block->body != nullptr) return false;
  const bool follows = seq - std::exchange(peeked_seq_, seq) <= kNear;
  const bool next = cursor_ != nullptr && index == cursor_index_ + 1 && seq - cursor_->last_seq <= kNear;
  return !follows && !next && Peek(block, seq, wait, message);
}

LoadStatus BlockLog::LoadSlow(uint64_t seq, StoredMessage* message, Wait wait) {
  if (cursor_ == nullptr || seq < cursor_->first_seq || seq > cursor_->last_seq || cursor_->body == nullptr) {
    size_t index = cursor_index_ + 1;
    if (cursor_ == nullptr || index >= blocks_.size() || seq < blocks_[index]->first_seq ||
        seq > blocks_[index]->last_seq) {
      index = BlockIndexOf(seq);
    }
    if (index >= blocks_.size()) return LoadStatus::kDamaged;
    if (PeekAt(index, seq, wait, message)) return LoadStatus::kFound;
    LoadStatus why = LoadStatus::kFound;
    if (BodyOf(blocks_[index].get(), wait, &why) == nullptr) return why;
    SetCursor(index);
  }
  const uint32_t ordinal = cursor_->OrdinalOf(seq);
  if (ordinal >= cursor_->body->count()) return LoadStatus::kDamaged;
  cursor_ordinal_ = ordinal;
  cursor_->body->MessageAt(ordinal, cursor_->first_seq, message);
  return message->seq == seq ? LoadStatus::kFound : LoadStatus::kDamaged;
}

bool BlockLog::Find(uint64_t seq, Wait wait, StoredMessage* message, Block** found) {
  size_t index = blocks_.empty() || seq > blocks_.front()->last_seq ? BlockIndexOf(seq) : 0;
  if (index == blocks_.size()) return false;
  Block* block = blocks_[index].get();
  *found = block;
  if (PeekAt(index, seq, wait, message)) return true;
  LoadStatus why = LoadStatus::kFound;
  const BlockBody* body = BodyOf(block, wait, &why);
  if (body == nullptr) return false;
  const uint32_t ordinal = block->OrdinalOf(seq);
  if (ordinal >= body->count()) return false;
  body->MessageAt(ordinal, block->first_seq, message);
  return message->seq == seq;
}

void BlockLog::SettleState() {
  MR_CHECK(changing_ == 0);  // of a state that never was nobody is told
  state_stale_ = false;
  if (subjects_stale_ && index_ == nullptr && state_.subjects <= kCountSubjectsMax) BuildIndex();
  StoredMessage message;
  Block* block = nullptr;
  if (state_.messages > 0 && Find(state_.first_seq, Wait::kNow, &message, &block)) {
    state_.first_time_ns = message.time_ns;
  }
}

uint64_t BlockLog::Next(const Filters& filters, uint64_t from) {
  if (filters.empty()) return live_.Next(from);
  const Working working(*this);
  return index().Next(filters, from);
}

uint64_t BlockLog::Previous(const Filters& filters, uint64_t from) {
  if (filters.empty()) return live_.Previous(from);
  const Working working(*this);
  return index().Previous(filters, from);
}

uint64_t BlockLog::Count(const Filters& filters, uint64_t from, bool last_per_subject) {
  if (filters.empty() && !last_per_subject) return live_.CountFrom(from);
  const Working working(*this);
  return index().Count(filters, from, last_per_subject);
}

std::optional<SubjectState> BlockLog::FindSubject(std::string_view subject) {
  const Working working(*this);
  return index().FindSubject(subject);
}

void BlockLog::ForEachSubject(const Filters& filters,
                              const std::function<bool(std::string_view subject, const SubjectState&)>& visit) {
  const Working working(*this);
  index().ForEachSubject(filters, visit);
}

std::vector<uint64_t> BlockLog::LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) {
  const Working working(*this);
  return index().LastPerSubject(filters, up_to, max);
}

std::vector<uint64_t> BlockLog::OlderThanLast(uint64_t keep) {
  const Working working(*this);
  return index().OlderThanLast(keep);
}

uint64_t BlockLog::FirstWithin(uint64_t messages, uint64_t bytes) {
  const Working working(*this);
  uint64_t count = state_.messages;
  uint64_t size = state_.bytes;
  const auto over = [&] { return count > 0 && (count > messages || size > bytes); };
  uint64_t first = state_.first_seq;
  // Whole blocks, of which nothing may stay.
  for (size_t i = 0; i < blocks_.size() && !blocks_[i]->open && over(); ++i) {
    const uint64_t live = std::min<uint64_t>(blocks_[i]->live, count);
    const uint64_t live_size = std::min(blocks_[i]->message_bytes(memory()), size);
    if (!(count > messages && count - live >= messages) && !(size > bytes && size - live_size >= bytes)) break;
    count -= live;
    size -= live_size;
    first = live_.Next(blocks_[i]->last_seq + 1);
  }
  while (over() && first != 0) {
    StoredMessage message;
    Block* block = nullptr;
    const bool read = Find(first, Wait::kNow, &message, &block);
    MR_CHECK(count > 0);
    const uint64_t gone = !read ? size / count
                                : MessageBytes(memory(), message.subject.size(), message.header_bytes,
                                               message.payload.size());
    size -= std::min(gone, size);
    --count;
    first = live_.Next(first + 1);
    Tick(pace_, kFindUnits);
  }
  return count == 0 || first == 0 ? state_.last_seq + 1 : first;
}

// max_time_ns of a block covers all blocks before it, so it ascends even where clocks did not.
uint64_t BlockLog::FirstAtOrAfter(int64_t time_ns) {
  const Working working(*this);
  const auto at = std::lower_bound(blocks_.begin(), blocks_.end(), time_ns,
                             [](const auto& block, int64_t wanted) { return block->max_time_ns < wanted; });
  for (auto i = static_cast<size_t>(at - blocks_.begin()); i < blocks_.size(); ++i) {
    Block* block = blocks_[i].get();
    if (block->live == 0) continue;
    LoadStatus why = LoadStatus::kFound;
    const BlockBody* body = BodyOf(block, Wait::kNow, &why);
    if (body == nullptr) continue;
    for (uint32_t ordinal = 0; ordinal < body->count(); ++ordinal) {
      const RecordHeader header = body->HeaderAt(ordinal);
      const uint64_t seq = block->first_seq + header.seq_offset;
      if (header.time_ns >= time_ns && live_.Contains(seq)) return seq;
    }
    Tick(pace_, body->count() / 4 + kBlockUnits);  // and the body is not used any more
  }
  return state_.last_seq + 1;
}

std::vector<uint64_t> BlockLog::Deleted(size_t max) {
  const Working working(*this);
  std::vector<uint64_t> gone;
  if (state_.messages == 0) return gone;
  uint64_t expected = state_.first_seq;
  while (expected <= state_.last_seq && gone.size() < max) {
    uint64_t next = live_.Next(expected);
    if (next == 0) next = state_.last_seq + 1;
    MR_DCHECK(next >= expected);
    for (; expected < next && gone.size() < max; ++expected) gone.push_back(expected);
    Tick(pace_, 1 + next - expected);
    expected = next + 1;
  }
  return gone;
}

size_t BlockLog::memory_bytes() const {
  size_t bytes = sizeof(*this) + live_.memory_bytes() + (blocks_.capacity() + ends_.capacity()) * 8;
  for (const auto& block : blocks_) {
    bytes += sizeof(Block) + (block->body == nullptr ? 0 : block->body->memory_bytes());
  }
  return bytes + (index_ == nullptr ? 0 : index_->memory_bytes());
}

}  // namespace millrace
