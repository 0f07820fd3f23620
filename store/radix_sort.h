// SPDX-License-Identifier: Apache-2.0
// RadixSort: numbers by some of their bits, stable, a little at a time.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "store/pace.h"

namespace millrace {

// By bits [from, to), eleven of them a pass.
inline void RadixSort(std::vector<uint64_t>* keys, int from, int to, Pace* pace) {
  constexpr int kDigit = 11;
  constexpr uint64_t kMask = (1 << kDigit) - 1;
  constexpr size_t kStride = 4096;  // between two pauses
  std::vector<uint64_t> other(keys->size());
  const auto in_strides = [&](auto&& on_key) {
    for (size_t begin = 0; begin < keys->size(); begin += kStride) {
      const size_t end = std::min(begin + kStride, keys->size());
      for (size_t i = begin; i < end; ++i) on_key((*keys)[i]);
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
    in_strides([&](uint64_t key) { other[at[key >> shift & kMask]++] = key; });
    keys->swap(other);
  }
}

}  // namespace millrace
