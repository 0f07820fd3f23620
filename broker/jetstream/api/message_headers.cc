// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/message_headers.h"

#include <algorithm>

#include "broker/jetstream/api/go_time.h"

namespace millrace {

int64_t ParseHeaderNumber(std::string_view text) {
  if (text.empty()) return -1;
  uint64_t value = 0;  // wraps as the peer's does
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return static_cast<int64_t>(value);
}

std::optional<int64_t> ParseMessageTtl(std::string_view text) {
  constexpr std::string_view kNever = "never";
  const bool never = std::equal(text.begin(), text.end(), kNever.begin(), kNever.end(),
                                [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
  if (never) return kTtlNever;
  if (const std::optional<int64_t> duration_ns = ParseGoDuration(text, nullptr)) {
    if (*duration_ns < kNsPerSecond) return std::nullopt;
    return *duration_ns / kNsPerSecond;
  }
  const int64_t seconds = ParseHeaderNumber(text);
  if (seconds < 0) return std::nullopt;
  return seconds;
}

}  // namespace millrace
