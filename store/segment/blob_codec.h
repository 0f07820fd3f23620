// SPDX-License-Identifier: Apache-2.0
// BlobCodec: an index run's bytes on their way to the disk and back: a checksum, then the bytes, sealed where there is
//            a key.
// Owner:  caller (pure, but for the keys).  `keys`: nullptr where nothing is sealed.
// Format: store/FORMAT.md.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "store/keys/store_keys.h"
#include "store/segment/segment_file.h"

namespace millrace {

inline constexpr size_t kBlobHashBytes = 8;

// How many bytes it takes on disk.
inline size_t BlobBytes(size_t bytes, const StoreKeys* keys) { return kBlobHashBytes + bytes + SealBytes(keys); }

// What to write at `extent` of `file`.
std::string PrepareBlob(std::string_view bytes, const SegmentFile& file, const Extent& extent, StoreKeys* keys);

// *bytes were read from there. True: *bytes are what PrepareBlob was given.
bool OpenBlob(const SegmentFile& file, const Extent& extent, std::string* bytes, StoreKeys* keys);

}  // namespace millrace
