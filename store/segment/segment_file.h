// SPDX-License-Identifier: Apache-2.0
// SegmentFile: one file of blocks, and what is known of it. Extent: a place in one.
// Owner:  shard (SegmentStore).
// Format: store/FORMAT.md: SegmentFileHeader in the first 4,096 bytes, then blocks and index runs, each at a multiple
//         of 8.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/base/check.h"
#include "store/disk.h"

namespace millrace {

class BlockOwner;

inline constexpr uint32_t kSegmentMagic = 0x3147534d;  // "MSG1"
inline constexpr uint64_t kSegmentHeaderBytes = 4096;
inline constexpr uint64_t kSegmentAlignment = 8;
inline constexpr uint64_t kOpenFileBytes = 64 << 10;  // a file that takes appends may be dead up to here

struct SegmentFileHeader {
  uint32_t magic = kSegmentMagic;
  uint16_t version = 1;
  uint16_t flags = 0;
  uint32_t number = 0;
  uint32_t key_id = 0;  // of the data key under which it is written; 0: plain
  uint64_t uuid = 0;  // random: seeds every checksum in the file
  uint64_t uid = 0;   // of the one stream that it belongs to; 0: a pack
  uint64_t header_hash = 0;
};
static_assert(sizeof(SegmentFileHeader) == 40);

struct Extent {
  uint32_t file = 0;  // 0: nowhere
  uint32_t bytes = 0;
  uint64_t offset = 0;
};

// A place on its way back.
struct FreedExtent {
  Extent extent;
  bool wipe = false;    // its bytes must become unreadable
  bool wanted = false;  // counted in SegmentFile::wanted and not in held
};

struct EncodedExtent {
  uint64_t uid;  // whose state, encoded, does not name it any more
  FreedExtent freed;
};

struct SegmentFile {
  uint32_t number = 0;
  Disk::File file = -1;      // -1: closed
  uint64_t uuid = 0;         // 0: not known
  bool header_read = false;
  uint64_t uid = 0;
  uint64_t end = 0;          // where the next block goes; what is on disk
  uint64_t live_bytes = 0;   // an estimate, of what streams want
  uint32_t wanted = 0;       // extents that streams want
  uint32_t held = 0;         // extents that only a checkpoint still wants
  uint64_t held_bytes = 0;   // of those, and held_rest
  uint64_t held_rest = 0;    // what else goes with them, when no stream wants anything of the file
  uint32_t in_flight = 0;    // operations
  bool takes_appends = false;
  BlockOwner* appender = nullptr;  // whose own it is, while that one knows it by `file`
  bool unsynced = false;
  bool failed = false;       // a write or sync failed: nothing more goes here, what is here moves away
  bool compacted = false;    // what could move out has
  bool quarantined = false;  // something in it is damaged
  bool stale = false;        // under an old key, or under none: as if it had failed
  uint32_t key_id = 0;
  uint64_t used_turn = 0;
  // What was given back since the file was made or swept (secure deletion), while tracks_dead; otherwise nobody knows.
  bool tracks_dead = false;
  std::vector<Extent> dead;
  std::vector<uint64_t> uids;  // streams that wrote here (packs)

  static std::string PathOf(uint32_t number);
  static bool ParseName(const std::string& name, uint32_t* number);
  uint64_t SeedAt(uint64_t offset) const;
  // What is not given back by checkpoints alone.
  uint64_t dead_bytes() const {
    MR_DCHECK(held_rest <= held_bytes);
    const uint64_t wanted_bytes = live_bytes + held_bytes + kSegmentHeaderBytes;
    return end > wanted_bytes ? end - wanted_bytes : 0;
  }
};

}  // namespace millrace
