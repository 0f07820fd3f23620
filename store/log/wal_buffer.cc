// SPDX-License-Identifier: Apache-2.0
#include "store/log/wal_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

WalBuffer::WalBuffer(size_t bytes) : capacity(AlignUp(bytes)) {
  void* memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MR_CHECK(memory != MAP_FAILED);
  data = static_cast<char*>(memory);
}

WalBuffer::~WalBuffer() { munmap(data, capacity); }

void WalBuffer::Grow(size_t bytes) {
  bytes = AlignUp(bytes);
  if (bytes <= capacity) return;
  void* memory = mremap(data, capacity, bytes, MREMAP_MAYMOVE);
  MR_CHECK(memory != MAP_FAILED);
  data = static_cast<char*>(memory);
  capacity = bytes;
}

void WalBuffer::Shrink(size_t bytes) {
  bytes = AlignUp(bytes);
  if (bytes >= capacity) return;
  MR_CHECK_OP(used, <=, bytes);
  munmap(data + bytes, capacity - bytes);
  capacity = bytes;
}

std::unique_ptr<WalBuffer> WalBufferPool::Take(size_t bytes) {
  if (free_.empty()) return std::make_unique<WalBuffer>(std::max(bytes, small_));
  std::unique_ptr<WalBuffer> buffer = std::move(free_.back());
  free_.pop_back();
  buffer->Grow(bytes);
  return buffer;
}

void WalBufferPool::Return(std::unique_ptr<WalBuffer> buffer) {
  if (free_.size() >= spare_) return;
  buffer->Clear();
  buffer->Shrink(large_);  // one record may have made it larger than any batch should be
  free_.push_back(std::move(buffer));
}

void WalBufferPool::Trim() {
  for (const std::unique_ptr<WalBuffer>& buffer : free_) buffer->Shrink(small_);
}

}  // namespace millrace
