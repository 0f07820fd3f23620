// SPDX-License-Identifier: Apache-2.0
// Go durations: reads them as time.ParseDuration does, for configuration files, headers and requests.
// go_format.h prints them.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// Nanoseconds of "1h30m", "-1.5s", "0". Fails with the peer's text in *error (may be nullptr).
std::optional<int64_t> ParseDuration(std::string_view text, std::string* error);

// The quoting of Go's package time, which its errors have: bytes that are not printable ASCII as \xNN. Not %q.
std::string QuoteForTime(std::string_view text);

}  // namespace millrace
