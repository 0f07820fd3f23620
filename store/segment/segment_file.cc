// SPDX-License-Identifier: Apache-2.0
// SegmentFile: see segment_file.h.
#include "store/segment/segment_file.h"

#include "absl/strings/str_format.h"
#include "proto/hash.h"

namespace millrace {

std::string SegmentFile::PathOf(uint32_t number) { return absl::StrFormat("segments/%08x.seg", number); }

bool SegmentFile::ParseName(const std::string& name, uint32_t* number) {
  if (name.size() != 12 || name.substr(8) != ".seg") return false;
  *number = 0;
  for (size_t i = 0; i < 8; ++i) {
    const char c = name[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return false;
    *number = *number << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return *number != 0;
}

// Bytes that belong elsewhere do not pass. The formula is part of the format.
uint64_t SegmentFile::SeedAt(uint64_t offset) const {
  MR_DCHECK(offset % kSegmentAlignment == 0);
  return uuid ^ offset * 0x9e3779b97f4a7c15;
}

}  // namespace millrace
