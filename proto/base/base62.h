// SPDX-License-Identifier: Apache-2.0
// Digits of base 62: those of the peer's ids, of hashes of names, of reply subjects.
// Owner:  caller (pure).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr std::string_view kBase62Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// As many as a NUID has, which ids of events look like.
inline constexpr size_t kNuidDigits = 22;

// `random()` gives 64 random bits.
template <class Random>
std::string RandomBase62(size_t count, Random&& random) {
  constexpr size_t kDigitsPerDraw = 8;
  std::string digits;
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i, bits /= kBase62Digits.size()) {
    if (i % kDigitsPerDraw == 0) bits = random();
    digits += kBase62Digits[bits % kBase62Digits.size()];
  }
  return digits;
}

}  // namespace millrace
