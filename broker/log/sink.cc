// SPDX-License-Identifier: Apache-2.0
#include "broker/log/sink.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

constexpr int kStalledPipeMs = 1000;  // a reader of our stderr that sleeps longer loses lines

// Writes all of it; false when it could not.
bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd waiting = {.fd = fd, .events = POLLOUT, .revents = 0};
      if (poll(&waiting, 1, kStalledPipeMs) != 1) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// "2026.11.23.22.38.44.123456789" in local time.
std::string BackupStamp(int64_t wall_ns) {
  const time_t when = wall_ns / 1'000'000'000;
  tm parts = {};
  localtime_r(&when, &parts);
  return absl::StrFormat("%04d.%02d.%02d.%02d.%02d.%02d.%09d", parts.tm_year + 1900,
                         parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                         wall_ns % 1'000'000'000);
}

bool IsBackupStamp(std::string_view text) {
  constexpr std::string_view kShape = "dddd.dd.dd.dd.dd.dd.";
  if (text.size() <= kShape.size() || text.size() > kShape.size() + 9) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (i < kShape.size() && kShape[i] == '.' ? text[i] != '.' : !digit) return false;
  }
  return true;
}

}  // namespace

int64_t FdSink::Write(const LogLine* lines, size_t count) {
  out_.clear();
  for (size_t i = 0; i < count; ++i) formatter_.Append(lines[i], &out_);
  return WriteAll(fd_, out_) ? 0 : static_cast<int64_t>(count);
}

FileSink::FileSink(std::string path, LogStyle style, int64_t bytes_max, int64_t files_max)
    : path_(std::move(path)),
      bytes_max_(bytes_max),
      files_max_(files_max),
      formatter_(style),
      limit_(bytes_max) {}

absl::StatusOr<std::unique_ptr<FileSink>> FileSink::Open(const std::string& path, LogStyle style,
                                                         int64_t bytes_max, int64_t files_max) {
  std::unique_ptr<FileSink> sink(new FileSink(path, style, bytes_max, files_max));
  MR_RETURN_IF_ERROR(sink->OpenFile());
  return sink;
}

FileSink::~FileSink() {
  if (fd_ >= 0) close(fd_);
}

absl::Status FileSink::OpenFile() {
  MR_CHECK(fd_ < 0);
  const int fd = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0)
    return absl::ErrnoToStatus(errno, absl::StrFormat("error opening file: open %s", path_));
  struct stat info;
  bytes_ = fstat(fd, &info) == 0 ? info.st_size : 0;
  fd_ = fd;
  return absl::OkStatus();
}

int64_t FileSink::WriteOut(int64_t lines) {
  if (out_.empty()) return 0;
  // After a failed reopen each write tries again: the directory may have come back.
  const bool written = (fd_ >= 0 || OpenFile().ok()) && WriteAll(fd_, out_);
  if (written) bytes_ += static_cast<int64_t>(out_.size());
  out_.clear();
  return written ? 0 : lines;
}

int64_t FileSink::Write(const LogLine* lines, size_t count) {
  int64_t lost = 0, held = 0;
  for (size_t i = 0; i < count; ++i) {
    formatter_.Append(lines[i], &out_);
    ++held;
    // The line that passes the limit still belongs to the old file.
    if (limit_ > 0 && bytes_ + static_cast<int64_t>(out_.size()) > limit_) {
      lost += WriteOut(std::exchange(held, 0));
      if (bytes_ > limit_) Rotate(lines[i].wall_us);
    }
  }
  return lost + WriteOut(held);
}

bool FileSink::Reopen() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (absl::Status opened = OpenFile(); !opened.ok())
    std::fprintf(stderr, "%s\n", std::string(opened.message()).c_str());
  return true;
}

void FileSink::Note(LogLevel level, int64_t wall_us, std::string text) {
  formatter_.Append({.level = level, .wall_us = wall_us, .text = std::move(text)}, &out_);
  WriteOut(0);
}

void FileSink::Rotate(int64_t wall_us) {
  int64_t wall_ns = wall_us * 1000;
  std::string backup = path_ + "." + BackupStamp(wall_ns);
  // Two rotations within one microsecond would otherwise overwrite each other.
  for (int tries = 0; tries < 999 && access(backup.c_str(), F_OK) == 0; ++tries)
    backup = path_ + "." + BackupStamp(++wall_ns);
  if (rename(path_.c_str(), backup.c_str()) != 0 && errno != ENOENT) {
    const int error = errno;
    limit_ *= 2;
    Note(LogLevel::kError, wall_us,
         absl::StrFormat(
             "Unable to rename logfile for rotation (%s), will attempt next rotation at size %d",
             std::strerror(error), limit_));
    return;
  }
  Reopen();
  limit_ = bytes_max_;
  Note(LogLevel::kInfo, wall_us, absl::StrFormat("Rotated log, backup saved as \"%s\"", backup));
  if (files_max_ > 0) Purge(wall_us);
}

void FileSink::Purge(int64_t wall_us) {
  const size_t slash = path_.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const std::string prefix = (slash == std::string::npos ? path_ : path_.substr(slash + 1)) + ".";
  std::vector<std::string> backups;
  if (DIR* listing = opendir(dir.c_str())) {
    while (const dirent* entry = readdir(listing)) {
      const std::string_view name = entry->d_name;
      if (name.starts_with(prefix) && IsBackupStamp(name.substr(prefix.size())))
        backups.emplace_back(name);
    }
    closedir(listing);
  }
  const size_t keep = static_cast<size_t>(files_max_ - 1);
  if (backups.size() <= keep) return;
  std::sort(backups.begin(), backups.end());  // the stamp sorts by age
  backups.resize(backups.size() - keep);
  for (const std::string& name : backups) {
    const std::string full = slash == std::string::npos ? name : dir + name;
    if (unlink(full.c_str()) != 0) {
      Note(LogLevel::kError, wall_us,
           absl::StrFormat(
               "Unable to remove backup log file \"%s\" (%s), will attempt next rotation", name,
               std::strerror(errno)));
      return;
    }
    Note(LogLevel::kInfo, wall_us, absl::StrFormat("Purged log file \"%s\"", name));
  }
}

}  // namespace millrace
