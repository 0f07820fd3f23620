// SPDX-License-Identifier: Apache-2.0
// Hash: a fast 64-bit hash of short byte strings (multiply-and-fold). Not keyed against attackers; not a checksum.
// Owner:  caller (pure).  Values may differ between releases and byte orders: never store or send them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace millrace {

__extension__ typedef unsigned __int128 uint128_t;

// 128-bit product folded to 64 bits: every input bit reaches every output bit.
inline uint64_t MixBits(uint64_t a, uint64_t b) {
  const uint128_t product = uint128_t{a} * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t LoadBytes8(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, 8);
  return value;
}

inline uint64_t LoadBytes4(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, 4);
  return value;
}

// Whether the bytes at `at` are those of `text`, for short texts without a call.
inline bool SameBytes(const char* at, std::string_view text) {
  const size_t n = text.size();
  if (n > 16 || n < 4) return std::memcmp(at, text.data(), n) == 0;
  if (n < 8)
    return ((LoadBytes4(at) ^ LoadBytes4(text.data())) |
            (LoadBytes4(at + n - 4) ^ LoadBytes4(text.data() + n - 4))) == 0;
  return ((LoadBytes8(at) ^ LoadBytes8(text.data())) |
          (LoadBytes8(at + n - 8) ^ LoadBytes8(text.data() + n - 8))) == 0;
}

inline constexpr uint64_t kHashKey0 = 0x9e3779b97f4a7c15;
inline constexpr uint64_t kHashKey1 = 0xbf58476d1ce4e5b9;
inline constexpr uint64_t kHashKey2 = 0x94d049bb133111eb;

inline uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  const char* at = bytes.data();
  size_t n = bytes.size();
  uint64_t state = seed ^ kHashKey0;
  uint64_t a = 0;
  uint64_t b = 0;
  if (n <= 16) {
    if (n >= 8) {
      a = LoadBytes8(at);
      b = LoadBytes8(at + n - 8);
    } else if (n >= 4) {
      a = LoadBytes4(at);
      b = LoadBytes4(at + n - 4);
    } else if (n > 0) {
      a = uint64_t{static_cast<uint8_t>(at[0])} << 16 |
          uint64_t{static_cast<uint8_t>(at[n >> 1])} << 8 | static_cast<uint8_t>(at[n - 1]);
    }
  } else {
    do {
      state = MixBits(LoadBytes8(at) ^ kHashKey1, LoadBytes8(at + 8) ^ state);
      at += 16;
      n -= 16;
    } while (n > 16);
    a = LoadBytes8(at + n - 16);
    b = LoadBytes8(at + n - 8);
  }
  return MixBits(kHashKey2 ^ bytes.size(), MixBits(a ^ kHashKey1, b ^ state));
}

}  // namespace millrace
