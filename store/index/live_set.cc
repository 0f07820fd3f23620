// SPDX-License-Identifier: Apache-2.0
// LiveSet: see live_set.h.
#include "store/index/live_set.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "proto/base/check.h"
#include "store/varint.h"

namespace millrace {
namespace {

template <typename T>
T* Allocate(size_t count) {
  auto* memory = static_cast<T*>(std::calloc(count, sizeof(T)));
  MR_CHECK(memory != nullptr);
  return memory;
}

}  // namespace

void LiveSet::Free(Chunk* chunk) {
  if (chunk->kind == Kind::kArray) std::free(chunk->array);
  if (chunk->kind == Kind::kBits) std::free(chunk->bits);
  chunk->kind = Kind::kRange;
}

void LiveSet::Clear() {
  for (Chunk& chunk : chunks_) Free(&chunk);
  chunks_ = {};
  hint_ = 0;
  size_ = 0;
}

size_t LiveSet::memory_bytes() const {
  size_t bytes = chunks_.capacity() * sizeof(Chunk);
  for (const Chunk& chunk : chunks_) {
    if (chunk.kind == Kind::kArray) bytes += chunk.room * sizeof(uint16_t);
    if (chunk.kind == Kind::kBits) bytes += kWords * sizeof(uint64_t);
  }
  return bytes;
}

size_t LiveSet::LowerBound(uint64_t key) const {
  const size_t n = chunks_.size();
  if (hint_ < n && chunks_[hint_].key <= key) {
    if (chunks_[hint_].key == key) return hint_;
    if (hint_ + 1 == n) return n;
    if (chunks_[hint_ + 1].key >= key) {
      if (chunks_[hint_ + 1].key == key) ++hint_;
      return chunks_[hint_].key == key ? hint_ : hint_ + 1;
    }
  }
  const auto at = std::lower_bound(chunks_.begin(), chunks_.end(), key,
                                   [](const Chunk& chunk, uint64_t wanted) { return chunk.key < wanted; });
  const auto index = static_cast<size_t>(at - chunks_.begin());
  if (index < n) hint_ = index;
  return index;
}

bool LiveSet::ContainsSlow(uint64_t seq) const {
  const size_t index = LowerBound(seq >> kChunkBits);
  if (index == chunks_.size() || chunks_[index].key != seq >> kChunkBits) return false;
  const Chunk& chunk = chunks_[index];
  const auto at = static_cast<uint16_t>(seq);
  switch (chunk.kind) {
    case Kind::kRange:
      return at >= chunk.range.first && at <= chunk.range.last;
    case Kind::kBits:
      return (chunk.bits[at >> 6] >> (at & 63) & 1) != 0;
    case Kind::kArray:
      return std::binary_search(chunk.array, chunk.array + chunk.count, at);
  }
  return false;
}

void LiveSet::ToBits(Chunk* chunk) {
  auto* bits = Allocate<uint64_t>(kWords);
  const auto set = [bits](uint32_t at) { bits[at >> 6] |= uint64_t{1} << (at & 63); };
  if (chunk->kind == Kind::kRange) {
    for (uint32_t at = chunk->range.first; at <= chunk->range.last; ++at) set(at);
  } else {
    for (uint32_t i = 0; i < chunk->count; ++i) set(chunk->array[i]);
    std::free(chunk->array);
  }
  chunk->kind = Kind::kBits;
  chunk->bits = bits;
}

void LiveSet::ToArray(Chunk* chunk) {
  const uint32_t room = std::min(kArrayMax, std::max(8u, std::bit_ceil(chunk->count + 1)));
  auto* array = Allocate<uint16_t>(room);
  uint32_t n = 0;
  for (int at = NextIn(*chunk, 0); at >= 0; at = NextIn(*chunk, static_cast<uint32_t>(at) + 1)) {
    array[n++] = static_cast<uint16_t>(at);
  }
  MR_CHECK_OP(n, ==, chunk->count);
  if (chunk->kind == Kind::kBits) std::free(chunk->bits);
  chunk->kind = Kind::kArray;
  chunk->array = array;
  chunk->room = static_cast<uint16_t>(room);
}

// A range gets a hole.
void LiveSet::SpreadRange(Chunk* chunk) {
  if (chunk->count < kArrayMax / 2) {
    ToArray(chunk);
  } else {
    ToBits(chunk);
  }
}

void LiveSet::AddTo(Chunk* chunk, uint16_t at) {
  if (chunk->kind == Kind::kRange) {
    if (at == chunk->range.last + 1) {
      chunk->range.last = at;
      ++chunk->count;
      return;
    }
    SpreadRange(chunk);
  }
  if (chunk->kind == Kind::kArray && chunk->count == chunk->room) {
    if (chunk->room >= kArrayMax) {
      ToBits(chunk);
    } else {
      chunk->room = static_cast<uint16_t>(chunk->room * 2);
      chunk->array = static_cast<uint16_t*>(std::realloc(chunk->array, chunk->room * sizeof(uint16_t)));
      MR_CHECK(chunk->array != nullptr);
    }
  }
  MR_CHECK_OP(chunk->count, <, kChunkSpan);
  if (chunk->kind == Kind::kArray) {
    MR_CHECK_OP(chunk->count, <, chunk->room);
    chunk->array[chunk->count] = at;
  } else {
    chunk->bits[at >> 6] |= uint64_t{1} << (at & 63);
  }
  ++chunk->count;
}

void LiveSet::Add(uint64_t seq) {
  const uint64_t key = seq >> kChunkBits;
  const auto at = static_cast<uint16_t>(seq);
  MR_DCHECK(chunks_.empty() || chunks_.back().key < key || PreviousIn(chunks_.back(), kChunkSpan - 1) < at);
  ++size_;
  if (!chunks_.empty() && chunks_.back().key == key) {
    AddTo(&chunks_.back(), at);
    return;
  }
  Chunk chunk{};
  chunk.key = key;
  chunk.count = 1;
  chunk.kind = Kind::kRange;
  chunk.range.first = chunk.range.last = at;
  chunks_.push_back(chunk);
}

bool LiveSet::RemoveFrom(Chunk* chunk, uint16_t at) {
  if (chunk->kind == Kind::kRange) {
    if (at < chunk->range.first || at > chunk->range.last) return false;
    if (at == chunk->range.first || at == chunk->range.last) {
      --chunk->count;
      if (chunk->count == 0) return true;
      if (at == chunk->range.first) {
        ++chunk->range.first;
      } else {
        --chunk->range.last;
      }
      return true;
    }
    SpreadRange(chunk);
  }
  if (chunk->kind == Kind::kArray) {
    uint16_t* end = chunk->array + chunk->count;
    uint16_t* found = std::lower_bound(chunk->array, end, at);
    if (found == end || *found != at) return false;
    std::memmove(found, found + 1, static_cast<size_t>(end - found - 1) * sizeof(uint16_t));
    --chunk->count;
    return true;
  }
  uint64_t& word = chunk->bits[at >> 6];
  const uint64_t bit = uint64_t{1} << (at & 63);
  if ((word & bit) == 0) return false;
  word &= ~bit;
  --chunk->count;
  if (chunk->count < kArrayBack) ToArray(chunk);
  return true;
}

bool LiveSet::Remove(uint64_t seq) {
  const size_t index = LowerBound(seq >> kChunkBits);
  if (index == chunks_.size() || chunks_[index].key != seq >> kChunkBits) return false;
  if (!RemoveFrom(&chunks_[index], static_cast<uint16_t>(seq))) return false;
  MR_CHECK(size_ > 0);
  --size_;
  if (chunks_[index].count == 0) {
    Free(&chunks_[index]);
    chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(index));
  }
  return true;
}

void LiveSet::RemoveRange(uint64_t first, uint64_t last) {
  MR_CHECK_OP(first, <=, last);
  const size_t from = LowerBound(first >> kChunkBits);
  size_t kept = from;  // whole chunks are taken out together
  size_t index = from;
  for (; index < chunks_.size() && chunks_[index].key <= last >> kChunkBits; ++index) {
    Chunk& chunk = chunks_[index];
    const uint32_t begin = chunk.key == first >> kChunkBits ? static_cast<uint16_t>(first) : 0;
    const uint32_t end = chunk.key == last >> kChunkBits ? static_cast<uint16_t>(last) : kChunkSpan - 1;
    const uint32_t gone = CountFromIn(chunk, begin) - CountFromIn(chunk, end + 1);
    MR_CHECK(gone <= chunk.count && gone <= size_);
    size_ -= gone;
    if (gone == chunk.count) {
      Free(&chunk);
      continue;
    }
    for (int at = NextIn(chunk, begin); at >= 0 && at <= static_cast<int>(end);
         at = NextIn(chunk, static_cast<uint32_t>(at) + 1)) {
      RemoveFrom(&chunk, static_cast<uint16_t>(at));
    }
    if (kept != index) chunks_[kept] = chunk;
    ++kept;
  }
  chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(kept), chunks_.begin() + static_cast<ptrdiff_t>(index));
  hint_ = 0;
}

int LiveSet::NextIn(const Chunk& chunk, uint32_t from) {
  if (from >= kChunkSpan) return -1;
  if (chunk.kind == Kind::kRange) {
    if (from > chunk.range.last) return -1;
    return static_cast<int>(std::max<uint32_t>(from, chunk.range.first));
  }
  if (chunk.kind == Kind::kArray) {
    const uint16_t* end = chunk.array + chunk.count;
    const uint16_t* begin = chunk.array;
    const uint16_t* found = std::lower_bound(begin, end, static_cast<uint16_t>(from));
    return found == end ? -1 : *found;
  }
  uint32_t index = from >> 6;
  uint64_t word = chunk.bits[index] & ~uint64_t{0} << (from & 63);
  while (word == 0) {
    if (++index == kWords) return -1;
    word = chunk.bits[index];
  }
  return static_cast<int>(index * 64) + std::countr_zero(word);
}

int LiveSet::PreviousIn(const Chunk& chunk, uint32_t from) {
  if (chunk.kind == Kind::kRange) {
    if (from < chunk.range.first) return -1;
    return static_cast<int>(std::min<uint32_t>(from, chunk.range.last));
  }
  if (chunk.kind == Kind::kArray) {
    const uint16_t* found = std::upper_bound(chunk.array, chunk.array + chunk.count, static_cast<uint16_t>(from));
    return found == chunk.array ? -1 : found[-1];
  }
  int index = static_cast<int>(from >> 6);
  uint64_t word = chunk.bits[index] & ~uint64_t{0} >> (63 - (from & 63));
  while (word == 0) {
    if (--index < 0) return -1;
    word = chunk.bits[index];
  }
  return index * 64 + 63 - std::countl_zero(word);
}

uint32_t LiveSet::CountFromIn(const Chunk& chunk, uint32_t from) {
  if (from >= kChunkSpan) return 0;
  if (chunk.kind == Kind::kRange) {
    if (from > chunk.range.last) return 0;
    return chunk.range.last - std::max<uint32_t>(from, chunk.range.first) + 1;
  }
  if (chunk.kind == Kind::kArray) {
    const uint16_t* end = chunk.array + chunk.count;
    const uint16_t* begin = chunk.array;
    return static_cast<uint32_t>(end - std::lower_bound(begin, end, static_cast<uint16_t>(from)));
  }
  uint32_t index = from >> 6;
  int count = std::popcount(chunk.bits[index] & ~uint64_t{0} << (from & 63));
  while (++index < kWords) count += std::popcount(chunk.bits[index]);
  return static_cast<uint32_t>(count);
}

uint64_t LiveSet::Next(uint64_t from) const {
  const uint64_t key = from >> kChunkBits;
  size_t index = LowerBound(key);
  if (index == chunks_.size()) return 0;
  uint32_t at = chunks_[index].key == key ? static_cast<uint16_t>(from) : 0;
  for (; index < chunks_.size(); ++index, at = 0) {
    const int found = NextIn(chunks_[index], at);
    if (found >= 0) return (chunks_[index].key << kChunkBits) + static_cast<uint64_t>(found);
  }
  return 0;
}

uint64_t LiveSet::Previous(uint64_t from) const {
  const uint64_t key = from >> kChunkBits;
  size_t index = LowerBound(key);
  if (index < chunks_.size() && chunks_[index].key == key) {
    const int found = PreviousIn(chunks_[index], static_cast<uint16_t>(from));
    if (found >= 0) return (key << kChunkBits) + static_cast<uint64_t>(found);
  }
  if (index == 0) return 0;
  const Chunk& before = chunks_[index - 1];
  return (before.key << kChunkBits) + static_cast<uint64_t>(PreviousIn(before, kChunkSpan - 1));
}

uint64_t LiveSet::CountFrom(uint64_t from) const {
  const uint64_t key = from >> kChunkBits;
  size_t index = LowerBound(key);
  uint64_t count = 0;
  if (index < chunks_.size() && chunks_[index].key == key) {
    count += CountFromIn(chunks_[index], static_cast<uint16_t>(from));
    ++index;
  }
  for (; index < chunks_.size(); ++index) count += chunks_[index].count;
  return count;
}

uint32_t LiveSet::CountInChunk(uint64_t key) const {
  const size_t index = LowerBound(key);
  return index < chunks_.size() && chunks_[index].key == key ? chunks_[index].count : 0;
}

// Chunk count; then per chunk: key delta, count, kind, and what the kind needs (store/FORMAT.md, "Live sequences").
void LiveSet::Encode(std::string* out, uint64_t through) const {
  size_t whole = chunks_.size();  // these lie below the bound
  while (whole > 0 && chunks_[whole - 1].key >= through >> kChunkBits) --whole;
  if (through == UINT64_MAX) whole = chunks_.size();
  LiveSet cut;
  if (whole < chunks_.size() && chunks_[whole].key == through >> kChunkBits) {
    for (int at = NextIn(chunks_[whole], 0); at >= 0 && at <= static_cast<int>(static_cast<uint16_t>(through));
         at = NextIn(chunks_[whole], static_cast<uint32_t>(at) + 1)) {
      cut.Add((chunks_[whole].key << kChunkBits) + static_cast<uint64_t>(at));
    }
  }
  AppendVarint(out, whole + cut.chunks_.size());
  uint64_t key = 0;
  for (size_t i = 0; i < whole + cut.chunks_.size(); ++i) {
    const Chunk& chunk = i < whole ? chunks_[i] : cut.chunks_.front();
    AppendVarint(out, chunk.key - key);
    key = chunk.key;
    AppendVarint(out, chunk.count);
    out->push_back(static_cast<char>(chunk.kind));
    switch (chunk.kind) {
      case Kind::kRange:
        AppendVarint(out, chunk.range.first);
        break;
      case Kind::kArray:
        for (uint32_t k = 0; k < chunk.count; ++k) {
          AppendVarint(out, k == 0 ? chunk.array[0] : static_cast<uint16_t>(chunk.array[k] - chunk.array[k - 1]));
        }
        break;
      case Kind::kBits:
        out->append(reinterpret_cast<const char*>(chunk.bits), kWords * sizeof(uint64_t));
        break;
    }
  }
}

bool LiveSet::Decode(std::string_view* from) {
  Clear();
  uint64_t chunk_count = 0;
  if (!TakeVarint(from, &chunk_count)) return false;
  uint64_t key = 0;
  for (uint64_t c = 0; c < chunk_count; ++c) {
    uint64_t delta = 0;
    uint64_t count = 0;
    if (!TakeVarint(from, &delta) || !TakeVarint(from, &count) || from->empty()) return Clear(), false;
    const auto kind = static_cast<uint8_t>(from->front());
    from->remove_prefix(1);
    if ((c > 0 && delta == 0) || count == 0 || count > kChunkSpan || kind > 2) return Clear(), false;
    key += delta;
    if (delta >> 48 != 0 || key >> 48 != 0) return Clear(), false;
    Chunk chunk{};
    chunk.key = key;
    chunk.count = static_cast<uint32_t>(count);
    if (kind == static_cast<uint8_t>(Kind::kRange)) {
      uint64_t first = 0;
      if (!TakeVarint(from, &first) || first + count > kChunkSpan) return Clear(), false;
      chunk.range.first = static_cast<uint16_t>(first);
      chunk.range.last = static_cast<uint16_t>(first + count - 1);
    } else if (kind == static_cast<uint8_t>(Kind::kArray)) {
      if (count > kArrayMax) return Clear(), false;
      chunk.kind = Kind::kArray;
      chunk.room = static_cast<uint16_t>(std::min(kArrayMax, std::max(8u, std::bit_ceil(chunk.count))));
      chunk.array = Allocate<uint16_t>(chunk.room);
      uint64_t at = 0;
      for (uint32_t i = 0; i < chunk.count; ++i) {
        uint64_t step = 0;
        if (!TakeVarint(from, &step) || (i > 0 && step == 0) || step >= kChunkSpan || at + step >= kChunkSpan) {
          return Free(&chunk), Clear(), false;
        }
        at += step;
        chunk.array[i] = static_cast<uint16_t>(at);
      }
    } else {
      constexpr size_t kBytes = kWords * sizeof(uint64_t);
      if (from->size() < kBytes) return Clear(), false;
      chunk.kind = Kind::kBits;
      chunk.bits = Allocate<uint64_t>(kWords);
      std::memcpy(chunk.bits, from->data(), kBytes);
      from->remove_prefix(kBytes);
      if (CountFromIn(chunk, 0) != chunk.count) return Free(&chunk), Clear(), false;
    }
    chunks_.push_back(chunk);
    size_ += chunk.count;
  }
  return true;
}

}  // namespace millrace
