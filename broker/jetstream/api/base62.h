// SPDX-License-Identifier: Apache-2.0
// The digits of the peer's ids: names of consumers, event ids, hashes of names.
// Owner:  caller (pure).
#pragma once

#include <string_view>

namespace millrace {

inline constexpr std::string_view kBase62Digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

}  // namespace millrace
