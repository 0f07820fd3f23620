// SPDX-License-Identifier: Apache-2.0
// Ids of events: they look like the peer's, which are NUIDs.
// Owner:  caller (pure).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

// `random()` gives 64 random bits.
template <class Random>
std::string RandomEventId(Random&& random) {
  constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  constexpr size_t kBytes = 22;
  constexpr size_t kDigitsPerDraw = 8;
  std::string id;
  uint64_t bits = 0;
  for (size_t i = 0; i < kBytes; ++i, bits /= kDigits.size()) {
    if (i % kDigitsPerDraw == 0) bits = random();
    id += kDigits[bits % kDigits.size()];
  }
  return id;
}

}  // namespace millrace
