// SPDX-License-Identifier: Apache-2.0
// Block: see block.h.
#include "store/segment/block.h"

namespace millrace {

// The checksum says that the bytes are as they were written; this makes sure that nothing outside of them is ever
// touched even if the checksum was fooled.
bool BlockBody::Index(size_t bytes, uint32_t messages, uint64_t seq_span) {
  MR_CHECK(offsets_.empty() && seq_offsets_.empty());
  if (bytes < sizeof(BlockHeader) || bytes > room_ || messages > bytes / sizeof(RecordHeader)) return false;
  offsets_.reserve(messages);
  size_t at = sizeof(BlockHeader);
  uint64_t before = 0;
  while (at < bytes) {
    if (bytes - at < sizeof(RecordHeader) || at > UINT32_MAX || offsets_.size() == messages) return false;
    RecordHeader header;
    std::memcpy(&header, data_ + at, sizeof header);
    if (!header.FitsIn(bytes - at)) return false;
    if (header.seq_offset > seq_span || (!offsets_.empty() && header.seq_offset <= before)) return false;
    before = header.seq_offset;
    offsets_.push_back(static_cast<uint32_t>(at));
    at += header.record_bytes;
  }
  bytes_ = bytes;
  return offsets_.size() == messages;
}

}  // namespace millrace
