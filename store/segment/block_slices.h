// SPDX-License-Identifier: Apache-2.0
// BlockSlices: checksums of a block's parts, so that one message can be read and verified without the rest.
// Owner:  caller (pure).
// Format: store/FORMAT.md. Behind the records: a BlockSlice for every 16 KiB of them, then a checksum over the table,
//         which is the block's stored_hash, too.
// Which:  blocks of at least four slices with messages that are small beside one, neither compressed nor sealed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "store/segment/block.h"

namespace millrace {

inline constexpr size_t kSliceBytes = 16 << 10;

struct BlockSlice {
  uint64_t hash;        // XXH3-64 of the slice, seed: the block's + its index
  uint32_t record;      // where the first record that begins in it does, from the first slice on; UINT32_MAX: none does
  uint32_t seq_offset;  // of that record
};
static_assert(sizeof(BlockSlice) == 16);

// 0: such a block has no table.
constexpr size_t SliceTableBytes(uint64_t record_bytes, uint64_t messages) {
  if (record_bytes < 4 * kSliceBytes || record_bytes > messages * (kSliceBytes / 4)) return 0;
  return (record_bytes + kSliceBytes - 1) / kSliceBytes * sizeof(BlockSlice) + sizeof(uint64_t);
}
// What a block of so many bytes, all included, needs at most.
constexpr size_t SliceTableRoom(uint64_t block_bytes) { return SliceTableBytes(block_bytes, block_bytes); }

// Bound to the place (`seed`, see SegmentFile::SeedAt), the stream and the first sequence.
struct SliceSeeds {
  SliceSeeds(uint64_t uid, uint64_t first_seq, uint64_t seed)
      : slice(seed), table(seed ^ (uid * 0x9e3779b97f4a7c15u + first_seq)) {}
  uint64_t slice;
  uint64_t table;
};

// Writes the table for `records`, which are well formed. Returns its checksum.
uint64_t WriteSliceTable(std::string_view records, const SliceSeeds& seeds, char* table);
// Whether all of it is as it was written.
bool SlicesIntact(std::string_view records, std::string_view table, const SliceSeeds& seeds);

// Reads and verifies the one message. `read` fills `to` with `bytes` bytes at `at`, counted from the block's beginning,
// or returns false. The views in *message are of *room. False: it cannot be had this way; reading the whole block tells
// why.
using ReadBlockPart = absl::FunctionRef<bool(uint64_t at, char* to, size_t bytes)>;
bool ReadOneMessage(const Block& block, const SliceSeeds& seeds, uint64_t seq, ReadBlockPart read, std::string* room,
                    StoredMessage* message);

}  // namespace millrace
