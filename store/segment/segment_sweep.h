// SPDX-License-Identifier: Apache-2.0
// SegmentSweep: zeros over what is dead in the files of blocks (secure deletion).
// Owner:  shard (SegmentStore), from PrepareSweep to EndSweep. All that it is given outlives it.
// Steps:  made: from now on files that go are gone at once, and what is given back is noted as dead and not wiped by
//         itself (SweepMarks). Start: which files. Step, until it says true: one file after the other. End.
// A file is appended to and its places are never used again: what no stream and no checkpoint wants when its sweep
// begins stays dead. What lives is listed a slice at a time; what is given up meanwhile, and is still wanted by a
// checkpoint, is told by SweepMarks::Keep. Where every death was noted since the file was made or swept, those places
// are enough.
// Proof:  tests/store/eraser_test.cc, and tests/crash, which looks through every file.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "store/segment/block_store.h"
#include "store/segment/log_table.h"
#include "store/segment/segment_files.h"

namespace millrace {

class SegmentSweep {
 public:
  SegmentSweep(BlockStore& blocks, const LogTable& logs);
  SegmentSweep(const SegmentSweep&) = delete;
  SegmentSweep& operator=(const SegmentSweep&) = delete;

  void Start(const std::vector<uint64_t>& uids);  // ascending: whose messages were removed
  bool Step();                                    // true: all of it is written
  bool failed() const { return files_.marks().failed; }
  void End();
  void Invariant() const;

 private:
  bool BeginFile();  // false: it cannot be swept, or is gone
  void ListAll();    // who may live in the file at hand
  bool ListSome();   // true: all are listed
  void FindDead();
  void EndFile();

  BlockStore& blocks_;
  SegmentFiles& files_;
  const LogTable& logs_;
  std::vector<uint32_t> todo_;  // files
  SegmentFile* file_ = nullptr;  // at hand
  uint64_t end_ = 0;             // what lies behind came later
  std::vector<uint64_t> uids_;   // whose blocks are not listed yet
  std::vector<std::pair<uint64_t, uint64_t>> dead_;  // from, to; from the end
};

}  // namespace millrace
