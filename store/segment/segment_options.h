// SPDX-License-Identifier: Apache-2.0
// SegmentStoreOptions: what a SegmentStore and its parts are told once.
// Owner:  caller; the store keeps a copy, which its parts look at.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "proto/base/nanos.h"
#include "store/keys/store_keys.h"

namespace millrace {

struct SegmentStoreOptions {
  uint64_t random = 0;                     // from the caller's source of randomness: identity of new files
  uint64_t cache_bytes = 16 << 20;         // block bodies and index runs that could be read again
  uint64_t file_bytes = 64 << 20;          // of a stream's own file
  uint64_t pack_bytes = 32 << 20;
  uint64_t busy_bytes = 16 << 20;          // a stream with more than this gets files of its own
  // May be dead in any case; files are at least half as large. Not more than a part of the volume.
  uint64_t slack_bytes = 12 << 20;
  uint64_t compact_turn_bytes = 1 << 20;   // read by compaction in one turn
  uint32_t hydrated_max = 4096;            // streams whose index stays in memory while they are idle
  uint32_t open_files_max = 512;
  uint32_t writes_max = 32;                // in flight
  StoreKeys* keys = nullptr;               // that seal blocks and index runs; they outlive the store
  uint64_t scrub_bytes_per_second = 8 << 20;  // 0: nothing is read but on demand
  Nanos scrub_after = std::chrono::minutes(1);  // the first pass, after the start
  Nanos scrub_every = std::chrono::hours(24);   // from pass to pass, at least
  std::function<void(std::string_view what)> on_damage;
  std::function<void(uint64_t bytes, bool pass_done)> on_scrubbed;  // so much was read, and is good
};

}  // namespace millrace
