// SPDX-License-Identifier: Apache-2.0
// SweepState: where a SegmentStore is with writing zeros over what is dead in its files (secure deletion).
// Owner:  shard (SegmentStore). Only its own files include this.
// A file is appended to and its places are never used again: what no stream and no checkpoint wants when its sweep
// begins stays dead. What lives is listed a slice at a time; what is given up meanwhile, and is still wanted by a
// checkpoint, is told by Keep. Where every death was noted since the file was made or swept, those places are enough.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "store/segment/segment_store.h"

namespace millrace {

struct SegmentStore::SweepState {
  bool failed = false;
  std::vector<uint32_t> files;  // still to do
  SegmentFile* file = nullptr;  // at hand
  bool listing = false;         // what lives in it
  uint64_t end = 0;             // what lies behind came later
  std::vector<uint64_t> uids;   // whose blocks are not listed yet
  std::vector<std::pair<uint64_t, uint64_t>> kept;  // from, to
  std::vector<std::pair<uint64_t, uint64_t>> dead;  // the same; from the end

  void Keep(const Extent& extent) {
    if (listing && extent.file == file->number) kept.emplace_back(extent.offset, extent.offset + extent.bytes);
  }
  void Keep(const std::vector<FreedExtent>& places) {
    for (const FreedExtent& freed : places) Keep(freed.extent);
  }
  void FindDead();
};

}  // namespace millrace
