// SPDX-License-Identifier: Apache-2.0
#include "broker/json/go_duration.h"

#include "absl/strings/str_format.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

bool IsDigit(std::string_view text, size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; }

struct Unit {
  std::string_view name;
  uint64_t ns;
};
constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1'000},
                           {"\u00b5s", 1'000},  // micro sign
                           {"\u03bcs", 1'000},  // Greek mu
                           {"ms", 1'000'000},
                           {"s", 1'000'000'000},
                           {"m", 60'000'000'000},
                           {"h", 3'600'000'000'000}};
constexpr uint64_t kDurationMax = uint64_t{1} << 63;

// The digits at the front of text; false when they overflow.
bool LeadingInteger(std::string_view* text, uint64_t* value) {
  size_t i = 0;
  for (; IsDigit(*text, i); ++i) {
    if (*value > kDurationMax / 10) return false;
    *value = *value * 10 + static_cast<uint64_t>((*text)[i] - '0');
    if (*value > kDurationMax) return false;
  }
  text->remove_prefix(i);
  return true;
}

// The digits of a fraction: value / scale. Digits that do not fit are dropped.
void LeadingFraction(std::string_view* text, uint64_t* value, double* scale) {
  size_t i = 0;
  bool full = false;
  for (; IsDigit(*text, i); ++i) {
    if (full) continue;
    const uint64_t next = *value * 10 + static_cast<uint64_t>((*text)[i] - '0');
    if (*value > (kDurationMax - 1) / 10 || next > kDurationMax) {
      full = true;
      continue;
    }
    *value = next;
    *scale *= 10;
  }
  text->remove_prefix(i);
}

// One number with its unit, added to *sum. Returns the error without the duration, empty if fine.
std::string ReadDurationPart(std::string_view* text, uint64_t* sum) {
  constexpr std::string_view kInvalid = "invalid duration ";
  MR_CHECK(!text->empty() && *sum <= kDurationMax);
  const size_t before = text->size();
  uint64_t value = 0, fraction = 0;
  double scale = 1;
  if ((*text)[0] != '.' && !IsDigit(*text, 0)) return std::string(kInvalid);
  if (!LeadingInteger(text, &value)) return std::string(kInvalid);
  bool digits = text->size() != before;
  if (!text->empty() && (*text)[0] == '.') {
    text->remove_prefix(1);
    const size_t at = text->size();
    LeadingFraction(text, &fraction, &scale);
    digits |= text->size() != at;
  }
  if (!digits) return std::string(kInvalid);
  size_t end = 0;
  while (end < text->size() && (*text)[end] != '.' && !IsDigit(*text, end)) ++end;
  if (end == 0) return "missing unit in duration ";
  const std::string_view name = text->substr(0, end);
  text->remove_prefix(end);
  for (const Unit& unit : kUnits) {
    if (unit.name != name) continue;
    if (value > kDurationMax / unit.ns) return std::string(kInvalid);
    value *= unit.ns;
    if (fraction > 0) {
      value += static_cast<uint64_t>(static_cast<double>(fraction) * (static_cast<double>(unit.ns) / scale));
      if (value > kDurationMax) return std::string(kInvalid);
    }
    *sum += value;
    return *sum > kDurationMax ? std::string(kInvalid) : "";
  }
  return "unknown unit " + QuoteForTime(name) + " in duration ";
}

}  // namespace

std::string QuoteForTime(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || byte < 0x20) {
      out += absl::StrFormat("\\x%02x", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

std::optional<int64_t> ParseDuration(std::string_view text, std::string* error) {
  std::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return 0;
  uint64_t sum = 0;
  std::string problem = rest.empty() ? "invalid duration " : "";
  while (problem.empty() && !rest.empty()) problem = ReadDurationPart(&rest, &sum);
  if (problem.empty() && !negative && sum > kDurationMax - 1) problem = "invalid duration ";
  if (problem.empty()) return static_cast<int64_t>(negative ? 0 - sum : sum);
  if (error != nullptr) *error = "time: " + problem + QuoteForTime(text);
  return std::nullopt;
}

}  // namespace millrace
