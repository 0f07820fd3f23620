// SPDX-License-Identifier: Apache-2.0
// Compaction: when too much is dead between what lives (Thrift), what lives in the file that is dead for the most part
//             is written anew elsewhere, a little every turn. The same for files that a write has failed in, and for
//             those under old keys.
// Owner:  shard (SegmentStore). All that it is given outlives it.
// Bound:  options.compact_turn_bytes are read in a turn, and one block or run more.
// Proof:  tests/store/disk_use_test.cc, segment_store_test.cc.
#pragma once

#include <cstdint>
#include <vector>

#include "store/disk.h"
#include "store/segment/block_store.h"
#include "store/segment/log_table.h"
#include "store/segment/segment_files.h"
#include "store/segment/segment_options.h"
#include "store/stored_log.h"

namespace millrace {

class Compaction {
 public:
  Compaction(Disk& disk, const SegmentStoreOptions& options, SegmentFiles& files, BlockStore& blocks,
             const LogTable& logs)
      : disk_(disk), options_(options), files_(files), blocks_(blocks), logs_(logs) {}
  Compaction(const Compaction&) = delete;
  Compaction& operator=(const Compaction&) = delete;

  void SetThrift(Thrift thrift);
  bool has_work() const;  // turns are wanted, because of the thrift
  void Step();            // once per turn
  uint64_t read_bytes() const { return read_bytes_; }
  void Invariant() const;

 private:
  uint64_t DeadBytesMax() const;
  bool WaitsForCheckpoint() const;
  SegmentFile* FindDeadFile();
  bool Begin();  // false: nothing has to move

  Disk& disk_;
  const SegmentStoreOptions& options_;
  SegmentFiles& files_;
  BlockStore& blocks_;
  const LogTable& logs_;
  Thrift thrift_ = Thrift::kBusy;
  bool look_ = false;            // at once
  uint64_t next_look_ = 0;       // turn
  uint64_t looked_at_dead_ = 0;  // how much was dead when nothing was found
  uint32_t file_ = 0;            // at hand; 0: none
  std::vector<uint64_t> uids_;   // whose blocks may be in it, still to do
  uint64_t read_bytes_ = 0;
};

}  // namespace millrace
