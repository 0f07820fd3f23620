// SPDX-License-Identifier: Apache-2.0
// Text: reading and writing numbers, durations and quoted strings the way Go does, because the
// peer's files, flags and error texts are made of them.
// Owner:  caller (pure).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/quoted.h"

namespace millrace::config {

inline constexpr uint32_t kRuneError = 0xFFFD;

struct DecodedRune {
  uint32_t code = kRuneError;
  size_t bytes = 1;  // a broken sequence is kRuneError of one byte
};
DecodedRune DecodeRune(std::string_view text);  // text must not be empty
bool IsSpaceRune(uint32_t code);  // Unicode white space

// Of a status, as a std::string: the message is of a view type that does not mix with std's.
std::string Message(const absl::Status& status);

std::string Lower(std::string_view text);  // ASCII
std::string Upper(std::string_view text);  // ASCII
std::string_view TrimSpace(std::string_view text);
std::vector<std::string> Split(std::string_view text, char separator);
std::vector<std::string> Fields(std::string_view text);  // split at white space, none empty

// "1h2m3.5s", "-1.5ms", "0". The error's text is the peer's: `time: invalid duration "x"`.
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::nanoseconds duration);  // "2m0s", "1.5s", "100ms", "0s"
std::string FriendlyBytes(int64_t bytes);  // "1.50 GB", powers of 1024; below 1 KB "512 B"
std::string FormatFloat(double number);                         // %v

// Base by prefix (0x, 0o, 0b, 0), underscores between digits. Error: "parse error" or "value out
// of range", as the flags of the peer report it.
absl::StatusOr<int64_t> ParseFlagInteger(std::string_view text);
std::optional<bool> ParseFlagBool(std::string_view text);  // 1 t T TRUE true True, 0 f ...
// "30%" may be written for 30.
inline std::string_view WithoutPercent(std::string_view text) {
  if (text.ends_with('%')) text.remove_suffix(1);
  return text;
}
std::optional<int> ParseDecimal(std::string_view text);    // [+-]digits, all of it

// "host:port", "[v6]:port", ":port".
struct HostPortText {
  std::string host;
  std::string port;
};
std::optional<HostPortText> SplitHostPort(std::string_view text);

struct HostPort {
  std::string host;
  int port = 0;
};
// What client_advertise means: "host:port" or "host"; without a port, or with 0 or -1, it is `port`. Errors are the
// peer's.
absl::StatusOr<HostPort> ParseAdvertised(std::string_view text, int port);

}  // namespace millrace::config
