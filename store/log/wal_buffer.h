// SPDX-License-Identifier: Apache-2.0
// WalBuffer: the bytes of one batch, aligned for direct I/O. WalBufferPool: keeps a few for reuse.
// Owner:  shard.  Own mmaps, outside the allocator: what is given back is gone from RSS, and growing moves page tables,
//         not bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "store/journal.h"
#include "store/log/wal_format.h"

namespace millrace {

struct WalBuffer {
  explicit WalBuffer(size_t bytes);
  ~WalBuffer();
  WalBuffer(const WalBuffer&) = delete;
  WalBuffer& operator=(const WalBuffer&) = delete;

  void Grow(size_t bytes);   // moves; not while it is being written
  void Shrink(size_t bytes);  // not below what is used
  void Clear() {
    used = kWalBatchHeaderBytes;
    records = 0;
    first_lsn = 0;
  }

  char* data = nullptr;
  size_t capacity = 0;  // a multiple of kDiskAlignment
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
