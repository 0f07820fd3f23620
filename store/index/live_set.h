// SPDX-License-Identifier: Apache-2.0
// LiveSet: which sequences of a stream have a message. Sequences are added in ascending order and removed in any.
// Owner:  caller (pure).
// Form:   chunks of 65,536 sequences, each a range, a sorted array or a bitmap, whichever suits what it holds: a stream
//         without gaps costs 32 bytes per 65,536 messages, one with many holes at most one bit per sequence.
// Proof:  live_set_test.cc against std::set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

class LiveSet {
 public:
  static constexpr int kChunkBits = 16;
  static constexpr uint32_t kChunkSpan = 1u << kChunkBits;

  LiveSet() = default;
  LiveSet(const LiveSet&) = delete;
  LiveSet& operator=(const LiveSet&) = delete;
  ~LiveSet() { Clear(); }

  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t memory_bytes() const;

  void Add(uint64_t seq);     // above every sequence that was ever added
  bool Remove(uint64_t seq);  // false: was not there
  void RemoveRange(uint64_t first, uint64_t last);  // both included; costs what lies in chunks it takes a part of
  void Clear();

  bool Contains(uint64_t seq) const {
    const uint64_t key = seq >> kChunkBits;
    if (hint_ < chunks_.size() && chunks_[hint_].key == key) {
      const Chunk& chunk = chunks_[hint_];
      const auto at = static_cast<uint16_t>(seq);
      if (chunk.kind == Kind::kRange) return at >= chunk.range.first && at <= chunk.range.last;
      if (chunk.kind == Kind::kBits) return (chunk.bits[at >> 6] >> (at & 63) & 1) != 0;
    }
    return ContainsSlow(seq);
  }
  // The next live sequence >= from, the last one <= from; 0: none.
  uint64_t Next(uint64_t from) const;
  uint64_t Previous(uint64_t from) const;
  uint64_t CountFrom(uint64_t from) const;
  // How many live sequences have this chunk key (sequence >> kChunkBits).
  uint32_t CountInChunk(uint64_t key) const;

  // Of sequences up to and including `through`.
  void Encode(std::string* out, uint64_t through = UINT64_MAX) const;
  // False: malformed; the set is then empty.
  bool Decode(std::string_view* from);

 private:
  enum class Kind : uint8_t { kRange, kArray, kBits };
  struct Chunk {
    uint64_t key;
    uint32_t count;
    Kind kind;
    uint16_t room;  // of array, in entries
    union {
      struct {
        uint16_t first;
        uint16_t last;
      } range;
      uint16_t* array;
      uint64_t* bits;
    };
  };
  static constexpr uint32_t kWords = kChunkSpan / 64;
  static constexpr uint32_t kArrayMax = 2048;  // above, a bitmap is smaller or nearly so
  static constexpr uint32_t kArrayBack = 1024;  // a bitmap with fewer becomes an array again

  bool ContainsSlow(uint64_t seq) const;
  size_t LowerBound(uint64_t key) const;  // index of the first chunk with key or above
  static void AddTo(Chunk* chunk, uint16_t at);
  static bool RemoveFrom(Chunk* chunk, uint16_t at);
  static void SpreadRange(Chunk* chunk);
  static void ToBits(Chunk* chunk);
  static void ToArray(Chunk* chunk);
  static void Free(Chunk* chunk);
  static int NextIn(const Chunk& chunk, uint32_t from);      // -1: none
  static int PreviousIn(const Chunk& chunk, uint32_t from);  // -1: none
  static uint32_t CountFromIn(const Chunk& chunk, uint32_t from);

  std::vector<Chunk> chunks_;
  mutable size_t hint_ = 0;
  uint64_t size_ = 0;
};

}  // namespace millrace
