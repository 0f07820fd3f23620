// SPDX-License-Identifier: Apache-2.0
#include "broker/route/outbox.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace millrace {

ChunkPool::ChunkPool(uint32_t large_bytes) : large_bytes_(large_bytes) { MR_CHECK_OP(large_bytes, >=, 16384u); }

ChunkPool::~ChunkPool() {
  for (Chunk* chunk : small_) std::free(chunk);
  for (Chunk* chunk : large_) munmap(chunk, large_bytes_);
}

Chunk* ChunkPool::Acquire(uint32_t bytes, bool prefer_large) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK_OP(bytes, <=, large_room());
  const bool large = prefer_large || bytes > kSmallBytes - sizeof(Chunk);
  std::vector<Chunk*>& free = large ? large_ : small_;
  Chunk* chunk = nullptr;
  if (!free.empty()) {
    chunk = free.back();
    free.pop_back();
    size_t& unused = large ? large_unused_ : small_unused_;
    unused = std::min(unused, free.size());
  } else if (large) {
    void* memory = mmap(nullptr, large_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MR_CHECK(memory != MAP_FAILED);
    chunk = static_cast<Chunk*>(memory);
  } else {
    chunk = static_cast<Chunk*>(std::malloc(kSmallBytes));
    MR_CHECK(chunk != nullptr);
  }
  const uint32_t capacity = (large ? large_bytes_ : kSmallBytes) - static_cast<uint32_t>(sizeof(Chunk));
  chunk->next = nullptr;
  chunk->capacity = capacity;
  chunk->begin = chunk->end = 0;
  return chunk;
}

void ChunkPool::Release(Chunk* chunk) {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(chunk->capacity == large_room() || chunk->capacity == kSmallBytes - sizeof(Chunk));
  (chunk->capacity == large_room() ? large_ : small_).push_back(chunk);
}

bool ChunkPool::Trim() {
  MR_DCHECK(shard_checker_.Here());
  MR_DCHECK(large_unused_ <= large_.size() && small_unused_ <= small_.size());
  // The ones at the front have lain longest.
  const auto surplus = [](std::vector<Chunk*>& free, size_t unused, size_t least) {
    return free.begin() + static_cast<std::ptrdiff_t>(std::min(unused, free.size() - std::min(free.size(), least)));
  };
  const auto large_end = surplus(large_, large_unused_, kFreeLargeMin);
  std::for_each(large_.begin(), large_end, [this](Chunk* chunk) { munmap(chunk, large_bytes_); });
  large_.erase(large_.begin(), large_end);
  const auto small_end = surplus(small_, small_unused_, kFreeSmallMin);
  std::for_each(small_.begin(), small_end, [](Chunk* chunk) { std::free(chunk); });
  small_.erase(small_.begin(), small_end);
  large_unused_ = large_.size();
  small_unused_ = small_.size();
  return NeedsTrim();
}

void Outbox::Grow(size_t bytes) {
  MR_CHECK_OP(bytes, <=, contiguous_bytes_max());
  MR_DCHECK((head_ == nullptr) == (tail_ == nullptr));
  Seal();
  Chunk* chunk = pool_.Acquire(static_cast<uint32_t>(bytes), busy_ || tail_ != nullptr);
  if (tail_ == nullptr) {
    head_ = tail_ = chunk;
  } else {
    tail_ = tail_->next = chunk;
  }
  cursor_ = chunk->data;
  limit_ = chunk->data + chunk->capacity;
}

void Outbox::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    if (cursor_ == limit_) Grow(std::min(bytes.size(), contiguous_bytes_max()));
    const size_t n = std::min(bytes.size(), static_cast<size_t>(limit_ - cursor_));
    std::memcpy(cursor_, bytes.data(), n);
    Commit(cursor_ + n);
    bytes.remove_prefix(n);
  }
}

uint32_t Outbox::Gather(iovec* parts, uint32_t parts_max, uint64_t bytes_max) {
  MR_DCHECK(shard_checker_.Here());
  Seal();
  uint32_t count = 0;
  uint64_t bytes = 0;
  for (Chunk* chunk = head_; chunk != nullptr && count < parts_max && bytes < bytes_max; chunk = chunk->next) {
    const uint64_t n = std::min<uint64_t>(chunk->end - chunk->begin, bytes_max - bytes);
    if (n == 0) continue;
    parts[count++] = iovec{chunk->data + chunk->begin, n};
    bytes += n;
  }
  MR_DCHECK(bytes <= pending_bytes_ && (count > 0) == (pending_bytes_ > 0 && bytes_max > 0 && parts_max > 0));
  busy_ = bytes > ChunkPool::kSmallBytes;
  return count;
}

void Outbox::Sent(uint64_t bytes) {
  MR_CHECK_OP(bytes, <=, pending_bytes_);
  Seal();
  pending_bytes_ -= bytes;
  while (bytes > 0) {
    Chunk* chunk = head_;
    MR_CHECK(chunk != nullptr);
    const uint64_t n = std::min<uint64_t>(chunk->end - chunk->begin, bytes);
    chunk->begin += static_cast<uint32_t>(n);
    bytes -= n;
    if (chunk->begin < chunk->end) break;
    head_ = chunk->next;
    if (head_ == nullptr) {
      tail_ = nullptr;
      cursor_ = limit_ = nullptr;
    }
    pool_.Release(chunk);
  }
}

void Outbox::Clear() {
  while (head_ != nullptr) {
    Chunk* chunk = head_;
    head_ = chunk->next;
    pool_.Release(chunk);
  }
  tail_ = nullptr;
  cursor_ = limit_ = nullptr;
  pending_bytes_ = 0;
}

void Outbox::Invariant() const {
  MR_CHECK((head_ == nullptr) == (tail_ == nullptr));
  MR_CHECK((cursor_ == nullptr) == (tail_ == nullptr));
  uint64_t bytes = 0;
  for (const Chunk* chunk = head_; chunk != nullptr; chunk = chunk->next) {
    MR_CHECK((chunk == tail_) == (chunk->next == nullptr));
    const auto end = chunk == tail_ ? static_cast<uint32_t>(cursor_ - chunk->data) : chunk->end;
    MR_CHECK(chunk->begin <= end && end <= chunk->capacity);
    if (chunk == tail_) MR_CHECK(limit_ == chunk->data + chunk->capacity);
    bytes += end - chunk->begin;
  }
  MR_CHECK_OP(bytes, ==, pending_bytes_);
}

}  // namespace millrace
