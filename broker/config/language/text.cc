// SPDX-License-Identifier: Apache-2.0
#include "broker/config/language/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace millrace::config {
namespace {

absl::Status DurationError(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(absl::StrFormat("time: %s %s", what, Quoted(text)));
}

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};
constexpr Unit kUnits[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xC2\xB5s", 1000},  // µ, micro sign
    {"\xCE\xBCs", 1000},  // μ, Greek mu
    {"ms", 1000'000},
    {"s", 1000'000'000},
    {"m", 60ull * 1000'000'000},
    {"h", 3600ull * 1000'000'000},
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One decimal number as 64-bit integer part and fraction.
struct Decimal {
  uint64_t whole = 0;
  uint64_t fraction = 0;
  double scale = 1;
  bool valid = false;
  bool overflow = false;
};

Decimal TakeDecimal(std::string_view* text) {
  constexpr uint64_t kTooBig = uint64_t{1} << 63;
  Decimal decimal;
  size_t i = 0;
  for (; i < text->size() && IsDigit((*text)[i]); ++i) {
    const uint64_t digit = static_cast<uint64_t>((*text)[i] - '0');
    if (decimal.whole > (kTooBig - digit) / 10) decimal.overflow = true;
    decimal.whole = decimal.whole * 10 + digit;
    decimal.valid = true;
  }
  if (i < text->size() && (*text)[i] == '.') {
    bool full = false;
    for (++i; i < text->size() && IsDigit((*text)[i]); ++i) {
      decimal.valid = true;
      const uint64_t digit = static_cast<uint64_t>((*text)[i] - '0');
      if (full || decimal.fraction > (kTooBig - 1 - digit) / 10) {
        full = true;  // more digits than matter
        continue;
      }
      decimal.fraction = decimal.fraction * 10 + digit;
      decimal.scale *= 10;
    }
  }
  text->remove_prefix(i);
  return decimal;
}

}  // namespace

DecodedRune DecodeRune(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  uint32_t code = lead & (0xFFu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  static constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, bytes};
}

void AppendRune(uint32_t code, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
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
  constexpr uint64_t kMax = uint64_t{1} << 63;
  const std::string_view whole = text;
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return DurationError("invalid duration", whole);
  uint64_t total = 0;
  while (!text.empty()) {
    const Decimal decimal = TakeDecimal(&text);
    if (!decimal.valid || decimal.overflow) return DurationError("invalid duration", whole);
    size_t length = 0;
    while (length < text.size() && text[length] != '.' && !IsDigit(text[length])) ++length;
    if (length == 0) return DurationError("missing unit in duration", whole);
    const std::string_view name = text.substr(0, length);
    text.remove_prefix(length);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (candidate.name == name) unit = &candidate;
    }
    if (unit == nullptr) {
      return absl::InvalidArgumentError(absl::StrFormat("time: unknown unit %s in duration %s",
                                                        Quoted(name), Quoted(whole)));
    }
    if (decimal.whole > kMax / unit->nanoseconds) return DurationError("invalid duration", whole);
    uint64_t part = decimal.whole * unit->nanoseconds;
    if (decimal.fraction > 0) {
      part += static_cast<uint64_t>(static_cast<double>(decimal.fraction) *
                                    (static_cast<double>(unit->nanoseconds) / decimal.scale));
    }
    total += part;
    if (part > kMax || total > kMax) return DurationError("invalid duration", whole);
  }
  if (negative) return std::chrono::nanoseconds(static_cast<int64_t>(-total));
  if (total > kMax - 1) return DurationError("invalid duration", whole);
  return std::chrono::nanoseconds(static_cast<int64_t>(total));
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const int64_t count = duration.count();
  if (count == 0) return "0s";
  const std::string sign = count < 0 ? "-" : "";
  const uint64_t left =
      count < 0 ? uint64_t{0} - static_cast<uint64_t>(count) : static_cast<uint64_t>(count);
  // whole.fraction without trailing zeros
  const auto scaled = [](uint64_t value, uint64_t unit, int digits) {
    std::string text = std::to_string(value / unit);
    if (value % unit == 0) return text;
    std::string fraction = absl::StrFormat("%0*d", digits, value % unit);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    return text + "." + fraction;
  };
  if (left < 1000) return sign + std::to_string(left) + "ns";
  if (left < 1000'000) return sign + scaled(left, 1000, 3) + "\xC2\xB5s";
  if (left < 1000'000'000) return sign + scaled(left, 1000'000, 6) + "ms";
  constexpr uint64_t kSecond = 1000'000'000;
  const uint64_t seconds = left / kSecond;
  std::string text = sign;
  if (seconds >= 3600) text += std::to_string(seconds / 3600) + "h";
  if (seconds >= 60) text += std::to_string(seconds / 60 % 60) + "m";
  return text + scaled(left % (60 * kSecond), kSecond, 9) + "s";
}

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
