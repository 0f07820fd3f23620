// SPDX-License-Identifier: Apache-2.0
// BlockLog: reading.
#include <algorithm>

#include "store/segment/block_log.h"

namespace millrace {

namespace {

// With more subjects than this, state() does not count them anew after a restart; the first use of the index does.
constexpr uint64_t kCountSubjectsMax = 65536;
constexpr uint64_t kBlockUnits = 1000;  // of a pace: one is read and looked through
constexpr uint64_t kFindUnits = 4;

}  // namespace

void BlockLog::SettleState() {
  MR_CHECK(changing_ == 0);  // of a state that never was nobody is told
  state_stale_ = false;
  if (subjects_stale_ && index_ == nullptr && state_.subjects <= kCountSubjectsMax) BuildIndex();
  StoredMessage message;
  Block* block = nullptr;
  if (state_.messages > 0 && reader_.Find(state_.first_seq, Wait::kNow, &message, &block)) {
    state_.first_time_ns = message.time_ns;
  }
}

uint64_t BlockLog::Next(const Filters& filters, uint64_t from) {
  if (filters.empty()) return live_.Next(from);
  const LogWork working(*this);
  return index().Next(filters, from);
}

uint64_t BlockLog::Previous(const Filters& filters, uint64_t from) {
  if (filters.empty()) return live_.Previous(from);
  const LogWork working(*this);
  return index().Previous(filters, from);
}

uint64_t BlockLog::Count(const Filters& filters, uint64_t from, bool last_per_subject) {
  if (filters.empty() && !last_per_subject) return live_.CountFrom(from);
  const LogWork working(*this);
  return index().Count(filters, from, last_per_subject);
}

std::optional<SubjectState> BlockLog::FindSubject(std::string_view subject) {
  const LogWork working(*this);
  return index().FindSubject(subject);
}

void BlockLog::ForEachSubject(const Filters& filters,
                              const std::function<bool(std::string_view subject, const SubjectState&)>& visit) {
  const LogWork working(*this);
  index().ForEachSubject(filters, visit);
}

std::vector<uint64_t> BlockLog::LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) {
  const LogWork working(*this);
  return index().LastPerSubject(filters, up_to, max);
}

std::vector<uint64_t> BlockLog::OlderThanLast(uint64_t keep) {
  const LogWork working(*this);
  return index().OlderThanLast(keep);
}

uint64_t BlockLog::FirstWithin(uint64_t messages, uint64_t bytes) {
  const LogWork working(*this);
  uint64_t count = state_.messages;
  uint64_t size = state_.bytes;
  const auto over = [&] { return count > 0 && (count > messages || size > bytes); };
  uint64_t first = state_.first_seq;
  // Whole blocks, of which nothing may stay.
  for (size_t i = 0; i < blocks_.size() && !blocks_[i]->open && over(); ++i) {
    const uint64_t live = std::min<uint64_t>(blocks_[i]->live, count);
    const uint64_t live_size = std::min(blocks_[i]->message_bytes(options_.memory), size);
    if (!(count > messages && count - live >= messages) && !(size > bytes && size - live_size >= bytes)) break;
    count -= live;
    size -= live_size;
    first = live_.Next(blocks_[i]->last_seq + 1);
  }
  while (over() && first != 0) {
    StoredMessage message;
    Block* block = nullptr;
    const bool read = reader_.Find(first, Wait::kNow, &message, &block);
    MR_CHECK(count > 0);
    const uint64_t gone = !read ? size / count
                                : MessageBytes(options_.memory, message.subject.size(), message.header_bytes,
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
  const LogWork working(*this);
  const auto at = std::lower_bound(blocks_.begin(), blocks_.end(), time_ns,
                             [](const auto& block, int64_t wanted) { return block->max_time_ns < wanted; });
  for (auto i = static_cast<size_t>(at - blocks_.begin()); i < blocks_.size(); ++i) {
    Block* block = blocks_[i].get();
    if (block->live == 0) continue;
    LoadStatus why = LoadStatus::kFound;
    const BlockBody* body = reader_.BodyOf(block, Wait::kNow, &why);
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
  const LogWork working(*this);
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
  size_t bytes = sizeof(*this) + live_.memory_bytes() + blocks_.memory_bytes();
  for (const auto& block : blocks_) {
    bytes += sizeof(Block) + (block->body == nullptr ? 0 : block->body->memory_bytes());
  }
  return bytes + (index_ == nullptr ? 0 : index_->memory_bytes());
}

}  // namespace millrace
