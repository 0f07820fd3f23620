// SPDX-License-Identifier: Apache-2.0
// ShardThread: one shard with its ring, what it stores, and its thread. The only place that starts threads.
// Owner:  control thread; what `shard` and `io` point at is the thread's own between Start and Join.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/options.h"
#include "broker/io/uring.h"
#include "broker/jetstream/engine/jetstream_part.h"
#include "broker/mesh/mesh.h"
#include "broker/shard.h"
#include "broker/system/services/system_services.h"

namespace millrace {

// A control line travels between shards in one record, which may take half a ring at most.
uint32_t RingBytes(const Options& options);

class ShardThread {
 public:
  struct Plan {
    uint32_t index = 0;
    // As it is now: a reload, which may come before the shard is there, tells it of another.
    const LoadedConfig* config = nullptr;
    std::optional<JetStreamEngineOptions> engine;  // when JetStream lives on it
    std::optional<SystemServices::Options> services;  // when those of the system account live on it
    std::vector<int> ring_fds;                     // of all participants
    int cpu = -1;                                  // to stay on; -1: any
    SharedCounts* account_connections = nullptr;   // lives longer than the thread
    SharedSequence* notices = nullptr;             // the same
  };

  // Makes the ring.
  absl::Status Open(const Tuning& tuning);
  void Start(Plan plan, Mesh& mesh);
  void Join() { thread_.join(); }

  UringIo& io() { return *io_; }
  DiskHome& home() { return home_; }
  // nullptr before it runs. For what runs on its thread, or before Start.
  Shard* shard() { return shard_.get(); }

 private:
  void Run(const Plan& plan, Mesh& mesh, const ShardOptions& options);

  std::unique_ptr<UringIo> io_;
  DiskHome home_;  // of the shard that JetStream lives on
  std::unique_ptr<Shard> shard_;
  std::thread thread_;
};

// A processor for each shard, when there are enough and they are to be pinned; else -1 for each.
std::vector<int> ChooseCpus(const Tuning& tuning);

}  // namespace millrace
