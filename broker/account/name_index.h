// SPDX-License-Identifier: Apache-2.0
// NameIndex: names and subjects to numbers, asked with views.
// Owner:  caller (pure).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "proto/subject.h"

namespace millrace {

struct NameIndexHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return HashSubject(name); }
};

using NameIndex = absl::flat_hash_map<std::string, uint32_t, NameIndexHash, std::equal_to<>>;

}  // namespace millrace
