// SPDX-License-Identifier: Apache-2.0
// Varint: the numbers of the store's compact encodings: seven bits a byte, low first; the high bit says that more
//         follow.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr size_t kVarintBytesMax = 10;

inline char* PutVarint(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

inline void AppendVarint(std::string* out, uint64_t value) {
  char bytes[kVarintBytesMax];
  out->append(bytes, static_cast<size_t>(PutVarint(bytes, value) - bytes));
}

// Takes one number from the front; false when it is cut off or too long.
inline bool TakeVarint(std::string_view* from, uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < from->size() && i < kVarintBytesMax; ++i) {
    const auto byte = static_cast<uint8_t>((*from)[i]);
    result |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      from->remove_prefix(i + 1);
      *value = result;
      return true;
    }
  }
  return false;
}

inline void AppendBytes(std::string* out, std::string_view bytes) {
  AppendVarint(out, bytes.size());
  out->append(bytes);
}

inline bool TakeBytes(std::string_view* from, std::string_view* bytes) {
  uint64_t size = 0;
  if (!TakeVarint(from, &size) || size > from->size()) return false;
  *bytes = from->substr(0, size);
  from->remove_prefix(size);
  return true;
}

// Signed numbers near zero stay short.
inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

}  // namespace millrace
