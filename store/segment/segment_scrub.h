// SPDX-License-Identifier: Apache-2.0
// SegmentScrub: reads what is stored, a little at a time, and compares checksums and seals, so that damage is found
//               while copies of what it hit may still exist elsewhere.
// Owner:  shard (SegmentStore). All that it is given outlives it.
// Order:  a pass goes through the streams by their uid, beginning with any of them (so that restarts favour none), and
//         in each through its blocks and index runs. Passes begin at most once a day.
// Reads:  one at a time, past the page cache where the disk can do that: it is the medium that is to be looked at. Each
//         is paid for before the next one: bytes_per_second is an average that holds over any second.
// Damage: what differs is read once more before it counts. Then it is what a reader would have found: reported, never
//         served, its file quarantined when nothing else is in it. A block whose messages are in memory is written anew
//         from there; an index run is made anew from the blocks.
// Memory: one buffer as large as the largest block, given back after a pass.
// Proof:  tests/store/scrub_test.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "proto/base/completion.h"
#include "proto/base/nanos.h"
#include "store/aligned_buffer.h"
#include "store/disk.h"
#include "store/segment/block_store.h"
#include "store/segment/log_table.h"
#include "store/segment/segment_files.h"
#include "store/segment/segment_options.h"

namespace millrace {

class FileStreamLog;

class SegmentScrub {
 public:
  SegmentScrub(Disk& disk, const SegmentStoreOptions& options, BlockStore& blocks, const LogTable& logs);
  ~SegmentScrub();
  SegmentScrub(const SegmentScrub&) = delete;
  SegmentScrub& operator=(const SegmentScrub&) = delete;

  Nanos Step(Nanos now);  // when to call it again
  bool idle() const { return !read_.busy(); }
  void Invariant() const;

 private:
  // What is read: a block, or an index run.
  struct Part {
    Extent extent;
    uint64_t first_seq = 0;  // of the block
    bool run = false;
  };

  void BeginPass(Nanos now);
  void BeginStream();
  void EndPass();
  bool FindPart();  // makes part_ the next one; false: the stream has no more
  void StartRead(Nanos now);
  void OnRead(const IoResult& result);
  void OnPartRead(FileStreamLog* log, Block* block, std::string_view bytes, bool second);
  bool Good(const Block* block, std::string_view bytes);
  void CloseFile();

  Disk& disk_;
  const SegmentStoreOptions& options_;
  BlockStore& blocks_;
  SegmentFiles& files_;
  const LogTable& logs_;
  bool running_ = false;
  Nanos next_at_;  // nothing before
  Nanos pass_at_{0};
  std::vector<uint64_t> uids_;
  size_t at_ = 0;           // in uids_
  uint64_t next_seq_ = 0;   // of the stream at hand
  uint64_t next_run_ = 0;   // key
  bool blocks_done_ = false;
  Part part_;
  uint64_t part_uid_ = 0;
  bool again_ = false;      // the part is read a second time
  SegmentFile* file_ = nullptr;     // of the read in flight
  uint32_t opened_ = 0;             // number of the file behind handle_
  Disk::File handle_ = -1;
  uint64_t read_from_ = 0;
  std::unique_ptr<AlignedBuffer> buffer_;
  Completion read_;
};

}  // namespace millrace
