// SPDX-License-Identifier: Apache-2.0
// Sinks: where a Logger's lines go.
// Owner:  control thread.
// Errors: opening gives a Status; Write says how many of its lines were lost.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/log/log.h"

namespace millrace {

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual int64_t Write(const LogLine* lines, size_t count) = 0;  // returns lines lost
  // A file that was moved away is opened anew. False: this sink has no file.
  virtual bool Reopen() { return false; }
};

// Drops everything: the "no log" option.
class NullSink : public LogSink {
 public:
  int64_t Write(const LogLine*, size_t) override { return 0; }
};

// Lines to a descriptor that is not ours to close.
class FdSink : public LogSink {
 public:
  FdSink(int fd, LogStyle style) : fd_(fd), formatter_(style) {}
  int64_t Write(const LogLine* lines, size_t count) override;

 private:
  int fd_;
  LineFormatter formatter_;
  std::string out_;
};

// Lines to a file (mode 0640, appended). When it has grown past bytes_max it is renamed to
// <path>.YYYY.MM.DD.HH.MM.SS.NNNNNNNNN (local time) and begun anew; files_max - 1 of these stay.
class FileSink : public LogSink {
 public:
  static absl::StatusOr<std::unique_ptr<FileSink>> Open(const std::string& path, LogStyle style,
                                                        int64_t bytes_max, int64_t files_max);
  ~FileSink() override;
  int64_t Write(const LogLine* lines, size_t count) override;
  bool Reopen() override;

 private:
  FileSink(std::string path, LogStyle style, int64_t bytes_max, int64_t files_max);

  absl::Status OpenFile();
  int64_t WriteOut(int64_t lines);  // writes out_; returns `lines` when it failed
  void Rotate(int64_t wall_us);
  void Purge(int64_t wall_us);
  void Note(LogLevel level, int64_t wall_us, std::string text);

  const std::string path_;
  const int64_t bytes_max_, files_max_;
  LineFormatter formatter_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  int64_t limit_ = 0;  // bytes_max_, doubled after a failed rotation
  std::string out_;
};

// Lines to the local syslog or a remote one. Never waits for a datagram socket; waits for a stream
// socket at most kWaitMs, then loses the line and tries a new connection kRetryUs later at the
// earliest.
class SyslogSink : public LogSink {
 public:
  static constexpr int kWaitMs = 200;
  static constexpr int64_t kRetryUs = 1'000'000;

  static absl::StatusOr<std::unique_ptr<SyslogSink>> OpenLocal();
  // udp://host:port, tcp://host:port, unix:///path
  static absl::StatusOr<std::unique_ptr<SyslogSink>> OpenRemote(std::string_view url);
  ~SyslogSink() override;
  int64_t Write(const LogLine* lines, size_t count) override;

  struct Address {
    int family = 0, type = 0;
    sockaddr_storage storage = {};
    socklen_t bytes = 0;
  };

 private:
  enum class Framing : uint8_t { kLocal, kRemote };

  SyslogSink(std::vector<Address> addresses, Framing framing, int facility);
  bool Connect();
  bool Send(std::string_view message);
  void Format(const LogLine& line);

  const std::vector<Address> addresses_;
  const Framing framing_;
  const int facility_;
  const std::string tag_, host_;
  int fd_ = -1;
  int64_t retry_at_us_ = 0;
  std::string out_;
};

}  // namespace millrace
