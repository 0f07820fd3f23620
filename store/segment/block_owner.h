// SPDX-License-Identifier: Apache-2.0
// BlockOwner: a stream's log as those see it who keep its blocks and index runs in files: whose they are, and who is
//             told what has become of them.
// Owner:  shard. What is in flight for it comes to nothing once it has left (BlockStore::Leave).
#pragma once

#include <cstdint>
#include <vector>

#include "store/segment/segment_file.h"

namespace millrace {

class BlockOwner {
 public:
  // The write of the index run with this tag has ended.
  virtual void OnBlobWritten(uint64_t tag, bool ok) = 0;
  // What could not be read at once is there, or will not be: who waits for it asks again.
  virtual void OnLoaded() = 0;

  const uint64_t stream_uid;
  uint64_t disk_bytes = 0;            // of its blocks that are on disk
  uint32_t file = 0;                  // its own that takes appends; 0: none
  std::vector<FreedExtent> released;  // places that it let go of since its checkpoint was encoded last

 protected:
  explicit BlockOwner(uint64_t uid) : stream_uid(uid) {}
  ~BlockOwner() = default;
};

}  // namespace millrace
