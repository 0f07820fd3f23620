// SPDX-License-Identifier: Apache-2.0
// Archive: the entries of a backup of a stream, as nats-server writes them since 2.15 (inside an S2 stream).
// Owner:  caller (pure).
// Format: "NATSARC1", then entries: uvarint name length, varint time, uvarint sequence, uvarint header bytes, uvarint
//         payload bytes, the name, header and payload. A stream's are: "state.json"; "consumers/<name>" for each
//         consumer; the messages, named by their subjects; an entry that is all zero.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace {

inline constexpr std::string_view kArchiveMagic = "NATSARC1";

struct ArchiveEntry {
  std::string_view name;
  int64_t time_ns = 0;
  uint64_t seq = 0;
  std::string_view header;
  std::string_view body;

  bool is_end() const { return name.empty() && time_ns == 0 && seq == 0 && header.empty() && body.empty(); }
};

// The magic is the caller's to write.
void AppendArchiveEntry(const ArchiveEntry& entry, std::string* out);

// Reads entries from any pieces.
class ArchiveReader {
 public:
  void Add(std::string_view bytes);
  // The next whole entry: views until the next call of either. kNeedMore: add more.
  enum class Next : uint8_t { kEntry, kNeedMore, kInvalid };
  Next Read(ArchiveEntry* entry);

 private:
  bool seen_magic_ = false;
  size_t at_ = 0;
  std::string bytes_;
};

}  // namespace millrace
