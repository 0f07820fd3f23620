// SPDX-License-Identifier: Apache-2.0
// Bytes: values and text in and out of bytes of any alignment.
// Owner:  none (pure functions).
#pragma once

#include <cstring>
#include <string_view>
#include <type_traits>

namespace millrace {

// memcpy for what may be empty: memcpy(to, nullptr, 0) is undefined, and an empty view has no other address. Returns
// where the copy ends.
inline char* CopyBytes(char* to, std::string_view from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
  return to + from.size();
}

// The T whose bytes begin at `from`.
template <class T>
T Load(const char* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Returns where the bytes of `value` end.
template <class T>
char* Store(char* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
  return to + sizeof value;
}

}  // namespace millrace
