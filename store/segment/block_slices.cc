// SPDX-License-Identifier: Apache-2.0
#include "store/segment/block_slices.h"

#include <algorithm>
#include <cstring>

#include "store/hash.h"

namespace millrace {
namespace {

constexpr uint32_t kNoRecord = UINT32_MAX;

BlockSlice SliceAt(std::string_view table, size_t index) {
  BlockSlice slice;
  std::memcpy(&slice, table.data() + index * sizeof slice, sizeof slice);
  return slice;
}

// The checksum behind the slices is of them.
bool TableIntact(std::string_view table, const SliceSeeds& seeds) {
  uint64_t hash = 0;
  const size_t bytes = table.size() - sizeof hash;
  std::memcpy(&hash, table.data() + bytes, sizeof hash);
  return hash == Hash64(table.substr(0, bytes), seeds.table);
}

size_t SliceCount(std::string_view table) { return table.size() / sizeof(BlockSlice); }

// The slices of one block that have been read, from the one that a reader begins with.
class SliceReader {
 public:
  // *room holds the table.
  SliceReader(uint64_t record_bytes, const SliceSeeds& seeds, size_t first, ReadBlockPart read, std::string* room)
      : record_bytes_(record_bytes),
        seeds_(seeds),
        first_(first),
        read_(read),
        room_(*room),
        table_bytes_(room->size()),
        next_(first) {}

  // Bytes [from, to) of the records, read and verified as far as they have not been; nullptr: impossible.
  const char* Get(uint64_t from, uint64_t to) {
    MR_DCHECK(from <= to && from >= uint64_t{first_} * kSliceBytes);
    if (to > record_bytes_) return nullptr;
    const size_t end = (to + kSliceBytes - 1) / kSliceBytes;
    if (end > next_) {
      const uint64_t at = uint64_t{next_} * kSliceBytes;
      const size_t bytes = std::min<uint64_t>(uint64_t{end} * kSliceBytes, record_bytes_) - at;
      const size_t had = (next_ - first_) * kSliceBytes;
      room_.resize(table_bytes_ + had + bytes);
      char* slices = room_.data() + table_bytes_ + had;
      if (!read_(sizeof(BlockHeader) + at, slices, bytes)) return nullptr;
      for (size_t done = 0; next_ < end; ++next_, done += kSliceBytes) {
        const std::string_view slice(slices + done, std::min(kSliceBytes, bytes - done));
        if (SliceAt(room_, next_).hash != Hash64(slice, seeds_.slice + next_)) return nullptr;
      }
    }
    return room_.data() + table_bytes_ + (from - uint64_t{first_} * kSliceBytes);
  }

 private:
  const uint64_t record_bytes_;
  const SliceSeeds& seeds_;
  const size_t first_;
  ReadBlockPart read_;
  std::string& room_;  // the table, then the slices
  const size_t table_bytes_;
  size_t next_;        // to be read
};

}  // namespace

uint64_t WriteSliceTable(std::string_view records, const SliceSeeds& seeds, char* table) {
  const char* const start = table;
  size_t at = 0;  // a record
  for (size_t from = 0; from < records.size(); from += kSliceBytes) {
    const size_t end = std::min(from + kSliceBytes, records.size());
    BlockSlice slice{Hash64(records.substr(from, end - from), seeds.slice + from / kSliceBytes), kNoRecord, 0};
    while (at < end) {
      RecordHeader header;
      std::memcpy(&header, records.data() + at, sizeof header);
      if (slice.record == kNoRecord) {
        slice.record = static_cast<uint32_t>(at);
        slice.seq_offset = header.seq_offset;
      }
      MR_CHECK(header.FitsIn(records.size() - at));
      at += header.record_bytes;
    }
    std::memcpy(table, &slice, sizeof slice);
    table += sizeof slice;
  }
  const uint64_t hash = Hash64({start, static_cast<size_t>(table - start)}, seeds.table);
  std::memcpy(table, &hash, sizeof hash);
  return hash;
}

bool SlicesIntact(std::string_view records, std::string_view table, const SliceSeeds& seeds) {
  MR_CHECK_OP(table.size(), >=, sizeof(uint64_t));
  if (!TableIntact(table, seeds)) return false;
  for (size_t i = 0; i < SliceCount(table); ++i) {
    if (SliceAt(table, i).hash != Hash64(records.substr(i * kSliceBytes, kSliceBytes), seeds.slice + i)) return false;
  }
  return true;
}

bool ReadOneMessage(const Block& block, const SliceSeeds& seeds, uint64_t seq, ReadBlockPart read, std::string* room,
                    StoredMessage* message) {
  const size_t table_bytes = SliceTableBytes(block.record_bytes, block.messages);
  const uint64_t table_at = sizeof(BlockHeader) + block.record_bytes;
  if (table_bytes == 0 || block.stored_bytes != table_at + table_bytes) return false;
  room->resize(table_bytes);
  if (!read(table_at, room->data(), table_bytes) || !TableIntact(*room, seeds)) return false;

  // The last slice in which a record begins that is not behind the wanted one.
  const auto wanted = static_cast<uint32_t>(seq - block.first_seq);
  size_t first = 0;
  for (size_t i = 0; i < SliceCount(*room); ++i) {
    const BlockSlice slice = SliceAt(*room, i);
    if (slice.record == kNoRecord) continue;
    if (slice.seq_offset > wanted) break;
    first = i;
  }
  uint64_t at = SliceAt(*room, first).record;
  if (at == kNoRecord || at < first * kSliceBytes) return false;

  SliceReader slices(block.record_bytes, seeds, first, read, room);
  for (;;) {
    const char* bytes = slices.Get(at, at + sizeof(RecordHeader));
    if (bytes == nullptr) return false;
    RecordHeader header;
    std::memcpy(&header, bytes, sizeof header);
    if (!header.FitsIn(block.record_bytes - at) || header.seq_offset > wanted) return false;
    if (header.seq_offset == wanted) {
      bytes = slices.Get(at, at + header.record_bytes);
      if (bytes == nullptr) return false;
      DecodeRecord(bytes, block.first_seq, message);
      return true;
    }
    at += header.record_bytes;
  }
}

}  // namespace millrace
