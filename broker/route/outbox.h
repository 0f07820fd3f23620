// SPDX-License-Identifier: Apache-2.0
// Outbox: bytes on their way to one peer, coalesced into chunks; one send is in flight at a time.
// Owner:  shard.  Bounds: pending_bytes() is checked by the router against max_pending; an idle outbox holds no chunk.
// Why chunks: below about 4 KiB a copy beats a reference, and few large chunks, still warm, beat many.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "proto/base/check.h"
#include "proto/base/shard_checker.h"

namespace millrace {

struct Chunk {
  Chunk* next;
  uint32_t capacity;
  uint32_t begin;  // first byte not yet sent
  uint32_t end;    // one past the last byte written; the tail chunk's is in the outbox's cursor until it is sealed
  uint32_t reserved;
  char data[];
};

// Chunks of two sizes, reused last in first out so that they stay in cache. What lies unused is given back by Trim, not
// at once: getting a large chunk back from the kernel costs a page fault for each 4 KiB of it.
// Owner: shard.
class ChunkPool {
 public:
  static constexpr uint32_t kSmallBytes = 4096;

  explicit ChunkPool(uint32_t large_bytes);
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  // A chunk with at least `bytes` of room; `bytes` is at most large_room().
  Chunk* Acquire(uint32_t bytes, bool prefer_large);
  void Release(Chunk* chunk);
  // Frees what nobody has wanted since the last call. True as long as there is something left to free later.
  bool Trim();
  bool NeedsTrim() const { return large_.size() > kFreeLargeMin || small_.size() > kFreeSmallMin; }

  uint32_t large_room() const { return large_bytes_ - static_cast<uint32_t>(sizeof(Chunk)); }

 private:
  static constexpr size_t kFreeSmallMin = 64;
  static constexpr size_t kFreeLargeMin = 8;

  [[no_unique_address]] ShardChecker shard_checker_;
  const uint32_t large_bytes_;
  // Fewest that lay unused since the last Trim.
  size_t small_unused_ = 0;
  size_t large_unused_ = 0;
  std::vector<Chunk*> small_;
  std::vector<Chunk*> large_;
};

class Outbox {
 public:
  explicit Outbox(ChunkPool& pool) : pool_(pool) {}
  ~Outbox() { Clear(); }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // Contiguous room for `bytes`; write there, then Commit what was written. `bytes` <= contiguous_bytes_max().
  char* Reserve(size_t bytes) {
    MR_DCHECK(shard_checker_.Here());
    if (static_cast<size_t>(limit_ - cursor_) < bytes) [[unlikely]]
      Grow(bytes);
    return cursor_;
  }
  // End of the room that Reserve gave.
  const char* limit() const { return limit_; }
  void Commit(const char* end) {
    MR_DCHECK(end >= cursor_ && end <= limit_);
    pending_bytes_ += static_cast<uint64_t>(end - cursor_);
    cursor_ += end - cursor_;
  }
  size_t contiguous_bytes_max() const { return pool_.large_room(); }

  // Any length; split over chunks as needed.
  void Append(std::string_view bytes);

  uint64_t pending_bytes() const { return pending_bytes_; }
  bool empty() const { return pending_bytes_ == 0; }

  // What to send next, up to `bytes_max`; returns the number of parts (0 when empty) and remembers the bytes in flight.
  uint32_t Gather(iovec* parts, uint32_t parts_max, uint64_t bytes_max);
  // `bytes` from the front have left.
  void Sent(uint64_t bytes);
  void Clear();
  // Aborts unless the chunks hold what is counted as pending. Walks all of them: for tests and the simulation.
  void Invariant() const;

 private:
  void Grow(size_t bytes);
  void Seal() {
    if (tail_ != nullptr) tail_->end = static_cast<uint32_t>(cursor_ - tail_->data);
  }

  [[no_unique_address]] ShardChecker shard_checker_;
  ChunkPool& pool_;
  Chunk* head_ = nullptr;
  Chunk* tail_ = nullptr;
  char* cursor_ = nullptr;
  char* limit_ = nullptr;
  uint64_t pending_bytes_ = 0;
  bool busy_ = false;  // the last sends were large: start with a large chunk
};

}  // namespace millrace
