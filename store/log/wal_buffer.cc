// SPDX-License-Identifier: Apache-2.0
#include "store/log/wal_buffer.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {

void WalBuffer::Shrink(size_t bytes) {
  MR_CHECK_OP(used, <=, AlignUp(bytes));
  AlignedBuffer::Shrink(bytes);
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
