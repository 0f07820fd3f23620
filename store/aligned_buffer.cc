// SPDX-License-Identifier: Apache-2.0
#include "store/aligned_buffer.h"

#include <sys/mman.h>

#include "proto/base/check.h"
#include "store/disk.h"

namespace millrace {

AlignedBuffer::AlignedBuffer(size_t bytes) : capacity(AlignUp(bytes)) {
  void* memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MR_CHECK(memory != MAP_FAILED);
  data = static_cast<char*>(memory);
}

AlignedBuffer::~AlignedBuffer() { munmap(data, capacity); }

void AlignedBuffer::Grow(size_t bytes) {
  bytes = AlignUp(bytes);
  if (bytes <= capacity) return;
  void* memory = mremap(data, capacity, bytes, MREMAP_MAYMOVE);
  MR_CHECK(memory != MAP_FAILED);
  data = static_cast<char*>(memory);
  capacity = bytes;
}

void AlignedBuffer::Shrink(size_t bytes) {
  bytes = AlignUp(bytes);
  if (bytes >= capacity) return;
  MR_CHECK(bytes > 0);
  munmap(data + bytes, capacity - bytes);
  capacity = bytes;
}

}  // namespace millrace
