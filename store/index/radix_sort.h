// SPDX-License-Identifier: Apache-2.0
// RadixSort: numbers by some of their bits, stable, a little at a time.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "proto/base/check.h"
#include "store/pace.h"

namespace millrace {

// By bits [from, to), eleven of them a pass. Takes as much memory again.
inline void RadixSort(std::vector<uint64_t>* keys, int from, int to, Pace* pace) {
  constexpr int kDigit = 11;
  constexpr uint64_t kMask = (1 << kDigit) - 1;
  constexpr size_t kStride = 4096;  // between two pauses
  MR_CHECK(from >= 0 && from <= to && to <= 64);
  const size_t size = keys->size();
  const auto room = std::make_unique_for_overwrite<uint64_t[]>(size);  // clearing it would be one long piece
  uint64_t* sorted = keys->data();
  uint64_t* other = room.get();
  const auto in_strides = [&](auto&& on_key) {
    for (size_t begin = 0; begin < size; begin += kStride) {
      const size_t end = std::min(begin + kStride, size);
      for (size_t i = begin; i < end; ++i) on_key(sorted[i]);
      Tick(pace, (end - begin) / 16);
    }
  };
  for (int shift = from; shift < to; shift += kDigit) {
    std::array<size_t, kMask + 1> at{};
    in_strides([&](uint64_t key) { ++at[key >> shift & kMask]; });
    size_t sum = 0;
    for (size_t& count : at) {
      const size_t n = count;
      count = sum;
      sum += n;
    }
    MR_CHECK_OP(sum, ==, size);  // each number has a place of its own
    in_strides([&](uint64_t key) { other[at[key >> shift & kMask]++] = key; });
    std::swap(sorted, other);
  }
  if (sorted == keys->data()) return;
  size_t next = 0;
  in_strides([&](uint64_t key) { (*keys)[next++] = key; });
}

}  // namespace millrace
