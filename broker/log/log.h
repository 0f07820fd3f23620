// SPDX-License-Identifier: Apache-2.0
// Log: the lines an operator reads. A Logger writes them, a LogPort collects them where writing is
//      not allowed.
// Owner:  Logger: control thread. LogPort: shard. The rest: caller (pure).
// Threads: nothing here is shared. A shard makes lines in its own LogPort; LogPort::Flush hands the
//         batch to the function that the core supplied (mail to the control thread), and the
//         control thread gives it to Logger::WriteBatch.
// Format: "[pid] YYYY/MM/DD HH:MM:SS.uuuuuu [LVL] text\n" (F-20); the time is that of making.
// Errors: opening a destination returns a Status; lines that a write loses are counted and
// reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace millrace {

enum class LogLevel : uint8_t { kInfo, kDebug, kWarn, kError, kFatal, kTrace };

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  int64_t wall_us = 0;  // microseconds since 1970-01-01 UTC
  std::string text;     // one line, no trailing newline

  bool operator==(const LogLine&) const = default;
};

// Microseconds since 1970-01-01 UTC.
using WallClock = std::function<int64_t()>;

// Which of the optional levels are on. INF, WRN, ERR and FTL always are.
struct LogVerbosity {
  bool debug = false;
  bool trace = false;
  bool trace_verbose = false;  // -VV: trace the system account too

  bool operator==(const LogVerbosity&) const = default;
};

// What the flags and the config file say. The first that is set of none, file, remote_syslog,
// syslog wins; else stderr.
struct LogOptions {
  LogVerbosity verbosity;
  bool none = false;           // no log at all
  bool time = true;            // logtime
  bool utc = false;            // logtime_utc; local time otherwise
  std::string file;            // log_file
  int64_t file_bytes_max = 0;  // logfile_size_limit; 0: no rotation
  int64_t files_max = 0;       // logfile_max_num, the live file included; 0: keep all
  bool syslog = false;         // the local /dev/log
  std::string remote_syslog;   // udp://host:port, tcp://host:port, unix:///path

  bool operator==(const LogOptions&) const = default;
};

// How FormatLine prints.
struct LogStyle {
  int64_t pid = 0;  // 0: no "[pid] "
  bool time = true;
  bool utc = false;
  bool color = false;
};

// Turns lines into text. Keeps the calendar of the last second: it makes the next line cheap.
class LineFormatter {
 public:
  explicit LineFormatter(LogStyle style);
  // Appends one formatted line, newline included, to `out`.
  void Append(const LogLine& line, std::string* out);

 private:
  LogStyle style_;
  std::string pid_prefix_;          // "[123] " or empty
  int64_t calendar_s_ = INT64_MIN;  // the second that calendar_ shows
  std::string calendar_;            // "2026/11/23 22:38:44."
};

// Lets a text through once per interval (F-35). At most kTextsMax texts are remembered; past that
// all are forgotten, so memory stays bounded and a flood of distinct texts is not held back.
class RateLimiter {
 public:
  static constexpr size_t kTextsMax = 1024;

  explicit RateLimiter(int64_t interval_us = 1'000'000) : interval_us_(interval_us) {}

  bool Allow(std::string_view text, int64_t now_us);

 private:
  int64_t interval_us_;
  std::map<std::string, int64_t, std::less<>> seen_us_;
};

// A shard's end of the log. No lock, no system call: lines pile up here and leave in one batch.
class LogPort {
 public:
  using Ship = std::function<void(std::vector<LogLine>&&)>;
  // A batch leaves early when it reaches one of these: a traced flood stays bounded within a turn.
  static constexpr size_t kBatchLinesMax = 1024;
  static constexpr size_t kBatchBytesMax = 256 * 1024;

  LogPort(WallClock clock, Ship ship, LogVerbosity verbosity);
  LogPort(const LogPort&) = delete;
  LogPort& operator=(const LogPort&) = delete;

  // Ask before building a line that may not be wanted.
  bool debug() const { return verbosity_.debug; }
  bool trace() const { return verbosity_.trace; }
  bool trace_verbose() const { return verbosity_.trace_verbose; }
  void SetVerbosity(LogVerbosity verbosity) { verbosity_ = verbosity; }

  void Info(std::string line) { Add(LogLevel::kInfo, std::move(line)); }
  void Warn(std::string line) { Add(LogLevel::kWarn, std::move(line)); }
  void Error(std::string line) { Add(LogLevel::kError, std::move(line)); }
  void Debug(std::string line) {
    if (verbosity_.debug) Add(LogLevel::kDebug, std::move(line));
  }
  void Trace(std::string line) {
    if (verbosity_.trace) Add(LogLevel::kTrace, std::move(line));
  }
  // The same text at most once a second.
  void WarnLimited(std::string line);
  void ErrorLimited(std::string line);
  // "who - what", limited by `what`: a hundred refused clients are one line.
  void ErrorLimited(std::string_view who, std::string_view what);

  // Once a turn: ships what was made since the last call, if anything.
  void Flush();

  size_t pending_lines() const { return batch_.size(); }

 private:
  void Add(LogLevel level, std::string&& text);

  const WallClock clock_;
  const Ship ship_;
  LogVerbosity verbosity_;
  RateLimiter limiter_;
  std::vector<LogLine> batch_;
  size_t batch_bytes_ = 0;
};

class LogSink;  // where bytes go: stderr, a file, syslog (broker/log/sink.h)

// Writes lines. One per process, on the control thread.
class Logger {
 public:
  explicit Logger(WallClock clock);  // to stderr with default options until Open
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // Start-up and reload: switches to the destination these options name. On error the old one
  // stays.
  absl::Status Open(const LogOptions& options);
  // SIGUSR1: closes and reopens the log file, and says so; or says that there is none.
  void Reopen();
  // Flushes and closes; later lines go to stderr.
  void Close();

  bool debug() const { return options_.verbosity.debug; }
  bool trace() const { return options_.verbosity.trace; }
  bool trace_verbose() const { return options_.verbosity.trace_verbose; }
  LogVerbosity verbosity() const { return options_.verbosity; }
  void SetVerbosity(LogVerbosity verbosity) { options_.verbosity = verbosity; }

  void Info(std::string line) { Make(LogLevel::kInfo, std::move(line)); }
  void Warn(std::string line) { Make(LogLevel::kWarn, std::move(line)); }
  void Error(std::string line) { Make(LogLevel::kError, std::move(line)); }
  // The caller exits with status 1 afterwards.
  void Fatal(std::string line) { Make(LogLevel::kFatal, std::move(line)); }
  void Debug(std::string line) {
    if (options_.verbosity.debug) Make(LogLevel::kDebug, std::move(line));
  }
  void Trace(std::string line) {
    if (options_.verbosity.trace) Make(LogLevel::kTrace, std::move(line));
  }
  void WarnLimited(std::string line);
  void ErrorLimited(std::string line);

  // Lines of a shard; written as they are, whatever the verbosity is by now; one write per batch.
  void WriteBatch(std::vector<LogLine>&& lines);

  int64_t lines_lost() const { return lines_lost_; }

 private:
  void Make(LogLevel level, std::string&& text);
  void Write(const LogLine* lines, size_t count);

  const WallClock clock_;
  LogOptions options_;
  RateLimiter limiter_;
  std::unique_ptr<LogSink> sink_;
  int64_t lines_lost_ = 0;
  int64_t lines_lost_reported_ = 0;
};

}  // namespace millrace
