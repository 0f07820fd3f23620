// SPDX-License-Identifier: Apache-2.0
// SweepMarks: what a secure deletion (segment_sweep.h) wants to hear of, while it is under way, from those who write
//             and give back places.
// Owner:  shard (SegmentFiles).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "store/segment/segment_file.h"

namespace millrace {

struct SweepMarks {
  // What is given back is noted as dead, and not wiped by itself; files that go are gone at once.
  bool under_way = false;
  bool failed = false;      // zeros could not be written
  uint32_t listed = 0;      // the file of which all places are listed that somebody wants; 0: none
  std::vector<std::pair<uint64_t, uint64_t>> kept;  // from, to: in it

  void Keep(const Extent& extent) {
    if (listed != 0 && extent.file == listed) kept.emplace_back(extent.offset, extent.offset + extent.bytes);
  }
  void Keep(const std::vector<FreedExtent>& places) {
    if (listed == 0) return;
    for (const FreedExtent& freed : places) Keep(freed.extent);
  }
};

}  // namespace millrace
