// SPDX-License-Identifier: Apache-2.0
// Go formats: times, durations and numbers as the peer prints them, because tools parse those.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

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
std::string GoQuote(std::string_view text);  // %q

// The peer's readers of query parameters with its error texts; `param` names the parameter there.
// An empty value is false or 0.
absl::StatusOr<bool> DecodeBool(std::string_view param, std::string_view value);
absl::StatusOr<int64_t> DecodeInt(std::string_view param, std::string_view value);
absl::StatusOr<uint64_t> DecodeUint64(std::string_view param, std::string_view value);

}  // namespace millrace
