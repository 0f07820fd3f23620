// SPDX-License-Identifier: Apache-2.0
#include "broker/log/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/log/sink.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kPlainLabels[] = {"[INF] ", "[DBG] ", "[WRN] ",
                                             "[ERR] ", "[FTL] ", "[TRC] "};
constexpr std::string_view kColorLabels[] = {
    "[\x1b[32mINF\x1b[0m] ", "[\x1b[36mDBG\x1b[0m] ", "[\x1b[0;93mWRN\x1b[0m] ",
    "[\x1b[31mERR\x1b[0m] ", "[\x1b[31mFTL\x1b[0m] ", "[\x1b[33mTRC\x1b[0m] ",
};

bool StderrIsTerminal() {
  struct stat info;
  return fstat(STDERR_FILENO, &info) == 0 && S_ISCHR(info.st_mode);
}

LogStyle StyleOf(const LogOptions& options, bool color) {
  return {.pid = getpid(), .time = options.time, .utc = options.utc, .color = color};
}

absl::StatusOr<std::unique_ptr<LogSink>> OpenSink(const LogOptions& options) {
  if (options.none) return std::make_unique<NullSink>();
  if (!options.file.empty())
    return FileSink::Open(options.file, StyleOf(options, false), options.file_bytes_max,
                          options.files_max);
  if (!options.remote_syslog.empty()) return SyslogSink::OpenRemote(options.remote_syslog);
  if (options.syslog) return SyslogSink::OpenLocal();
  return std::make_unique<FdSink>(STDERR_FILENO, StyleOf(options, StderrIsTerminal()));
}

}  // namespace

LineFormatter::LineFormatter(LogStyle style) : style_(style) {
  if (style.pid != 0) pid_prefix_ = absl::StrFormat("[%d] ", style.pid);
}

void LineFormatter::Append(const LogLine& line, std::string* out) {
  out->append(pid_prefix_);
  if (style_.time) {
    int64_t second = line.wall_us / 1'000'000;
    int64_t micros = line.wall_us % 1'000'000;
    if (micros < 0) {
      micros += 1'000'000;
      --second;
    }
    if (second != calendar_s_) {
      const time_t when = second;
      tm parts = {};
      if (style_.utc) {
        gmtime_r(&when, &parts);
      } else {
        localtime_r(&when, &parts);
      }
      calendar_ =
          absl::StrFormat("%04d/%02d/%02d %02d:%02d:%02d.", parts.tm_year + 1900, parts.tm_mon + 1,
                          parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
      calendar_s_ = second;
    }
    out->append(calendar_);
    char digits[7] = "000000";
    for (int i = 5; i >= 0; --i, micros /= 10) digits[i] = static_cast<char>('0' + micros % 10);
    digits[6] = ' ';
    out->append(digits, sizeof digits);
  }
  out->append((style_.color ? kColorLabels : kPlainLabels)[static_cast<size_t>(line.level)]);
  out->append(line.text);
  if (line.text.empty() || line.text.back() != '\n') out->push_back('\n');
}

bool RateLimiter::Allow(std::string_view text, int64_t now_us) {
  if (auto found = seen_us_.find(text); found != seen_us_.end()) {
    if (now_us - found->second < interval_us_) return false;
    found->second = now_us;
    return true;
  }
  if (seen_us_.size() >= kTextsMax) {
    std::erase_if(seen_us_, [&](const auto& seen) { return now_us - seen.second >= interval_us_; });
    if (seen_us_.size() >= kTextsMax) seen_us_.clear();
  }
  seen_us_.emplace(text, now_us);
  MR_DCHECK(seen_us_.size() <= kTextsMax);
  return true;
}

LogPort::LogPort(WallClock clock, Ship ship, LogVerbosity verbosity)
    : clock_(std::move(clock)), ship_(std::move(ship)), verbosity_(verbosity) {
  MR_CHECK(clock_ != nullptr);
  MR_CHECK(ship_ != nullptr);
}

void LogPort::Add(LogLevel level, std::string&& text) {
  batch_bytes_ += text.size();
  batch_.push_back({.level = level, .wall_us = clock_(), .text = std::move(text)});
  if (batch_.size() >= kBatchLinesMax || batch_bytes_ >= kBatchBytesMax) [[unlikely]]
    Flush();
}

void LogPort::WarnLimited(std::string line) {
  if (limiter_.Allow(line, clock_())) Add(LogLevel::kWarn, std::move(line));
}

void LogPort::ErrorLimited(std::string line) {
  if (limiter_.Allow(line, clock_())) Add(LogLevel::kError, std::move(line));
}

void LogPort::ErrorLimited(std::string_view who, std::string_view what) {
  if (limiter_.Allow(what, clock_())) Add(LogLevel::kError, absl::StrFormat("%s - %s", who, what));
}

void LogPort::Flush() {
  if (batch_.empty()) return;
  std::vector<LogLine> leaving = std::exchange(batch_, {});
  batch_bytes_ = 0;
  ship_(std::move(leaving));
}

Logger::Logger(WallClock clock) : clock_(std::move(clock)) {
  MR_CHECK(clock_ != nullptr);
  Close();
}

Logger::~Logger() = default;

absl::Status Logger::Open(const LogOptions& options) {
  absl::StatusOr<std::unique_ptr<LogSink>> sink = OpenSink(options);
  if (!sink.ok()) return std::move(sink).status();
  sink_ = std::move(*sink);
  options_ = options;
  return absl::OkStatus();
}

void Logger::Reopen() {
  if (options_.file.empty()) {
    Info("File log re-open ignored, not a file logger");
  } else if (sink_->Reopen()) {
    Info("File log re-opened");
  }
}

void Logger::Close() {
  // The verbosity stays: what is said after Close still follows the flags.
  const LogVerbosity verbosity = options_.verbosity;
  options_ = {};
  options_.verbosity = verbosity;
  sink_ = std::make_unique<FdSink>(STDERR_FILENO, StyleOf(options_, StderrIsTerminal()));
}

void Logger::Make(LogLevel level, std::string&& text) {
  const LogLine line = {.level = level, .wall_us = clock_(), .text = std::move(text)};
  Write(&line, 1);
}

void Logger::WarnLimited(std::string line) {
  if (limiter_.Allow(line, clock_())) Make(LogLevel::kWarn, std::move(line));
}

void Logger::ErrorLimited(std::string line) {
  if (limiter_.Allow(line, clock_())) Make(LogLevel::kError, std::move(line));
}

void Logger::WriteBatch(std::vector<LogLine>&& lines) {
  const std::vector<LogLine> batch = std::move(lines);
  if (!batch.empty()) Write(batch.data(), batch.size());
}

void Logger::Write(const LogLine* lines, size_t count) {
  const int64_t lost = sink_->Write(lines, count);
  MR_DCHECK(lost >= 0 && lost <= static_cast<int64_t>(count));
  lines_lost_ += lost;
  if (lost > 0 || lines_lost_ == lines_lost_reported_) return;
  // The sink works again: say what is missing.
  const LogLine report = {.level = LogLevel::kWarn,
                          .wall_us = lines[count - 1].wall_us,
                          .text = absl::StrFormat("%d log lines could not be written",
                                                  lines_lost_ - lines_lost_reported_)};
  if (sink_->Write(&report, 1) == 0) lines_lost_reported_ = lines_lost_;
}

}  // namespace millrace
