// SPDX-License-Identifier: Apache-2.0
// SegmentStore::Scrub: reads what is stored, a little at a time, and compares checksums and seals, so that damage is
//                      found while copies of what it hit may still exist elsewhere. Only SegmentStore's own files
//                      include it.
// Owner:  shard (SegmentStore).
// Order:  a pass goes through the streams by their uid, beginning with any of them (so that restarts favour none), and
//         in each through its blocks and index runs. Passes begin at most once a day.
// Reads:  one at a time, past the page cache where the disk can do that: it is the medium that is to be looked at. Each
//         is paid for before the next one: bytes_per_second is an average that holds over any second.
// Damage: what differs is read once more before it counts. Then it is what a reader would have found: reported, never
//         served, its file quarantined when nothing else is in it. A block whose messages are in memory is written anew
//         from there; an index run is made anew from the blocks.
// Memory: one buffer as large as the largest block, given back after a pass.
#pragma once

#include <memory>
#include <vector>

#include "proto/base/completion.h"
#include "proto/base/nanos.h"
#include "store/aligned_buffer.h"
#include "store/segment/segment_store.h"

namespace millrace {

struct SegmentStore::Scrub {
  explicit Scrub(SegmentStore& owner);
  ~Scrub();
  Scrub(const Scrub&) = delete;
  Scrub& operator=(const Scrub&) = delete;

  Nanos Step(Nanos now);  // when to call it again
  bool idle() const { return !read.busy(); }

  void BeginPass(Nanos now);
  void EndPass();
  bool FindPart();  // makes `part` the next one; false: the stream has no more
  void StartRead(Nanos now);
  void OnRead(const IoResult& result);
  bool Good(FileStreamLog* log, const Block* block, std::string_view bytes) const;
  void CloseFile();

  // What is read: a block, or an index run.
  struct Part {
    Extent extent;
    uint64_t first_seq = 0;  // of the block
    bool run = false;
  };

  SegmentStore& store;
  const uint64_t bytes_per_second;
  bool running = false;
  Nanos next_at;  // nothing before
  Nanos pass_at{0};
  std::vector<uint64_t> uids;
  size_t at = 0;           // in uids
  uint64_t next_seq = 0;   // of the stream at hand
  uint64_t next_run = 0;   // key
  bool blocks_done = false;
  Part part;
  uint64_t part_uid = 0;
  bool again = false;      // the part is read a second time
  SegmentFile* file = nullptr;     // of the read in flight
  uint32_t opened = 0;             // number of the file behind `handle`
  Disk::File handle = -1;
  uint64_t read_from = 0;
  std::unique_ptr<AlignedBuffer> buffer;
  Completion read;
};

}  // namespace millrace
