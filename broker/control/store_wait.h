// SPDX-License-Identifier: Apache-2.0
// StoreWait: takes a store for this process, or waits for the server that has it to let it go, or says who has it.
// Owner:  caller; blocking, at start, before a shard runs.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "broker/log/log.h"
#include "proto/base/nanos.h"
#include "store/disk.h"

namespace millrace {

struct StoreWait {
  std::string directory;  // of the store, for people
  Nanos patience{0};      // 0: the answer is no at once
  int signal_fd = -1;     // SIGINT and SIGTERM end the waiting: kCancelled; a SIGHUP is pending again afterwards
};

// `disk` is open on the directory, and untouched when this fails.
absl::Status TakeStore(Disk& disk, const StoreWait& wait, Logger* log);

}  // namespace millrace
