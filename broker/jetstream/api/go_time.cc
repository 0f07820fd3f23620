// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/go_time.h"

#include <array>

#include "absl/strings/str_format.h"
#include "broker/json/go_duration.h"
#include "broker/json/go_format.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kLayout = "2006-01-02T15:04:05Z07:00";

bool IsDigit(std::string_view text, size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; }

// Days since 1970 of a date in the proleptic Gregorian calendar.
int64_t DaysFromCivil(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

int64_t DaysIn(int64_t month, int64_t year) {
  MR_CHECK(month >= 1 && month <= 12);
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return kDays[static_cast<size_t>(month - 1)] + (month == 2 && leap ? 1 : 0);
}

// Reads the layout RFC 3339 as time.Parse does: the hour may have one digit; a fraction may follow, by dot or comma.
class TimeParser {
 public:
  explicit TimeParser(std::string_view text) : text_(text), rest_(text) {}

  std::optional<int64_t> Parse() {
    if (!Year() || !Literal("-") || !Number("01", true, 1, 12, "month", &month_) || !Literal("-") ||
        !Number("02", true, 0, 99, "", &day_) || !Literal("T") || !Number("15", false, 0, 23, "hour", &hour_) ||
        !Literal(":") || !Number("04", true, 0, 59, "minute", &minute_) || !Literal(":") ||
        !Number("05", true, 0, 59, "second", &second_)) {
      return std::nullopt;
    }
    Fraction();
    if (!Zone()) return std::nullopt;
    if (!rest_.empty()) return Message(": extra text: " + QuoteForTime(rest_)), std::nullopt;
    if (day_ < 1 || day_ > DaysIn(month_, year_)) return Message(": day out of range"), std::nullopt;
    return Nanoseconds();
  }

  const std::string& error() const { return error_; }

 private:
  void Message(const std::string& message) { error_ = "parsing time " + QuoteForTime(text_) + message; }
  bool Bad(std::string_view value, std::string_view element) {
    error_ = "parsing time " + QuoteForTime(text_) + " as " + QuoteForTime(kLayout) + ": cannot parse " +
             QuoteForTime(value) + " as " + QuoteForTime(element);
    return false;
  }

  bool Literal(std::string_view literal) {
    if (rest_.substr(0, literal.size()) != literal) return Bad(rest_, literal);
    rest_.remove_prefix(literal.size());
    return true;
  }

  bool Year() {
    for (size_t i = 0; i < 4; ++i) {
      if (!IsDigit(rest_, i)) return Bad(rest_, "2006");
      year_ = year_ * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(4);
    return true;
  }

  // One or two digits, two if `fixed`; false when there are none.
  static bool Digits(std::string_view* text, bool fixed, int64_t* value) {
    if (!IsDigit(*text, 0) || (fixed && !IsDigit(*text, 1))) return false;
    const size_t digits = IsDigit(*text, 1) ? 2 : 1;
    *value = digits == 2 ? ((*text)[0] - '0') * 10 + ((*text)[1] - '0') : (*text)[0] - '0';
    text->remove_prefix(digits);
    return true;
  }

  bool Number(std::string_view element, bool fixed, int64_t min, int64_t max, std::string_view what, int64_t* value) {
    const std::string_view hold = rest_;
    if (!Digits(&rest_, fixed, value)) return Bad(hold, element);
    if (*value >= min && *value <= max) return true;
    Message(absl::StrFormat(": %s out of range", what));
    return false;
  }

  void Fraction() {
    if (rest_.empty() || (rest_[0] != '.' && rest_[0] != ',') || !IsDigit(rest_, 1)) return;
    int64_t scale = kNsPerSecond / 10;
    size_t i = 1;
    for (; IsDigit(rest_, i); ++i, scale /= 10) nanos_ += (rest_[i] - '0') * scale;  // past nine digits: scale is 0
    rest_.remove_prefix(i);
  }

  bool Zone() {
    const std::string_view hold = rest_;
    if (!rest_.empty() && rest_[0] == 'Z') {
      rest_.remove_prefix(1);
      return true;
    }
    if (rest_.size() < 6 || rest_[3] != ':') return Bad(hold, "Z07:00");
    const char sign = rest_[0];
    std::string_view hours = rest_.substr(1, 2), minutes = rest_.substr(4, 2);
    int64_t hour = 0, minute = 0;
    rest_.remove_prefix(6);
    if (!Digits(&hours, true, &hour) || !Digits(&minutes, true, &minute)) return Bad(hold, "Z07:00");
    if (hour > 24) return Message(": time zone offset hour out of range"), false;
    if (minute > 60) return Message(": time zone offset minute out of range"), false;
    if (sign != '+' && sign != '-') return Bad(hold, "Z07:00");
    offset_ = (hour * 60 + minute) * 60 * (sign == '-' ? -1 : 1);
    return true;
  }

  int64_t Nanoseconds() const {
    MR_CHECK(nanos_ >= 0 && nanos_ < kNsPerSecond);
    constexpr int64_t kZeroSeconds = -62'135'596'800;  // year 1
    const int64_t seconds =
        DaysFromCivil(year_, month_, day_) * 86'400 + hour_ * 3'600 + minute_ * 60 + second_ - offset_;
    if (seconds == kZeroSeconds && nanos_ == 0) return kGoZeroTimeNs;
    int64_t result = 0;
    if (__builtin_mul_overflow(seconds, kNsPerSecond, &result) || __builtin_add_overflow(result, nanos_, &result)) {
      return seconds < 0 ? kGoZeroTimeNs + 1 : std::numeric_limits<int64_t>::max();
    }
    return result;
  }

  std::string_view text_, rest_;
  std::string error_;
  int64_t year_ = 0, month_ = 0, day_ = 0, hour_ = 0, minute_ = 0, second_ = 0, nanos_ = 0, offset_ = 0;
};

}  // namespace

void AppendGoTime(int64_t time_ns, std::string* out) {
  if (time_ns == 0) {
    out->append("1970-01-01T00:00:00Z");
  } else {
    AppendRfc3339Nano(time_ns == kGoZeroTimeNs ? 0 : time_ns, out);
  }
}

std::string FormatGoTime(int64_t time_ns) {
  std::string out;
  AppendGoTime(time_ns, &out);
  return out;
}

std::optional<int64_t> ParseGoTime(std::string_view text, std::string* error) {
  TimeParser parser(text);
  const std::optional<int64_t> time_ns = parser.Parse();
  if (!time_ns && error != nullptr) *error = parser.error();
  return time_ns;
}

std::optional<int64_t> ParseGoDuration(std::string_view text, std::string* error) { return ParseDuration(text, error); }

}  // namespace millrace
