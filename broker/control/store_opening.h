// SPDX-License-Identifier: Apache-2.0
// StoreOpening: from a store directory to what a shard can run JetStream on: the lock, the keys, what is stored.
// Owner:  control thread, during the start.  Lock, then Open; each says in the log what the peer says.
// Errors: the texts that end the start.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "broker/config/options.h"
#include "broker/control/shard_thread.h"
#include "broker/jetstream/engine/settings.h"
#include "broker/log/log.h"
#include "broker/mesh/counters.h"

namespace millrace {

class StoreOpening {
 public:
  // `home`: the shard that JetStream lives on, with its ring; `counters` are its. Both stay, as `log` does.
  StoreOpening(const Options& options, Logger& log, ShardThread& home, ShardCounters& counters)
      : options_(options), log_(log), thread_(home), home_(home.home()), counters_(counters) {}

  // Before anything of the store is read, and for as long as this process lives or lame duck mode lets it go.
  // `signal_fd`: SIGINT and SIGTERM end the waiting for it (kCancelled).
  absl::Status Lock(int signal_fd);
  // Where and how much JetStream stores, and opens what is there.
  absl::Status Open(const AccountTable& accounts, JetStreamSettings* settings);
  // Says how long it took: when the shard has it, and also when it could not start, as the peer does.
  void LogStarted();

 private:
  void LogStarting();
  absl::Status OpenStore(JetStreamSettings* settings);
  absl::Status OpenKeys();
  absl::Status OpenSegments();
  // Before the shard runs the control thread's log takes it.
  void LogError(const std::string& line);

  const Options& options_;
  Logger& log_;
  ShardThread& thread_;
  DiskHome& home_;
  ShardCounters& counters_;
  int64_t start_ns_ = 0;
};

}  // namespace millrace
