// SPDX-License-Identifier: Apache-2.0
// SubjectTable: the subjects of a stream's live messages, each with a number, how many messages it has, the first and
//               last.
// Owner:  shard (one table per stream).
// Cost:   64 bytes and 11 to 21 for the hash per subject; subjects over 32 bytes apart. Two cache misses a look-up.
// Numbers: from 1; given to another subject once theirs is gone. That is safe for whoever remembers "message s has
//          number
//         n" and looks only at live messages: a number changes hands only when all messages it stood for are gone.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "proto/base/check.h"
#include "proto/base/zeros.h"
#include "proto/child_index.h"
#include "proto/hash.h"
#include "store/pace.h"

namespace millrace {

class SubjectTable {
 public:
  static constexpr uint32_t kInlineBytes = 32;

  struct Entry {
    // Exact unless the flag says stale; then a bound: the true one is not below first_seq, not above last_seq.
    uint64_t first_seq;
    uint64_t last_seq;
    uint32_t messages;       // live; 0: the entry is free
    uint32_t tail_run;       // where the message appended last is: the run's key (low 32 bits) ...
    uint32_t subject_bytes;  // in a free entry: the next free one
    uint16_t tail_ordinal;   // ... and its number within the run
    bool first_stale;
    bool last_stale;
    union {
      char text[kInlineBytes];
      char* long_text;
    };
    std::string_view subject() const { return {subject_bytes <= kInlineBytes ? text : long_text, subject_bytes}; }
  };
  static_assert(sizeof(Entry) == 64);

  explicit SubjectTable(uint64_t seed) : seed_(seed) {}
  SubjectTable(const SubjectTable&) = delete;
  SubjectTable& operator=(const SubjectTable&) = delete;
  ~SubjectTable() { Clear(); }

  // 0: not there.
  uint32_t Find(std::string_view subject) const { return Find(subject, TagOf(subject)); }

  // A new entry has no messages yet: the caller counts at once.
  uint32_t FindOrAdd(std::string_view subject, bool* created) {
    const uint32_t tag = TagOf(subject);
    const uint32_t found = Find(subject, tag);
    *created = found == 0;
    return found != 0 ? found : Add(subject, tag);
  }

  void Erase(uint32_t number) {
    Entry& entry = At(number);
    MR_CHECK(count_ > 0 && number > 0 && number < unused_);
    index_.Erase(TagOf(entry.subject()), number);
    if (entry.subject_bytes > kInlineBytes) {
      MR_CHECK_OP(long_bytes_, >=, entry.subject_bytes);
      long_bytes_ -= entry.subject_bytes;
      std::free(entry.long_text);
    }
    entry.messages = 0;
    entry.subject_bytes = free_;
    free_ = number;
    --count_;
  }

  void Clear(Pace* pace = nullptr) {
    for (uint32_t number = 1; long_bytes_ > 0 && number < unused_; ++number) {
      if (number % 1024 == 0) Tick(pace, 1024);
      Entry& entry = At(number);
      if (entry.messages == 0 || entry.subject_bytes <= kInlineBytes) continue;
      long_bytes_ -= entry.subject_bytes;
      std::free(entry.long_text);
      entry.subject_bytes = 0;
    }
    for (int chunk = 0; chunk < kChunkCountMax; ++chunk) {
      if (chunks_[chunk] == nullptr) continue;
      FreeChunk(std::exchange(chunks_[chunk], nullptr), BytesOf(chunk));
      Tick(pace, uint64_t{kFirstChunk} << chunk >> 4);
    }
    index_.Clear();
    chunk_bytes_ = long_bytes_ = 0;
    unused_ = 1;
    free_ = count_ = 0;
  }

  Entry& At(uint32_t number) const {
    MR_DCHECK(number > 0 && number < unused_);
    const uint32_t j = number + kFirstChunk;
    const int chunk = std::bit_width(j) - std::bit_width(kFirstChunk);
    return chunks_[chunk][j - (kFirstChunk << chunk)];
  }
  uint32_t count() const { return count_; }
  uint32_t end() const { return unused_; }  // every number in use is below
  size_t memory_bytes() const { return chunk_bytes_ + long_bytes_ + index_.memory_bytes(); }

 private:
  static constexpr uint32_t kFirstChunk = 4;
  static constexpr int kChunkCountMax = 29;

  static constexpr size_t BytesOf(int chunk) { return (size_t{kFirstChunk} << chunk) * sizeof(Entry); }
  // Large ones from the kernel: nothing is paid for pages before there are subjects in them.
  static Entry* NewChunk(size_t bytes) {
    void* chunk = bytes < kHugePage ? ::operator new(bytes, std::align_val_t{64}) : AllocateZeros(bytes);
    return static_cast<Entry*>(chunk);
  }
  static void FreeChunk(Entry* chunk, size_t bytes) {
    if (bytes < kHugePage) return ::operator delete(chunk, std::align_val_t{64});
    FreeZeros(chunk, bytes);
  }

  uint32_t TagOf(std::string_view subject) const { return static_cast<uint32_t>(HashBytes(subject, seed_)); }

  uint32_t Find(std::string_view subject, uint32_t tag) const {
    return index_.Find(tag, [&](uint32_t number) { return At(number).subject() == subject; });
  }

  uint32_t Add(std::string_view subject, uint32_t tag) {
    uint32_t number = free_;
    if (number != 0) {
      MR_CHECK_OP(At(number).messages, ==, 0u);
      free_ = At(number).subject_bytes;
    } else {
      number = unused_++;
      const uint32_t j = number + kFirstChunk;
      const int chunk = std::bit_width(j) - std::bit_width(kFirstChunk);
      MR_CHECK_OP(chunk, <, kChunkCountMax);
      if (chunks_[chunk] == nullptr) {
        chunks_[chunk] = NewChunk(BytesOf(chunk));
        chunk_bytes_ += BytesOf(chunk);
      }
    }
    Entry& entry = At(number);
    std::memset(static_cast<void*>(&entry), 0, sizeof(Entry));
    entry.subject_bytes = static_cast<uint32_t>(subject.size());
    char* to = entry.text;
    if (subject.size() > kInlineBytes) {
      to = entry.long_text = static_cast<char*>(std::malloc(subject.size()));
      MR_CHECK(to != nullptr);
      long_bytes_ += subject.size();
    }
    std::memcpy(to, subject.data(), subject.size());
    index_.Insert(tag, number);
    ++count_;
    return number;
  }

  uint64_t seed_;
  ChildIndex index_;
  Entry* chunks_[kChunkCountMax] = {};  // chunk k holds kFirstChunk << k entries: they never move, and few are small
  uint32_t unused_ = 1;
  uint32_t free_ = 0;
  uint32_t count_ = 0;
  size_t chunk_bytes_ = 0;
  size_t long_bytes_ = 0;
};

}  // namespace millrace
