// SPDX-License-Identifier: Apache-2.0
// AlignedBuffer: memory for direct I/O, which begins and ends at a multiple of kDiskAlignment.
// Owner:  shard.  A mapping of its own, outside the allocator: what is given back is gone from RSS, and growing moves
//         page tables, not bytes.
#pragma once

#include <cstddef>

namespace millrace {

struct AlignedBuffer {
  explicit AlignedBuffer(size_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  void Grow(size_t bytes);    // moves; not while a disk has it in its hands
  void Shrink(size_t bytes);  // what lies behind is lost

  char* data = nullptr;
  size_t capacity = 0;  // a multiple of kDiskAlignment
};

}  // namespace millrace
