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
void AppendRfc3339Nano(int64_t wall_ns, std::string* out);  // "2026-11-23T22:38:44.3019002Z"
void AppendGoFloat(double value, std::string* out);         // encoding/json's: shortest, exponent past 1e21 and below 1e-6
void AppendGoJsonString(std::string_view text, std::string* out);  // quoted; <, >, & and U+2028/9 escaped, bad UTF-8 replaced
std::string GoQuote(std::string_view text);                        // %q

// strconv.ParseBool, Atoi and ParseUint with their error texts; `param` names the query parameter in the text. An empty
// value is false or 0.
absl::StatusOr<bool> DecodeBool(std::string_view param, std::string_view value);
absl::StatusOr<int64_t> DecodeInt(std::string_view param, std::string_view value);
absl::StatusOr<uint64_t> DecodeUint64(std::string_view param, std::string_view value);

}  // namespace millrace
