// SPDX-License-Identifier: Apache-2.0
// CopyBytes: memcpy for what may be empty. memcpy(to, nullptr, 0) is undefined, and an empty view has no other address.
// Owner:  none (a pure function).
#pragma once

#include <cstring>
#include <string_view>

namespace millrace {

// Returns where the copy ends.
inline char* CopyBytes(char* to, std::string_view from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
  return to + from.size();
}

}  // namespace millrace
