// SPDX-License-Identifier: Apache-2.0
// Origins: where each option got its value.
// Owner:  caller (pure).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "broker/config/table/member.h"

namespace millrace::config {

using Origins = std::map<const Member*, std::string>;  // "file:line" or "flag -port"; absent: the default

// A flag that sets several members, while it is applied.
struct FlagTaken {
  std::string_view flag;  // without dashes
  Origins* origins;
  void Note(const Member& member) const { (*origins)[&member] = "flag -" + std::string(flag); }
};

}  // namespace millrace::config
