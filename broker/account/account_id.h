// SPDX-License-Identifier: Apache-2.0
// AccountId: names an account within this process: dense, given by AccountTable, never used again for another one.
// Owner:  none (a value); it travels in mail.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

using AccountId = uint32_t;
inline constexpr AccountId kNoAccount = UINT32_MAX;
// What every table begins with. Others ask AccountTable which accounts play these parts.
inline constexpr AccountId kGlobalAccount = 0;
inline constexpr AccountId kSystemAccount = 1;
inline constexpr std::string_view kGlobalAccountName = "$G";
inline constexpr std::string_view kSystemAccountName = "$SYS";

}  // namespace millrace
