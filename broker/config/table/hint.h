// SPDX-License-Identifier: Apache-2.0
// Hint: "did you mean".
// Owner:  caller (pure).
#pragma once

#include <string_view>

namespace millrace::config {

// The nearest of the '|'-separated words, the first of several, or "" when none is near.
std::string_view Nearest(std::string_view words, std::string_view name);

}  // namespace millrace::config
