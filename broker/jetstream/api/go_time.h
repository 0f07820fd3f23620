// SPDX-License-Identifier: Apache-2.0
// Times in JSON as the peer's time.Time: RFC 3339, nanoseconds, a zero that is the year 1.
// Owner:  caller (pure).  A time is nanoseconds since 1970 UTC; years outside of 1678..2262 become the nearest that
// fits. The offset of a time that a client sent is not kept: it is printed in UTC.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// 0001-01-01T00:00:00Z, the time that is not set. 0 is an honest time (1970).
inline constexpr int64_t kGoZeroTimeNs = std::numeric_limits<int64_t>::min();

inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerSecond = 1'000'000'000;

void AppendGoTime(int64_t time_ns, std::string* out);  // without quotes
std::string FormatGoTime(int64_t time_ns);

// As time.Parse(time.RFC3339Nano, text); fails with the peer's text in *error (may be nullptr).
std::optional<int64_t> ParseGoTime(std::string_view text, std::string* error);

// As time.ParseDuration: "1h30m", "-1.5s", "0". Fails with the peer's text in *error (may be nullptr).
std::optional<int64_t> ParseGoDuration(std::string_view text, std::string* error);

}  // namespace millrace
