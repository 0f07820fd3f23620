// SPDX-License-Identifier: Apache-2.0
// JetStream options: the block `jetstream` and the blocks within (rows J-01, J-05, J-72), and our own settings of it.
// Owner:  immutable once a configuration is applied.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

namespace config {
struct Table;

std::string_view CipherName(std::string_view cipher);  // as the peer writes it: "ChaCha20-Poly1305", "AES-GCM"
}  // namespace config

// What acknowledges a message that is to be stored: the disk, or the memory of this process.
enum class Durability : uint8_t { kDurable, kAsync };

// Block `jetstream { limits { ... } }`: what streams and consumers may ask for. 0: no limit of the server.
struct JetStreamLimits {
  int64_t max_request_batch = 0;  // of one pull
  int64_t max_ack_pending = 0;    // of one consumer
  int64_t max_ha_assets = 0;      // parsed; counts in clusters only
  int64_t default_max_consumers = 1000;  // of a stream that says nothing; < 0: unlimited
  std::chrono::nanoseconds duplicate_window{0};
  // `batch { ... }`; 0: the built-in limits of nats-server
  int64_t batch_max_inflight_per_stream = 0;
  int64_t batch_max_inflight_total = 0;
  int64_t batch_max_msgs = 0;
  std::chrono::nanoseconds batch_timeout{0};
  bool operator==(const JetStreamLimits&) const = default;
};

// Block `jetstream { ... }`, as configured. What of it depends on the machine (how much memory, where to store) is
// worked out by ResolveJetStream() in broker/jetstream/engine/settings.h.
struct JetStreamOptions {
  bool enabled = false;
  bool strict = true;             // API requests with unknown fields are refused
  std::string store_dir;          // also a key of its own; "": a temporary directory
  int64_t max_memory_store = -1;  // bytes; < 0: by the memory of the machine; 0: nothing may be stored
  int64_t max_file_store = -1;    // bytes; < 0: by the space of the disk; 0: nothing may be stored
  std::chrono::nanoseconds sync_interval = std::chrono::minutes(2);
  bool sync_always = false;
  std::string domain;
  std::string extension_hint;  // parsed; counts with leafnodes only
  std::string unique_tag;      // lower case; parsed; counts in clusters only
  std::string key;             // seals what is stored; empty: nothing is
  std::string prev_key;        // opens the store when `key` does not, which then does
  std::string cipher = "chacha";       // or "aes"
  int64_t max_buffered_size = 0;       // bytes waiting to enter one stream; 0: the built-in limit
  int64_t max_buffered_msgs = 0;       // messages, the same
  int64_t request_queue_limit = 10000;  // API requests that wait
  int64_t info_queue_limit = 0;         // information requests that wait; 0: as many as the former
  int64_t max_concurrent_io = 4096;
  JetStreamLimits limits;

  // Ours: block `millrace { js_... }` and flags.
  Durability durability = Durability::kDurable;  // of streams that do not say (persist_mode)
  int64_t wal_file_bytes = 16 * 1024 * 1024;     // one file of the write-ahead log
  int64_t wal_files = 3;                         // kept, in use and ready
  int64_t block_cache_bytes = 16 * 1024 * 1024;  // of stored messages, per store
  int64_t scrub_bytes_per_second = 8 * 1024 * 1024;  // read in the background to find damage; 0: nothing
  int64_t block_bytes = 256 * 1024;              // of one block of messages on disk
  std::chrono::nanoseconds store_lock_wait{0};   // for another server to let the store go; 0: not at all
  bool operator==(const JetStreamOptions&) const = default;
};

struct JetStreamBlock {
  JetStreamOptions jetstream;

  static const config::Table kTable;
  bool operator==(const JetStreamBlock&) const = default;
};

}  // namespace millrace
