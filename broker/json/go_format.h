// SPDX-License-Identifier: Apache-2.0
// Go formats: strings, numbers, times and durations as the peer prints them, because tools parse those and digests are
// made of them. What %q prints is in proto/quoted.h.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

std::string FormatUptime(int64_t duration_ns);    // "1d2h3m4s", years in front when there are any
std::string FormatDuration(int64_t duration_ns);  // Duration.String(): "1.5ms", "2m0s", "0s"
// "2026-11-23T22:38:44.3019002Z": as many fraction digits as needed. 0 is Go's zero time, year 1.
void AppendRfc3339Nano(int64_t wall_ns, std::string* out);
// The same in the time zone of the process: "2026-11-23T23:38:44.3019002+01:00".
void AppendRfc3339NanoLocal(int64_t wall_ns, std::string* out);
// As encoding/json: the shortest that reads back, with an exponent from 1e21 on and below 1e-6.
void AppendGoFloat(double value, std::string* out);
// As encoding/json, quoted: <, >, & and U+2028/9 are escaped, bytes that are not UTF-8 replaced.
void AppendGoJsonString(std::string_view text, std::string* out);

}  // namespace millrace
