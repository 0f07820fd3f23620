// SPDX-License-Identifier: Apache-2.0
#include "broker/io/sync_probe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr int kCommits = 16;
constexpr int kCommitsEnough = 5;  // fewer say more of the moment than of the device
constexpr double kAsFast = 1.05;
constexpr size_t kCommitBytes = 4096;
constexpr size_t kFileBytes = (kCommits + 1) * kCommitBytes;

absl::Status Failed(std::string_view what, const std::string& path) {
  return absl::InternalError(absl::StrFormat("%s %s: %s", what, path, std::strerror(errno)));
}

double NowUs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

bool Commit(int fd, SyncMethod method, char* block, int64_t offset) {
  iovec part{block, kCommitBytes};
  if (method == SyncMethod::kDirectDsync) return pwritev2(fd, &part, 1, offset, RWF_DSYNC) == kCommitBytes;
  return pwrite(fd, block, kCommitBytes, offset) == kCommitBytes && fdatasync(fd) == 0;
}

struct Measurement {
  double median_us = 0;  // 0: this way is refused here
  bool enough = true;    // worth remembering
};

Measurement Measure(const std::string& path, SyncMethod method, char* block, double patience_us) {
  const int flags = method == SyncMethod::kBufferedSync ? 0 : O_DIRECT;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | flags);
  if (fd < 0) return {};
  std::vector<double> took;
  const double end = NowUs() + patience_us;
  bool fine = Commit(fd, method, block, 0);  // warms up
  for (int i = 0; i < kCommits && fine; ++i) {
    block[0] = static_cast<char>(i + 1);
    const double start = NowUs();
    if (i > 0 && start >= end) break;
    fine = Commit(fd, method, block, static_cast<int64_t>(kCommitBytes) * (i + 1));
    took.push_back(NowUs() - start);
  }
  close(fd);
  if (!fine) return {};
  const auto middle = took.begin() + static_cast<ptrdiff_t>(took.size() / 2);
  std::nth_element(took.begin(), middle, took.end());
  return {*middle, took.size() >= kCommitsEnough};
}

bool Remembered(const std::string& path, SyncProbe* probe) {
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  char device[64];
  char kernel[128];
  int method = -1;
  int direct = -1;
  double us[3];
  const int fields = std::fscanf(file, "%63s %127s %d %d %lf %lf %lf", device, kernel, &method, &direct, &us[0], &us[1],
                                 &us[2]);
  std::fclose(file);
  if (fields != 7 || method < 0 || method > 2 || probe->device != device || probe->kernel != kernel) return false;
  probe->method = static_cast<SyncMethod>(method);
  probe->direct = direct == 1;
  probe->remembered = true;
  std::copy(us, us + 3, probe->median_us);
  return true;
}

}  // namespace

std::string_view SyncMethodName(SyncMethod method) {
  switch (method) {
    case SyncMethod::kDirectDsync:
      return "O_DIRECT + RWF_DSYNC";
    case SyncMethod::kDirectThenSync:
      return "O_DIRECT + fdatasync";
    case SyncMethod::kBufferedSync:
      return "buffered + fdatasync";
  }
  return "";
}

std::string Describe(const SyncProbe& probe) {
  std::string others;
  for (int i = 0; i < 3; ++i) {
    if (i == static_cast<int>(probe.method)) continue;
    const std::string_view name = SyncMethodName(static_cast<SyncMethod>(i));
    others += probe.median_us[i] == 0 ? absl::StrFormat("%s refused, ", name)
                                      : absl::StrFormat("%s %.0f µs, ", name, probe.median_us[i]);
  }
  return absl::StrFormat("%s, %.0f µs a commit (%sdevice %s)", SyncMethodName(probe.method),
                         probe.median_us[static_cast<int>(probe.method)], others, probe.device);
}

absl::StatusOr<SyncProbe> ProbeSync(const std::string& directory, bool again, double patience_us) {
  SyncProbe probe;
  struct stat info {};
  if (stat(directory.c_str(), &info) != 0) return Failed("look at", directory);
  probe.device = absl::StrFormat("%d:%d", major(info.st_dev), minor(info.st_dev));
  utsname system{};
  uname(&system);
  probe.kernel = system.release;
  const std::string memory = directory + "/sync_method";
  if (!again && Remembered(memory, &probe)) return probe;

  const std::string path = directory + "/sync_probe.tmp";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd < 0) return Failed("create", path);
  const std::vector<char> zeros(kFileBytes);
  const bool filled = write(fd, zeros.data(), kFileBytes) == static_cast<ssize_t>(kFileBytes) && fsync(fd) == 0;
  const bool full = !filled && (errno == ENOSPC || errno == EDQUOT);
  const absl::Status status = filled ? absl::OkStatus() : Failed("write", path);
  close(fd);
  bool enough = true;
  if (filled) {
    void* block = mmap(nullptr, kCommitBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MR_CHECK(block != MAP_FAILED);
    for (int i = 0; i < 3; ++i) {
      const Measurement measured =
          Measure(path, static_cast<SyncMethod>(i), static_cast<char*>(block), patience_us);
      probe.median_us[i] = measured.median_us;
      enough = enough && measured.enough;
    }
    munmap(block, kCommitBytes);
  }
  if (full) {  // what works everywhere, until there is room to measure
    const int direct = open(path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT);
    if (direct >= 0) close(direct);
    probe.direct = direct >= 0;
    probe.method = probe.direct ? SyncMethod::kDirectThenSync : SyncMethod::kBufferedSync;
  }
  unlink(path.c_str());
  if (full) return probe;
  if (!status.ok()) return status;

  const double dsync = probe.median_us[0];
  const double then_sync = probe.median_us[1];
  probe.direct = dsync > 0 || then_sync > 0;
  if (probe.direct) {
    // One request is a wake-up of the shard less, so it wins where both are as fast.
    const bool first = dsync > 0 && (then_sync == 0 || dsync <= kAsFast * then_sync);
    probe.method = first ? SyncMethod::kDirectDsync : SyncMethod::kDirectThenSync;
  } else if (probe.median_us[2] == 0) {
    return absl::InternalError(absl::StrFormat("%s: nothing can be written to stable storage here", directory));
  }
  if (!enough) return probe;
  // Losing this file costs a measurement: it is written without ceremony.
  if (FILE* file = std::fopen(memory.c_str(), "we"); file != nullptr) {
    std::fprintf(file, "%s %s %d %d %.1f %.1f %.1f\n", probe.device.c_str(), probe.kernel.c_str(),
                 static_cast<int>(probe.method), probe.direct ? 1 : 0, dsync, then_sync, probe.median_us[2]);
    std::fclose(file);
  }
  return probe;
}

}  // namespace millrace
