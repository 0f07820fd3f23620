// SPDX-License-Identifier: Apache-2.0
// SortInSlices: a stable sort that may be paused.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "store/pace.h"

namespace millrace {

template <typename T, typename Less>
void SortInSlices(std::vector<T>* all, Less less, Pace* pace) {
  constexpr size_t kPiece = 64;    // sorted at once, and merged between two pauses
  constexpr uint64_t kUnits = 1;   // a comparison of two subjects that are not in the cache
  const size_t size = all->size();
  for (size_t from = 0; from < size; from += kPiece) {
    const auto begin = all->begin() + static_cast<std::ptrdiff_t>(from);
    std::stable_sort(begin, begin + static_cast<std::ptrdiff_t>(std::min(kPiece, size - from)), less);
    Tick(pace, 6 * kPiece * kUnits);
  }
  std::vector<T> merged;  // grows into what is reserved: nothing is cleared first
  if (size > kPiece) merged.reserve(size);
  for (size_t width = kPiece; width < size; width *= 2) {
    merged.clear();
    for (size_t from = 0; from < size; from += 2 * width) {
      size_t left = from;
      const size_t middle = std::min(from + width, size);
      size_t right = middle;
      const size_t end = std::min(from + 2 * width, size);
      for (size_t to = from; to < end; ++to) {
        const bool takes_left = left < middle && (right == end || !less((*all)[right], (*all)[left]));
        merged.push_back(std::move((*all)[takes_left ? left++ : right++]));
        if (to % kPiece == 0) Tick(pace, kPiece * kUnits);
      }
    }
    all->swap(merged);
  }
}

}  // namespace millrace
