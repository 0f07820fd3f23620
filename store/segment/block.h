// SPDX-License-Identifier: Apache-2.0
// Block: messages of one stream in order of their sequences, in memory exactly as on disk.
// Owner:  shard (one stream's log).
// Format: store/FORMAT.md. A body is BlockHeader, then records one behind the other; a record is RecordHeader, subject,
//         header block, body of the message. Sequences ascend, with gaps allowed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "proto/base/bytes.h"
#include "proto/base/check.h"
#include "store/stream_log.h"

namespace millrace {

inline constexpr uint32_t kBlockMagic = 0x314b424d;  // "MBK1"

struct BlockHeader {
  uint32_t magic = kBlockMagic;
  uint16_t version = 1;  // 2: with kBlockSliced
  uint16_t flags = 0;    // kBlockCompressed, kBlockSliced
  uint64_t uid = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint32_t messages = 0;
  uint32_t stored_bytes = 0;  // behind this header, as stored
  uint32_t record_bytes = 0;  // behind this header, in memory
  uint32_t key_id = 0;        // of the data key that seals the records; 0: plain
  int64_t first_time_ns = 0;
  int64_t last_time_ns = 0;
  uint64_t place = 0;        // file number << 40 | offset: a block that is read from elsewhere is not this one
  uint64_t stored_hash = 0;  // XXH3-64 of the stored bytes (sliced: of the table), seed: the file's uuid and the offset
  uint64_t header_hash = 0;  // XXH3-64 of what stands before it, same seed
};
static_assert(sizeof(BlockHeader) == 88);

inline constexpr uint16_t kBlockCompressed = 1;
inline constexpr uint16_t kBlockSliced = 2;  // block_slices.h

struct RecordHeader {
  uint32_t record_bytes;  // all of it
  uint32_t subject_bytes;
  uint32_t header_bytes;
  uint32_t seq_offset;  // from the block's first_seq
  int64_t time_ns;

  // Whether its lengths agree with each other and with the bytes that are there from its beginning on.
  bool FitsIn(uint64_t bytes) const {
    if (record_bytes < sizeof *this || record_bytes > bytes) return false;
    const size_t rest = record_bytes - sizeof *this;
    return subject_bytes <= rest && header_bytes <= rest - subject_bytes;
  }
};
static_assert(sizeof(RecordHeader) == 24);

// Of a record that fits; the views are of its bytes.
inline void DecodeRecord(const char* at, uint64_t first_seq, StoredMessage* message) {
  RecordHeader header;
  std::memcpy(&header, at, sizeof header);
  message->seq = first_seq + header.seq_offset;
  message->time_ns = header.time_ns;
  message->header_bytes = header.header_bytes;
  at += sizeof header;
  message->subject = {at, header.subject_bytes};
  message->payload = {at + header.subject_bytes, header.record_bytes - sizeof header - header.subject_bytes};
}

struct Block;

class BlockBody {
 public:
  explicit BlockBody(size_t room) { Grow(std::max(room, sizeof(BlockHeader))); }
  BlockBody(const BlockBody&) = delete;
  BlockBody& operator=(const BlockBody&) = delete;
  ~BlockBody() { std::free(data_); }

  static size_t RecordBytes(const StoredMessage& message) {
    return sizeof(RecordHeader) + message.subject.size() + message.payload.size();
  }

  void Append(uint32_t seq_offset, const StoredMessage& message) {
    const size_t size = RecordBytes(message);
    char* to = Take(size);
    const RecordHeader header{static_cast<uint32_t>(size), static_cast<uint32_t>(message.subject.size()),
                              message.header_bytes, seq_offset, message.time_ns};
    std::memcpy(to, &header, sizeof header);
    to += sizeof header;
    CopyBytes(CopyBytes(to, message.subject), message.payload);
  }
  // A record of another block, under another offset.
  void AppendRecord(uint32_t seq_offset, std::string_view record) {
    char* to = Take(record.size());
    std::memcpy(to, record.data(), record.size());
    std::memcpy(to + offsetof(RecordHeader, seq_offset), &seq_offset, sizeof seq_offset);
  }

  uint32_t count() const { return static_cast<uint32_t>(offsets_.size()); }
  size_t bytes() const { return bytes_; }  // header included
  size_t record_bytes() const { return bytes_ - sizeof(BlockHeader); }
  char* data() { return data_; }
  const char* data() const { return data_; }

  RecordHeader HeaderAt(uint32_t ordinal) const {
    MR_DCHECK(ordinal < count());
    RecordHeader header;
    std::memcpy(&header, data_ + offsets_[ordinal], sizeof header);
    return header;
  }
  std::string_view RecordAt(uint32_t ordinal) const {
    return {data_ + offsets_[ordinal], HeaderAt(ordinal).record_bytes};
  }
  void MessageAt(uint32_t ordinal, uint64_t first_seq, StoredMessage* message) const {
    MR_DCHECK(ordinal < count());
    DecodeRecord(data_ + offsets_[ordinal], first_seq, message);
  }
  // The first record whose offset is at least seq_offset. Offsets lie together for it: headers are a cache miss each.
  uint32_t LowerBound(uint32_t seq_offset) {
    MR_DCHECK(seq_offsets_.size() <= offsets_.size());
    while (seq_offsets_.size() < offsets_.size()) {
      seq_offsets_.push_back(HeaderAt(static_cast<uint32_t>(seq_offsets_.size())).seq_offset);
    }
    return static_cast<uint32_t>(std::lower_bound(seq_offsets_.begin(), seq_offsets_.end(), seq_offset) -
                                 seq_offsets_.begin());
  }

  // Finds the records in bytes that were read into data(); once per body. False: they are not well formed.
  bool Index(size_t bytes, uint32_t messages, uint64_t seq_span);
  // Room for so many bytes behind the records; they do not count.
  char* Spare(size_t bytes) {
    if (bytes_ + bytes > room_) Grow(bytes_ + bytes);
    return data_ + bytes_;
  }
  // Gives back what was reserved and is not used.
  void Trim() {
    if (room_ - bytes_ > bytes_ / 16) Grow(bytes_);
    offsets_.shrink_to_fit();
  }
  // What LowerBound may add later is counted from the beginning: the cache must not change its sums.
  size_t memory_bytes() const { return sizeof(*this) + room_ + 8 * offsets_.size(); }

 private:
  void Grow(size_t room) {
    MR_CHECK_OP(room, >=, bytes_);
    data_ = static_cast<char*>(std::realloc(data_, room));
    MR_CHECK(data_ != nullptr);
    room_ = room;
  }
  char* Take(size_t size) {
    if (bytes_ + size > room_) [[unlikely]] {
      Grow(std::max(bytes_ + size, std::min(room_ * 2, room_ + (size_t{1} << 20))));
    }
    MR_DCHECK(bytes_ <= UINT32_MAX);
    offsets_.push_back(static_cast<uint32_t>(bytes_));
    char* to = data_ + bytes_;
    bytes_ += size;
    return to;
  }

  char* data_ = nullptr;
  size_t bytes_ = sizeof(BlockHeader);
  size_t room_ = 0;
  std::vector<uint32_t> offsets_;
  std::vector<uint32_t> seq_offsets_;  // of the first records; made when first searched

 public:
  // For the block cache.
  Block* block = nullptr;
  BlockBody* newer = nullptr;
  BlockBody* older = nullptr;
};

// One block in the directory of its stream.
struct Block {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;  // of the messages that it holds, live or not
  uint32_t messages = 0;
  uint32_t live = 0;
  uint64_t record_bytes = 0;
  uint64_t live_bytes = 0;
  int64_t max_time_ns = 0;  // of its messages and of all blocks before
  int64_t last_time_ns = 0;
  uint32_t live_headed = 0;  // live messages that have a header
  BlockBody* body = nullptr;
  bool open = true;  // takes appends

  // File streams only (block_store.h).
  enum class Place : uint8_t { kMemory, kWriting, kDisk };
  Place place = Place::kMemory;
  bool damaged = false;
  bool reading = false;
  uint32_t file = 0;
  uint32_t stored_bytes = 0;
  uint8_t peeks = 0;        // messages read without the rest of it, in that round
  uint8_t peek_round = 0;
  uint64_t offset = 0;

  // What its live messages count for.
  uint64_t message_bytes(bool memory) const {
    MR_DCHECK(!memory || live_bytes >= uint64_t{8} * live);
    return memory ? live_bytes - uint64_t{8} * live : live_bytes + uint64_t{6} * live + uint64_t{4} * live_headed;
  }
  bool dense() const { return messages == last_seq - first_seq + 1; }
  // The record of this sequence; body->count() or another sequence's when it has none.
  uint32_t OrdinalOf(uint64_t seq) const {
    MR_DCHECK(seq >= first_seq && seq <= last_seq);
    const auto offset_of_seq = static_cast<uint32_t>(seq - first_seq);
    return dense() ? offset_of_seq : body->LowerBound(offset_of_seq);
  }
};

}  // namespace millrace
