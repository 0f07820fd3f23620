// SPDX-License-Identifier: Apache-2.0
// ProbeSync: which way of getting bytes to stable storage is the fastest on this device, measured once and remembered.
// Owner:  caller; blocking, at start.
// 16 commits of each way, or as many as fit into `patience_us`: on a busy disk a commit takes tens of milliseconds, and
// those who start a server wait seconds at most. What was cut short to fewer than 5 is used but not remembered.
// Direct I/O wins whenever it works: after a failed flush the page cache claims to be clean.
// The buffered way is measured for the report, and used where direct I/O is refused (tmpfs, some network file systems).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace {

enum class SyncMethod : uint8_t {
  kDirectDsync,      // O_DIRECT and RWF_DSYNC: one request; a device with FUA or no volatile cache needs no flush
  kDirectThenSync,   // O_DIRECT, linked to fdatasync
  kBufferedSync,     // page cache and fdatasync
};

struct SyncProbe {
  SyncMethod method = SyncMethod::kBufferedSync;
  bool direct = false;         // O_DIRECT works here
  bool remembered = false;     // from an earlier start
  double median_us[3] = {0, 0, 0};  // of a 4 KiB commit, by SyncMethod; 0: not possible
  std::string device;          // "254:0"
  std::string kernel;          // uname -r
};

std::string_view SyncMethodName(SyncMethod method);
// One line for the banner and /varz: "O_DIRECT + RWF_DSYNC, 130 µs (fdatasync 150, buffered 170; device 254:0)".
std::string Describe(const SyncProbe& probe);

// `directory` exists and is writable. The result is kept in it, in the file sync_method, and measured again when device
// or kernel change, or when `again`. `patience_us` is for each way; each commits once even if it is 0.
inline constexpr double kSyncProbePatienceUs = 100e3;
absl::StatusOr<SyncProbe> ProbeSync(const std::string& directory, bool again,
                                    double patience_us = kSyncProbePatienceUs);

}  // namespace millrace
