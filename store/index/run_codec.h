// SPDX-License-Identifier: Apache-2.0
// RunCodec: index runs as they are on disk, and the filter that says which of them need not be read.
// Owner:  caller (pure).
// Format: store/FORMAT.md, "Index runs". Who stores the bytes adds and checks the checksum; decoding trusts nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/index/index_run.h"
#include "store/index/subject_table.h"
#include "store/varint.h"

namespace millrace {

// Ten bits a subject, five of them set: about 1 in 100 is said to be there and is not.
class SubjectFilter {
 public:
  void Reserve(size_t subjects) { words_.assign((subjects * 10 + 63) / 64 + 1, 0); }
  void Add(std::string_view subject) {
    ForEachBit(subject, [this](uint64_t bit) {
      words_[bit >> 6] |= uint64_t{1} << (bit & 63);
      return true;
    });
  }
  bool MayContain(std::string_view subject) const {
    if (words_.empty()) return true;
    return ForEachBit(subject, [this](uint64_t bit) { return (words_[bit >> 6] >> (bit & 63) & 1) != 0; });
  }
  size_t memory_bytes() const { return words_.capacity() * sizeof(uint64_t); }
  void Clear() { words_ = {}; }

 private:
  template <typename F>
  bool ForEachBit(std::string_view subject, F&& on_bit) const {
    const uint64_t hash = HashBytes(subject, 0x5eed);
    const auto step = static_cast<uint32_t>(hash >> 32) | 1;
    auto at = static_cast<uint32_t>(hash);
    for (int i = 0; i < 5; ++i, at += step) {
      if (!on_bit(uint64_t{at} * (words_.size() * 64) >> 32)) return false;
    }
    return true;
  }
  std::vector<uint64_t> words_;
};

struct RunHead {
  uint64_t uid = 0;
  uint64_t key = 0;
  uint32_t named = 0;
  uint32_t through = 0;   // positions below it are named, LiveSet::kChunkSpan: all
  uint32_t subjects = 0;
  bool single = false;    // one subject, whose positions are those of all live messages
};

// Subjects whose number is gone from the table are left out: they have no live message.
std::string EncodeRun(const RunHead& head, const SealedRun& form, const SubjectTable& table, Pace* pace);

// on_head(RunHead) -> bool, then on_subject(subject, positions) for each one; positions are empty if the run is single.
// False: malformed, or on_head said no.
template <typename H, typename F>
bool DecodeRun(std::string_view bytes, H&& on_head, F&& on_subject) {
  uint64_t numbers[6];
  for (uint64_t& number : numbers) {
    if (!TakeVarint(&bytes, &number)) return false;
  }
  const RunHead head{numbers[0], numbers[1], static_cast<uint32_t>(numbers[2]), static_cast<uint32_t>(numbers[3]),
                     static_cast<uint32_t>(numbers[4]), numbers[5] != 0};
  if (numbers[2] > LiveSet::kChunkSpan || numbers[3] > LiveSet::kChunkSpan || numbers[4] > LiveSet::kChunkSpan ||
      numbers[5] > 1 || (head.single && head.subjects != 1)) {
    return false;
  }
  if (!on_head(head)) return false;
  std::vector<uint16_t> positions;
  for (uint32_t i = 0; i < head.subjects; ++i) {
    std::string_view subject;
    uint64_t count = 0;
    if (!TakeBytes(&bytes, &subject) || !TakeVarint(&bytes, &count) || count > LiveSet::kChunkSpan) return false;
    if (!head.single && count == 0) return false;
    positions.clear();
    uint64_t at = 0;
    for (uint64_t k = 0; k < count; ++k) {
      uint64_t step = 0;
      if (!TakeVarint(&bytes, &step) || step >= LiveSet::kChunkSpan || (k > 0 && step == 0)) return false;
      at += step;
      if (at >= LiveSet::kChunkSpan) return false;
      positions.push_back(static_cast<uint16_t>(at));
    }
    on_subject(subject, positions);
  }
  return bytes.empty();
}

}  // namespace millrace
