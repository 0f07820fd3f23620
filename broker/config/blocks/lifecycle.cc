// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/lifecycle.h"

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

void ReadLameDuckDuration(LifecycleOptions& options, Reading& reading, const Value& value) {
  const std::string_view name = reading.row().key;
  const auto duration = reading.Duration(value, DurationForm::kText, name);
  if (!duration) return;
  if (*duration < std::chrono::seconds(30)) {
    return reading.Error(
        value, absl::StrFormat("invalid %s of %s, minimum is 30 seconds", name, FormatDuration(*duration)));
  }
  options.lame_duck_duration = *duration;
}

void ReadLameDuckGracePeriod(LifecycleOptions& options, Reading& reading, const Value& value) {
  const std::string_view name = reading.row().key;
  const auto duration = reading.Duration(value, DurationForm::kText, name);
  if (!duration) return;
  if (duration->count() < 0) {
    return reading.Error(value, absl::StrFormat("invalid %s, needs to be positive", name));
  }
  options.lame_duck_grace_period = *duration;
}

absl::Status CheckLifecycle(const LifecycleOptions& options) {
  if (options.lame_duck_duration.count() <= 0 || options.lame_duck_grace_period < options.lame_duck_duration) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("lame duck grace period (%s) should be strictly lower than lame duck duration (%s)",
                      FormatDuration(options.lame_duck_grace_period), FormatDuration(options.lame_duck_duration)));
}

constexpr Lacking kProfiling = {"profiling over HTTP", Lacking::Policy::kRefuse};
constexpr Lacking kProfilingRate = {"profiling over HTTP", Lacking::Policy::kWarn};

using enum OnReload;

constexpr Row kRows[] = {
    {.key = "prof_port", .flags = "--profile", .value_name = "<port>", .help = "Port for profiles over HTTP",
     .group = &kServerHelp, .order = 660, .member = &kMember<&LifecycleOptions::prof_port>, .lacking = &kProfiling,
     .peer_name = "ProfPort"},
    {.key = "prof_block_rate", .order = 670, .member = &kMember<&LifecycleOptions::prof_block_rate>,
     .lacking = &kProfilingRate, .on_reload = kApply},
    {.key = "pid_file", .aliases = "pidfile", .flags = "-P|--pid", .value_name = "<file>",
     .help = "File to write the process id to", .group = &kServerHelp, .order = 680,
     .member = &kMember<&LifecycleOptions::pid_file>, .on_reload = kApply, .is_silent_if_empty = true},
    {.key = "ports_file_dir", .flags = "--ports_file_dir", .value_name = "<dir>",
     .help = "Directory for a file that lists the ports in use", .group = &kServerHelp, .order = 690,
     .member = &kMember<&LifecycleOptions::ports_file_dir>, .on_reload = kApply},
    {.key = "lame_duck_duration", .order = 780, .member = &kMember<&LifecycleOptions::lame_duck_duration>,
     .zero_is_default = true, .read = kHook<ReadLameDuckDuration>, .peer_name = "LameDuckDuration"},
    {.key = "lame_duck_grace_period", .order = 790, .member = &kMember<&LifecycleOptions::lame_duck_grace_period>,
     .zero_is_default = true, .read = kHook<ReadLameDuckGracePeriod>, .peer_name = "LameDuckGracePeriod"},
};

}  // namespace
}  // namespace config

constexpr config::Table LifecycleOptions::kTable = {
    .type = &config::kTypeTag<LifecycleOptions>,
    .rows = config::kRows,
    .check = config::kHook<config::CheckLifecycle>,
};

}  // namespace millrace
