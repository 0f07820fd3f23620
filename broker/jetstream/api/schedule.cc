// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/schedule.h"

#include <array>
#include <charconv>
#include <string>
#include <vector>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "broker/jetstream/api/go_time.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint64_t kStar = uint64_t{1} << 63;  // the field was written as * or ?
constexpr int kYearsMax = 5;                   // a pattern that does not come in that time is refused

struct Bounds {
  unsigned min = 0;
  unsigned max = 0;
  const std::string_view* names = nullptr;  // of min, min + 1, ...
  size_t names_count = 0;
};
constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kWeekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<Bounds, 6> kBounds = {Bounds{0, 59}, Bounds{0, 59}, Bounds{0, 23},
                                           Bounds{1, 31}, Bounds{1, 12, kMonths, 12}, Bounds{0, 6, kWeekdays, 7}};

// The times a line names, a bit for each value of a field.
struct Cron {
  uint64_t second = 0, minute = 0, hour = 0, day = 0, month = 0, weekday = 0;
};

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + 1);
  }
  parts.push_back(text);
  return parts;
}

// Words between blanks.
std::vector<std::string_view> Words(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  std::vector<std::string_view> words;
  for (size_t at = text.find_first_not_of(kBlanks); at != std::string_view::npos;
       at = text.find_first_not_of(kBlanks, at)) {
    const size_t end = std::min(text.find_first_of(kBlanks, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

std::optional<unsigned> ReadNumber(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return static_cast<unsigned>(std::min<int64_t>(value, 1'000'000));  // far out of any bounds
}

std::optional<unsigned> ReadNumberOrName(std::string_view text, const Bounds& bounds) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (size_t i = 0; i < bounds.names_count; ++i) {
    if (bounds.names[i] == lower) return bounds.min + static_cast<unsigned>(i);
  }
  return ReadNumber(text);
}

// One of "*", "5", "1-5", each with "/step"; "5/step" runs to the end.
std::optional<uint64_t> ReadRange(std::string_view text, const Bounds& bounds) {
  const std::vector<std::string_view> parts = Split(text, '/');
  const std::vector<std::string_view> ends = Split(parts[0], '-');
  unsigned first = bounds.min, last = bounds.max, step = 1;
  bool star = ends[0] == "*" || ends[0] == "?";
  if (!star) {
    if (ends.size() > 2) return std::nullopt;
    const std::optional<unsigned> low = ReadNumberOrName(ends[0], bounds);
    const std::optional<unsigned> high = ends.size() == 2 ? ReadNumberOrName(ends[1], bounds) : low;
    if (!low || !high) return std::nullopt;
    first = *low;
    last = *high;
  }
  if (parts.size() > 2) return std::nullopt;
  if (parts.size() == 2) {
    const std::optional<unsigned> read = ReadNumber(parts[1]);
    if (!read) return std::nullopt;
    step = *read;
    if (ends.size() == 1) last = bounds.max;
    if (step > 1) star = false;
  }
  if (first < bounds.min || last > bounds.max || first > last || step == 0) return std::nullopt;
  MR_CHECK(last < 63 && step > 0);
  uint64_t bits = star ? kStar : 0;
  for (unsigned value = first; value <= last; value += step) bits |= uint64_t{1} << value;
  return bits;
}

// Ranges between commas. A field of commas alone names nothing.
std::optional<uint64_t> ReadField(std::string_view text, const Bounds& bounds) {
  uint64_t bits = 0;
  for (const std::string_view part : Split(text, ',')) {
    if (part.empty()) continue;
    const std::optional<uint64_t> range = ReadRange(part, bounds);
    if (!range) return std::nullopt;
    bits |= *range;
  }
  return bits;
}

std::optional<Cron> ReadCron(std::string_view pattern) {
  const std::vector<std::string_view> words = Words(pattern);
  if (words.size() != kBounds.size()) return std::nullopt;
  std::array<uint64_t, 6> fields{};
  for (size_t i = 0; i < words.size(); ++i) {
    const std::optional<uint64_t> field = ReadField(words[i], kBounds[i]);
    if (!field) return std::nullopt;
    fields[i] = *field;
  }
  return Cron{fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]};
}

bool Has(uint64_t bits, int64_t value) {
  MR_DCHECK(value >= 0 && value < 60);
  return (bits >> value & 1) != 0;
}

// A moment in a zone, with the arithmetic of Go's time package: days and months by the calendar, the rest by duration.
class ZonedTime {
 public:
  ZonedTime(absl::Time time, absl::TimeZone zone) : zone_(zone) { Set(time); }

  absl::Time time() const { return time_; }
  int64_t year() const { return civil_.year(); }
  int month() const { return civil_.month(); }
  int day() const { return civil_.day(); }
  int hour() const { return civil_.hour(); }
  int minute() const { return civil_.minute(); }
  int second() const { return civil_.second(); }
  int weekday() const { return (static_cast<int>(absl::GetWeekday(civil_)) + 1) % 7; }  // Sunday is 0

  void Add(absl::Duration duration) { Set(time_ + duration); }
  void AddDays(int days) { SetCivil(absl::CivilSecond(year(), month(), day() + days, hour(), minute(), second())); }
  void AddMonths(int months) {
    SetCivil(absl::CivilSecond(year(), month() + months, day(), hour(), minute(), second()));
  }
  void SetCivil(const absl::CivilSecond& civil) {
    // A time that the zone skips or has twice: Go takes the offset from before the change.
    Set(zone_.At(civil).pre);
  }
  // Cuts to a multiple since the year 1, as time.Truncate; both units divide a day.
  void Truncate(absl::Duration unit) { Set(time_ - (time_ - absl::UnixEpoch()) % unit); }

 private:
  void Set(absl::Time time) {
    time_ = time;
    civil_ = absl::ToCivilSecond(time, zone_);
  }

  absl::TimeZone zone_;
  absl::Time time_;
  absl::CivilSecond civil_;
};

bool DayMatches(const Cron& cron, const ZonedTime& at) {
  const bool day = Has(cron.day, at.day()), weekday = Has(cron.weekday, at.weekday());
  // One that was left open does not widen the other.
  return ((cron.day | cron.weekday) & kStar) != 0 ? day && weekday : day || weekday;
}

// Raises `at` field by field until all match; false: not within kYearsMax. A field that wraps begins anew at the month.
bool Advance(const Cron& cron, ZonedTime* at) {
  const int64_t year_max = at->year() + kYearsMax;
  bool cut = false;  // lower fields are at their first value
  const auto cut_to = [&](const absl::CivilSecond& civil) {
    if (!cut) at->SetCivil(civil);
    cut = true;
  };
  while (at->year() <= year_max) {
    bool wrapped = false;
    while (!wrapped && !Has(cron.month, at->month())) {
      cut_to(absl::CivilSecond(at->year(), at->month()));
      at->AddMonths(1);
      wrapped = at->month() == 1;
    }
    while (!wrapped && !DayMatches(cron, *at)) {
      cut_to(absl::CivilSecond(at->year(), at->month(), at->day()));
      at->AddDays(1);
      wrapped = at->day() == 1;
    }
    while (!wrapped && !Has(cron.hour, at->hour())) {
      cut_to(absl::CivilSecond(at->year(), at->month(), at->day(), at->hour()));
      at->Add(absl::Hours(1));
      wrapped = at->hour() == 0;
    }
    while (!wrapped && !Has(cron.minute, at->minute())) {
      if (!cut) at->Truncate(absl::Minutes(1));
      cut = true;
      at->Add(absl::Minutes(1));
      wrapped = at->minute() == 0;
    }
    while (!wrapped && !Has(cron.second, at->second())) {
      cut = true;  // at is at a whole second already
      at->Add(absl::Seconds(1));
      wrapped = at->second() == 0;
    }
    if (!wrapped) return true;
  }
  return false;
}

std::optional<int64_t> NextCron(const Cron& cron, absl::TimeZone zone, int64_t last_ns) {
  MR_CHECK(cron.second != 0 && cron.minute != 0 && cron.hour != 0 && cron.month != 0);  // else it never comes
  ZonedTime at(absl::FromUnixNanos(last_ns), zone);
  at.Truncate(absl::Seconds(1));
  at.Add(absl::Seconds(1));
  if (!Advance(cron, &at)) return std::nullopt;
  return absl::ToUnixNanos(at.time());
}

// Half seconds round up, as time.Round does.
int64_t RoundToSecond(int64_t time_ns) {
  const int64_t rest = (time_ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;
  return rest * 2 < kNsPerSecond ? time_ns - rest : time_ns - rest + kNsPerSecond;
}

std::string_view WithoutPreset(std::string_view pattern) {
  if (pattern == "@yearly" || pattern == "@annually") return "0 0 0 1 1 *";
  if (pattern == "@monthly") return "0 0 0 1 * *";
  if (pattern == "@weekly") return "0 0 0 * * 0";
  if (pattern == "@daily" || pattern == "@midnight") return "0 0 0 * * *";
  if (pattern == "@hourly") return "0 0 * * * *";
  return pattern;
}

bool TakePrefix(std::string_view prefix, std::string_view* text) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::optional<absl::TimeZone> LoadScheduleTimeZone(std::string_view name) {
  // The peer's loader refuses what could leave the folder of zones.
  if (name.empty() || name[0] == '/' || name[0] == '\\' || name.find("..") != std::string_view::npos)
    return std::nullopt;
  if (name == "UTC") return absl::UTCTimeZone();
  if (name == "Local") return absl::LocalTimeZone();
  if (name.substr(0, 9) == "Fixed/UTC" || name.substr(0, 5) == "libc:" || name == "localtime") return std::nullopt;
  absl::TimeZone zone;
  if (!absl::LoadTimeZone(std::string(name), &zone)) return std::nullopt;
  return zone;
}

std::optional<ScheduledTime> NextSchedule(std::string_view pattern, const absl::TimeZone* zone, int64_t last_ns,
                                          int64_t now_ns) {
  if (pattern.empty()) return ScheduledTime{kGoZeroTimeNs, false};
  if (TakePrefix("@at ", &pattern)) {
    const std::optional<int64_t> time_ns = zone == nullptr ? ParseGoTime(pattern, nullptr) : std::nullopt;
    if (!time_ns) return std::nullopt;
    return ScheduledTime{*time_ns, false};
  }
  if (TakePrefix("@every ", &pattern)) {
    const std::optional<int64_t> every_ns = zone == nullptr ? ParseGoDuration(pattern, nullptr) : std::nullopt;
    if (!every_ns || *every_ns < kNsPerSecond) return std::nullopt;
    int64_t next_ns = 0;
    if (__builtin_add_overflow(RoundToSecond(last_ns), *every_ns, &next_ns)) return std::nullopt;
    if (next_ns < now_ns && __builtin_add_overflow(RoundToSecond(now_ns), *every_ns, &next_ns)) return std::nullopt;
    return ScheduledTime{next_ns, true};
  }
  const std::optional<Cron> cron = ReadCron(WithoutPreset(pattern));
  if (!cron) return std::nullopt;
  // A field without values never comes: do not look for it for years.
  if (cron->second == 0 || cron->minute == 0 || cron->hour == 0 || cron->month == 0) return std::nullopt;
  const absl::TimeZone in = zone == nullptr ? absl::UTCTimeZone() : *zone;
  std::optional<int64_t> next_ns = NextCron(*cron, in, last_ns);
  if (next_ns && *next_ns < now_ns) next_ns = NextCron(*cron, in, RoundToSecond(now_ns));
  if (!next_ns) return std::nullopt;
  return ScheduledTime{*next_ns, true};
}

}  // namespace millrace
