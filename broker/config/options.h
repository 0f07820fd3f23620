// SPDX-License-Identifier: Apache-2.0
// Options: every setting of the broker as plain values, after file, flags and defaults are merged.
// Owner:  immutable once a configuration is applied; a reload makes a new one.
// Fields bear the names of the configuration keys (rows G-20..G-27); durations are nanoseconds.
// ParseStartup() in startup.h makes them; a default constructed one is right for tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/config/permissions.h"

namespace millrace {

inline constexpr int kDefaultPort = 4222;
inline constexpr int kRandomPort = -1;  // take any free port
inline constexpr int kShardsMax = 64;

// Our own tuning: block `millrace { ... }` in the file, the same names as flags.
struct Tuning {
  int shards = 1;           // set by ParseStartup to DefaultShardCount() (cpuset and cgroup quota)
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
  bool operator==(const Tuning&) const = default;
};

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

struct Options {
  // --- listen (G-20)
  std::string host = "0.0.0.0";
  int port = kDefaultPort;  // kRandomPort: any
  std::string client_advertise;  // "host:port" or "host"
  std::string server_name;       // empty: the server id
  std::vector<std::string> server_tags;  // lower case, unique, in order of first sight
  std::map<std::string, std::string> server_metadata;

  // --- logging (G-21)
  bool debug = false;
  bool trace = false;
  bool trace_verbose = false;  // traces the system account as well
  bool trace_headers = false;  // trace headers only
  bool logtime = true;
  bool logtime_utc = false;
  std::string log_file;
  int64_t logfile_size_limit = 0;  // bytes; 0: never rotate
  int64_t logfile_max_num = 0;     // 0: keep all
  bool syslog = false;
  std::string remote_syslog;   // "udp://host:port", "tcp://..."
  int max_traced_msg_len = 0;  // 0: unlimited
  int connect_error_reports = 3600;
  int reconnect_error_reports = 1;

  // --- limits (G-22)
  int64_t max_connections = 65536;  // < 0: none allowed (a configured 0 becomes -1)
  int64_t max_subscriptions = 0;    // per connection; 0: unlimited
  int max_sub_tokens = 0;           // 0: unlimited
  int64_t max_control_line = 4096;
  int64_t max_payload = 1024 * 1024;
  int64_t max_pending = 64 * 1024 * 1024;
  std::chrono::nanoseconds ping_interval = std::chrono::minutes(2);
  int ping_max = 2;
  std::chrono::nanoseconds write_deadline = std::chrono::seconds(10);
  enum class WriteTimeout : uint8_t { kDefault, kClose, kRetry };
  WriteTimeout write_timeout = WriteTimeout::kDefault;
  int max_closed_clients = 10000;  // < 0: none kept
  bool no_fast_producer_stall = false;
  bool disable_sublist_cache = false;
  bool no_header_support = false;

  // --- lifecycle (G-23)
  std::chrono::nanoseconds lame_duck_duration = std::chrono::minutes(2);
  std::chrono::nanoseconds lame_duck_grace_period = std::chrono::seconds(10);
  std::string pid_file;
  std::string ports_file_dir;
  int prof_port = 0;        // parsed; refused until built
  int prof_block_rate = 0;
  std::map<std::string, bool> feature_flags;

  // --- monitoring (G-24)
  std::string http_host;  // ParseStartup fills in `host` when the file has none
  int http_port = 0;      // 0: off, kRandomPort: any
  int https_port = 0;     // refused until TLS is built
  std::string http_base_path;

  // --- authorization (G-25..G-27)
  std::string username;
  std::string password;
  std::string authorization;  // the token; "" is none
  double auth_timeout = 2.0;  // seconds, as INFO and varz show it; 0 never survives ParseStartup
  std::vector<User> users;
  std::string no_auth_user;
  std::string system_account;

  JetStreamOptions jetstream;

  // --- where it came from
  std::string config_file;
  std::string config_digest;  // "sha256:..." or empty without a file
  bool check_config = false;  // -t

  Tuning tuning;

  bool operator==(const Options&) const = default;

  // True when a CONNECT must bring credentials.
  bool AuthRequired() const {
    return !username.empty() || !authorization.empty() || !users.empty();
  }
  std::chrono::nanoseconds AuthTimeout() const {
    return std::chrono::nanoseconds(static_cast<int64_t>(auth_timeout * 1e9));
  }
};

}  // namespace millrace
