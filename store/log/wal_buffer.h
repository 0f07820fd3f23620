// SPDX-License-Identifier: Apache-2.0
// WalBuffer: the bytes of one batch, aligned for direct I/O. WalBufferPool: keeps a few for reuse.
// Owner:  shard.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "store/aligned_buffer.h"
#include "store/journal.h"
#include "store/log/wal_format.h"

namespace millrace {

struct WalBuffer : AlignedBuffer {
  explicit WalBuffer(size_t bytes) : AlignedBuffer(bytes) {}

  void Shrink(size_t bytes);  // not below what is used
  void Clear() {
    used = kWalBatchHeaderBytes;
    records = 0;
    first_lsn = 0;
  }

  size_t used = kWalBatchHeaderBytes;
  uint32_t records = 0;
  Lsn first_lsn = 0;
};

class WalBufferPool {
 public:
  WalBufferPool(size_t small_bytes, size_t large_bytes, size_t spare) : small_(small_bytes), large_(large_bytes),
                                                                       spare_(spare) {}
  // At least `bytes` of room, header included.
  std::unique_ptr<WalBuffer> Take(size_t bytes);
  void Return(std::unique_ptr<WalBuffer> buffer);
  void Trim();  // the shard is idle: the memory goes back

  size_t small_bytes() const { return small_; }
  size_t large_bytes() const { return large_; }

 private:
  const size_t small_;
  const size_t large_;
  const size_t spare_;
  std::vector<std::unique_ptr<WalBuffer>> free_;
};

}  // namespace millrace
