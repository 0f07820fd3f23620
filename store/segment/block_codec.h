// SPDX-License-Identifier: Apache-2.0
// BlockCodec: a block's body on its way to the disk and back.
// Owner:  caller (pure, but for the keys).  `keys`: nullptr where nothing is sealed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "store/segment/block.h"
#include "store/segment/segment_file.h"
#include "store/keys/store_keys.h"

namespace millrace {

// How many bytes the block takes on disk; compressed bytes go to *room, which stays empty when they would not be fewer.
size_t CompressBlock(const BlockBody& body, bool compress, std::string* room, const StoreKeys* keys = nullptr);

// Writes the header into the body, or into room if that is used, and returns what to write. The body and room stay.
// Sealed bytes go to room in any case: the body is still read.
std::string_view PrepareBlock(uint64_t uid, const Block& block, BlockBody* body, std::string* room,
                              const SegmentFile& file, uint64_t offset, StoreKeys* keys = nullptr);

// *body holds `bytes` bytes read from the block's place. True: they are the block; *body is then its records in memory.
bool OpenBlock(uint64_t uid, const Block& block, const SegmentFile& file, size_t bytes,
               std::unique_ptr<BlockBody>* body, StoreKeys* keys = nullptr);

}  // namespace millrace
