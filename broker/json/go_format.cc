// SPDX-License-Identifier: Apache-2.0
#include "broker/json/go_format.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/utf8.h"

namespace millrace {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr char kHex[] = "0123456789abcdef";

void AppendPadded(int64_t value, int digits, std::string* out) {
  char text[20];
  for (int i = digits - 1; i >= 0; --i, value /= 10) text[i] = static_cast<char>('0' + value % 10);
  out->append(text, static_cast<size_t>(digits));
}

// The date and time of day, without a zone.
void AppendCivil(int64_t wall_ns, std::string* out) {
  int64_t seconds = wall_ns / kSecond, nanos = wall_ns % kSecond;
  if (nanos < 0) nanos += kSecond, --seconds;
  int64_t days = seconds / 86'400, of_day = seconds % 86'400;
  if (of_day < 0) of_day += 86'400, --days;
  // Civil date from day number: eras of 400 years begin on 1 March, so the leap day comes last.
  const int64_t shifted = days + 719'468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const int64_t day_of_era = shifted - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_index = (5 * day_of_year + 2) / 153;  // from March
  const int64_t day = day_of_year - (153 * month_index + 2) / 5 + 1;
  const int64_t month = month_index < 10 ? month_index + 3 : month_index - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  AppendPadded(year, 4, out);
  out->push_back('-');
  AppendPadded(month, 2, out);
  out->push_back('-');
  AppendPadded(day, 2, out);
  out->push_back('T');
  AppendPadded(of_day / 3'600, 2, out);
  out->push_back(':');
  AppendPadded(of_day / 60 % 60, 2, out);
  out->push_back(':');
  AppendPadded(of_day % 60, 2, out);
  if (nanos > 0) {
    out->push_back('.');
    AppendPadded(nanos, 9, out);
    out->resize(out->find_last_not_of('0') + 1);
  }
}

constexpr std::string_view kZeroTime = "0001-01-01T00:00:00Z";

// Printable ASCII that stands for itself in JSON.
constexpr std::array<bool, 256> kPlainJson = [] {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<size_t>(c)] = true;
  for (char c : {'"', '\\', '<', '>', '&'}) plain[static_cast<size_t>(c)] = false;
  return plain;
}();

}  // namespace

std::string FormatUptime(int64_t duration_ns) {
  const int64_t seconds = duration_ns / kSecond;
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24, years = days / 365;
  if (years > 0)
    return absl::StrFormat("%dy%dd%dh%dm%ds", years, days % 365, hours % 24, minutes % 60,
                           seconds % 60);
  if (days > 0)
    return absl::StrFormat("%dd%dh%dm%ds", days, hours % 24, minutes % 60, seconds % 60);
  if (hours > 0) return absl::StrFormat("%dh%dm%ds", hours, minutes % 60, seconds % 60);
  if (minutes > 0) return absl::StrFormat("%dm%ds", minutes, seconds % 60);
  return absl::StrFormat("%ds", seconds);
}

std::string FormatDuration(int64_t duration_ns) {
  if (duration_ns == 0) return "0s";
  std::string out = duration_ns < 0 ? "-" : "";
  uint64_t rest = static_cast<uint64_t>(duration_ns);
  if (duration_ns < 0) rest = 0 - rest;
  std::string_view unit = "s";
  uint64_t unit_ns = 1'000'000'000;
  if (rest < 1'000) {
    unit = "ns", unit_ns = 1;
  } else if (rest < 1'000'000) {
    unit = "\u00b5s", unit_ns = 1'000;
  } else if (rest < 1'000'000'000) {
    unit = "ms", unit_ns = 1'000'000;
  } else {
    const uint64_t minutes = rest / 60'000'000'000;
    if (minutes >= 60) out += absl::StrFormat("%dh", minutes / 60);
    if (minutes > 0) out += absl::StrFormat("%dm", minutes % 60);
    rest %= 60'000'000'000;
  }
  out += std::to_string(rest / unit_ns);
  uint64_t fraction = rest % unit_ns;
  if (fraction > 0) {
    out += '.';
    for (uint64_t digit = unit_ns / 10; fraction > 0; fraction %= digit, digit /= 10)
      out += static_cast<char>('0' + fraction / digit);
  }
  return out.append(unit);
}

void AppendRfc3339Nano(int64_t wall_ns, std::string* out) {
  if (wall_ns == 0) {
    out->append(kZeroTime);
    return;
  }
  AppendCivil(wall_ns, out);
  out->push_back('Z');
}

void AppendRfc3339NanoLocal(int64_t wall_ns, std::string* out) {
  const time_t when = wall_ns / kSecond;
  tm parts = {};
  localtime_r(&when, &parts);
  if (wall_ns == 0 || parts.tm_gmtoff == 0) return AppendRfc3339Nano(wall_ns, out);
  AppendCivil(wall_ns + parts.tm_gmtoff * kSecond, out);
  const int64_t minutes = parts.tm_gmtoff / 60;
  absl::StrAppendFormat(out, "%c%02d:%02d", minutes < 0 ? '-' : '+', std::abs(minutes) / 60,
                        std::abs(minutes) % 60);
}

void AppendGoFloat(double value, std::string* out) {
  if (!std::isfinite(value)) value = 0;  // JSON has no word for it
  const double size = std::fabs(value);
  const bool scientific = size != 0 && (size < 1e-6 || size >= 1e21);
  char text[400];
  const auto end =
      std::to_chars(text, text + sizeof text, value,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  MR_CHECK(end.ec == std::errc());
  std::string_view digits(text, static_cast<size_t>(end.ptr - text));
  // 1e-07 is written 1e-7.
  if (const size_t n = digits.size(); scientific && n >= 4 && digits.substr(n - 4, 3) == "e-0") {
    text[n - 2] = text[n - 1];
    digits.remove_suffix(1);
  }
  out->append(digits);
}

void AppendGoJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (kPlainJson[c]) {
      ++i;
      continue;
    }
    size_t length = 1;
    if (c >= 0x80) {
      length = Utf8Bytes(text.substr(i));
      const bool line_separator =
          length == 3 && c == 0xe2 && text[i + 1] == '\x80' && (text[i + 2] & '\xfe') == '\xa8';
      if (length > 0 && !line_separator) {
        i += length;
        continue;
      }
    }
    out->append(text, done, i - done);
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\b':
        out->append("\\b");
        break;
      case '\f':
        out->append("\\f");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      default:
        if (c < 0x80) {
          out->append("\\u00");
          out->push_back(kHex[c >> 4]);
          out->push_back(kHex[c & 15]);
        } else if (length == 3) {
          out->append(text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029");
        } else {
          out->append("\\ufffd");
          length = 1;
        }
    }
    i += length;
    done = i;
  }
  out->append(text, done, text.size() - done);
  out->push_back('"');
}

}  // namespace millrace
