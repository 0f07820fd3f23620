// SPDX-License-Identifier: Apache-2.0
#include "broker/config/language/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "broker/json/go_duration.h"
#include "broker/json/go_format.h"
#include "proto/utf8.h"

namespace millrace::config {

DecodedRune DecodeRune(std::string_view text) {
  const size_t bytes = Utf8Bytes(text);
  if (bytes == 0) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (bytes == 1) return {byte(0), 1};
  uint32_t code = byte(0) & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) code = (code << 6) | (byte(i) & 0x3Fu);
  return {code, bytes};
}

bool IsSpaceRune(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string Upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string_view TrimSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t at = 0;;) {
    const size_t end = text.find(separator, at);
    parts.emplace_back(text.substr(at, end - at));
    if (end == std::string_view::npos) return parts;
    at = end + 1;
  }
}

std::vector<std::string> Fields(std::string_view text) {
  std::vector<std::string> fields;
  std::string field;
  for (size_t i = 0; i < text.size();) {
    const DecodedRune rune = DecodeRune(text.substr(i));
    if (!IsSpaceRune(rune.code)) {
      field.append(text.substr(i, rune.bytes));
    } else if (!field.empty()) {
      fields.push_back(std::move(field));
      field.clear();
    }
    i += rune.bytes;
  }
  if (!field.empty()) fields.push_back(std::move(field));
  return fields;
}

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  std::string error;
  const std::optional<int64_t> duration_ns = millrace::ParseDuration(text, &error);
  if (!duration_ns) return absl::InvalidArgumentError(error);
  return std::chrono::nanoseconds(*duration_ns);
}

std::string FormatDuration(std::chrono::nanoseconds duration) { return millrace::FormatDuration(duration.count()); }

std::string FriendlyBytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrFormat("%d B", bytes);
  const auto value = static_cast<double>(bytes);
  // In floating point, as the peer: its rounding near a power is ours.
  const int power = std::min(static_cast<int>(std::log(value) / std::log(1024.0)), 6);
  return absl::StrFormat("%.2f %cB", value / std::pow(1024.0, power), "KMGTPE"[power - 1]);
}

std::string FormatFloat(double number) {
  std::array<char, 64> text;
  const double size = std::fabs(number);
  const bool exponent = size != 0 && (size < 1e-4 || size >= 1e21);
  const auto result =
      std::to_chars(text.data(), text.data() + text.size(), number,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(text.data(), result.ptr);
}

absl::StatusOr<int64_t> ParseFlagInteger(std::string_view text) {
  const absl::Status syntax = absl::InvalidArgumentError("parse error");
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  bool prefixed = false;
  if (text.size() > 1 && text[0] == '0') {
    const char kind = text[1] | 0x20;
    base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    text.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
    prefixed = true;
  }
  std::string digits;
  bool after_digit = prefixed;
  for (char c : text) {
    if (c == '_') {
      if (!after_digit) return syntax;
      after_digit = false;
      continue;
    }
    digits.push_back(c);
    after_digit = true;
  }
  if (digits.empty() || !after_digit || digits[0] == '-') return syntax;
  uint64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (result.ptr != digits.data() + digits.size()) return syntax;
  const uint64_t limit = (uint64_t{1} << 63) - (negative ? 0 : 1);
  if (result.ec != std::errc() || value > limit) {
    return absl::OutOfRangeError("value out of range");
  }
  return static_cast<int64_t>(negative ? uint64_t{0} - value : value);
}

std::optional<bool> ParseFlagBool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<int> ParseDecimal(std::string_view text) {
  if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return std::nullopt;
  }
  int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<HostPortText> SplitHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  HostPortText result;
  result.port = text.substr(colon + 1);
  if (text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close + 1 != colon) return std::nullopt;
    result.host = text.substr(1, close - 1);
  } else {
    result.host = text.substr(0, colon);
    if (result.host.find(':') != std::string::npos) return std::nullopt;
  }
  if (result.host.find_first_of("[]") != std::string::npos ||
      result.port.find_first_of("[]") != std::string::npos) {
    return std::nullopt;
  }
  return result;
}

absl::StatusOr<HostPort> ParseAdvertised(std::string_view text, int port) {
  std::optional<HostPortText> parts = SplitHostPort(text);
  if (!parts) parts = SplitHostPort(std::string(text) + ":0");
  if (!parts) {
    return absl::InvalidArgumentError(absl::StrFormat("address %s: too many colons in address", std::string(text)));
  }
  const absl::StatusOr<int64_t> number = ParseFlagInteger(parts->port);
  if (!number.ok() || *number < INT32_MIN || *number > INT32_MAX) {
    return absl::InvalidArgumentError(absl::StrFormat("strconv.Atoi: parsing %s: invalid syntax", Quoted(parts->port)));
  }
  return HostPort{parts->host, *number == 0 || *number == -1 ? port : static_cast<int>(*number)};
}

}  // namespace millrace::config
