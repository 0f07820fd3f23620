// SPDX-License-Identifier: Apache-2.0
// Schedules: when a message with Nats-Schedule fires next: "@at <RFC 3339>", "@every <duration>", a preset such as
// @daily, or a cron line of six fields, seconds first (spec 5g, ADR-51).
// Owner:  caller (pure; a time zone is read from the system's database).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace millrace {

struct ScheduledTime {
  int64_t next_ns = 0;
  bool repeats = false;
};

// Nats-Schedule-Time-Zone; nullopt: kMessageSchedulesTimeZoneInvalid. "UTC" and "Local" are names too.
std::optional<absl::TimeZone> LoadScheduleTimeZone(std::string_view name);

// The first time after last_ns; one that is missed at now_ns is skipped, so that a schedule fires once after a pause.
// zone: nullptr when the message names none (UTC); @at and @every refuse one. nullopt: kMessageSchedulesPatternInvalid.
std::optional<ScheduledTime> NextSchedule(std::string_view pattern, const absl::TimeZone* zone, int64_t last_ns,
                                          int64_t now_ns);

}  // namespace millrace
