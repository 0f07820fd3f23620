// SPDX-License-Identifier: Apache-2.0
// NameMap: what is known by name, found by std::string_view without a copy (absl's own hash knows only absl's view).
// Owner:  caller (pure).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "proto/hash.h"

namespace millrace {

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return HashBytes(name, 0); }
};

template <class Value>
using NameMap = absl::flat_hash_map<std::string, Value, NameHash, std::equal_to<>>;

}  // namespace millrace
