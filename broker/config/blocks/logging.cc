// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/logging.h"

#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

// Both switch the trace itself as well.
void ReadTraceVerbose(LoggingOptions& options, Reading& reading, const Value& value) {
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  options.trace_verbose = options.trace = *on;
  reading.Note(kMember<&LoggingOptions::trace>, value);
}

void ReadTraceHeaders(LoggingOptions& options, Reading& reading, const Value& value) {
  const bool* on = reading.Bool(value);
  if (on == nullptr) return;
  options.trace_headers = options.trace = *on;
  reading.Note(kMember<&LoggingOptions::trace>, value);
}

void TakeTrace(LoggingOptions& options, bool on, const FlagTaken& taken) {
  options.trace = on;
  taken.Note(kMember<&LoggingOptions::trace>);
}

void TakeDebugAndTrace(LoggingOptions& options, bool on, const FlagTaken& taken) {
  TakeTrace(options, on, taken);
  options.debug = on;
  taken.Note(kMember<&LoggingOptions::debug>);
}

void TakeVerboseTrace(LoggingOptions& options, bool on, const FlagTaken& taken) {
  TakeTrace(options, on, taken);
  options.trace_verbose = on;
  taken.Note(kMember<&LoggingOptions::trace_verbose>);
}

void TakeDebugAndVerboseTrace(LoggingOptions& options, bool on, const FlagTaken& taken) {
  TakeDebugAndTrace(options, on, taken);
  TakeVerboseTrace(options, on, taken);
}

constexpr HelpGroup kLoggingHelp = {"Logging Options", 20};
constexpr Lacking kConnecting = {"connecting to other servers", Lacking::Policy::kWarn};

using enum OnReload;
constexpr auto kReopen = &ReloadEffects::logging;
constexpr auto kTraceLevel = &ReloadEffects::trace_level;

constexpr Row kRows[] = {
    {.key = "trace", .flags = "-V|--trace", .help = "Log the protocol", .group = &kLoggingHelp, .order = 60,
     .member = &kMember<&LoggingOptions::trace>, .on_reload = kApply, .effects = {kReopen, kTraceLevel}},
    {.key = "debug", .flags = "-D|--debug", .help = "Log what helps to find faults", .group = &kLoggingHelp,
     .order = 70, .member = &kMember<&LoggingOptions::debug>, .on_reload = kApply, .effects = {kReopen}},
    {.key = "trace_verbose", .order = 80, .member = &kMember<&LoggingOptions::trace_verbose>,
     .read = kHook<ReadTraceVerbose>, .on_reload = kApply, .effects = {kReopen, kTraceLevel}},
    {.key = "trace_headers", .order = 90, .member = &kMember<&LoggingOptions::trace_headers>,
     .read = kHook<ReadTraceHeaders>, .on_reload = kApply, .effects = {kReopen, kTraceLevel}},
    {.key = "logtime", .flags = "-T|--logtime", .help = "Log lines bear the time (default: true)",
     .group = &kLoggingHelp, .order = 120, .member = &kMember<&LoggingOptions::logtime>, .on_reload = kApply,
     .effects = {kReopen}},
    {.key = "logtime_utc", .flags = "--logtime_utc", .help = "That time is UTC, not local (default: false)",
     .group = &kLoggingHelp, .order = 130, .member = &kMember<&LoggingOptions::logtime_utc>, .on_reload = kApply,
     .effects = {kReopen}},
    {.key = "log_file", .aliases = "logfile", .flags = "-l|--log", .value_name = "<file>",
     .help = "Log to this file, not to stderr", .group = &kLoggingHelp, .order = 700,
     .member = &kMember<&LoggingOptions::log_file>, .on_reload = kApply, .effects = {kReopen}},
    {.key = "logfile_size_limit", .aliases = "log_size_limit", .flags = "--log_size_limit", .value_name = "<bytes>",
     .help = "Start a new log file at this size (default: never)", .group = &kLoggingHelp, .order = 710,
     .member = &kMember<&LoggingOptions::logfile_size_limit>, .peer_name = "LogSizeLimit"},
    {.key = "logfile_max_num", .aliases = "log_max_num", .order = 720,
     .member = &kMember<&LoggingOptions::logfile_max_num>, .peer_name = "LogMaxFiles"},
    {.key = "syslog", .flags = "-s|--syslog", .help = "Log to syslog", .group = &kLoggingHelp, .order = 730,
     .member = &kMember<&LoggingOptions::syslog>, .on_reload = kApply, .effects = {kReopen}},
    {.key = "remote_syslog", .flags = "-r|--remote_syslog", .value_name = "<url>",
     .help = "Log to this syslog server (udp://localhost:514)", .group = &kLoggingHelp, .order = 740,
     .member = &kMember<&LoggingOptions::remote_syslog>, .on_reload = kApply, .effects = {kReopen}},
    {.key = "max_traced_msg_len", .flags = "--max_traced_msg_len", .value_name = "<bytes>",
     .help = "Cut traced messages to this length (default: 0, whole)", .group = &kLoggingHelp, .order = 800,
     .member = &kMember<&LoggingOptions::max_traced_msg_len>, .on_reload = kApply},
    {.key = "connect_error_reports", .order = 810, .member = &kMember<&LoggingOptions::connect_error_reports>,
     .zero_is_default = true, .lacking = &kConnecting, .on_reload = kApply},
    {.key = "reconnect_error_reports", .order = 820, .member = &kMember<&LoggingOptions::reconnect_error_reports>,
     .zero_is_default = true, .lacking = &kConnecting, .on_reload = kApply},
    {.flags = "-DV", .help = "Both -D and -V", .group = &kLoggingHelp, .order = 821, .member = &kUnkept<bool>,
     .take_flag = kHook<TakeDebugAndTrace>, .on_reload = kIgnore},
    {.flags = "-VV", .help = "Like -V, with the system account", .group = &kLoggingHelp, .order = 822,
     .member = &kUnkept<bool>, .take_flag = kHook<TakeVerboseTrace>, .on_reload = kIgnore},
    {.flags = "-DVV", .help = "Both -D and -VV", .group = &kLoggingHelp, .order = 823, .member = &kUnkept<bool>,
     .take_flag = kHook<TakeDebugAndVerboseTrace>, .on_reload = kIgnore},
};

}  // namespace
}  // namespace config

constexpr config::Table LoggingOptions::kTable = {
    .type = &config::kTypeTag<LoggingOptions>,
    .rows = config::kRows,
};

}  // namespace millrace
