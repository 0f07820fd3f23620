// SPDX-License-Identifier: Apache-2.0
// Tuning: what of shards, buffers and rings can be set.
// Owner:  immutable once a configuration is applied.
#pragma once

#include <cstdint>

namespace millrace {

namespace config {
struct Table;
}

inline constexpr int kShardsMax = 64;

// Our own tuning: block `millrace { ... }` in the file, the same names as flags.
struct Tuning {
  int shards = 1;           // ParseStartup begins with DefaultShardCount() (cpuset and cgroup quota)
  bool pin_shards = true;   // one CPU per shard; without effect when shards is 1
  int spin_us = 100;        // longest poll before blocking, 0..1000, where polling pays; 0: off
  int batch_wait_us = 0;    // shortest wait, 0..10000, where waking for each message helps nobody; 0: off

  int64_t recv_buffer_bytes_small = 4096;        // provided buffers for the many
  int64_t recv_buffer_bytes_large = 128 * 1024;  // and for busy connections
  int recv_buffers_small = 1024;                 // per shard, power of two
  int recv_buffers_large = 8;                    // per shard, power of two

  int64_t ring_bytes = 1024 * 1024;          // one ring between two shards, power of two
  int64_t mail_inline_bytes_max = 2048;      // above it a payload travels by reference
  int64_t send_bytes_max = 1024 * 1024;      // one send
  int64_t send_bytes_shared = 65536;         // the same while connections that send little are served as well
  int64_t outbox_chunk_bytes = 64 * 1024;    // coalescing chunk of an outbox
  int64_t output_high_water = 1024 * 1024;   // backlog of one connection at which producers pause
  int64_t bytes_per_turn = 128 * 1024;       // received bytes a shard works off before it sends
  int uring_entries = 4096;                  // submission queue, power of two
  int64_t match_cache_entries = 65536;       // per shard, power of two

  int auth_helpers = 1;      // threads that compare passwords with bcrypt hashes
  int auth_checks_max = 64;  // such comparisons that may wait for them
  bool operator==(const Tuning&) const = default;
};

struct TuningBlock {
  Tuning tuning;

  static const config::Table kTable;
  bool operator==(const TuningBlock&) const = default;
};

}  // namespace millrace
