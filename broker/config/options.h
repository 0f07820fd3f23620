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

  int64_t recv_buffer_bytes_small = 4096;        // provided buffers for the many
  int64_t recv_buffer_bytes_large = 128 * 1024;  // and for busy connections
  int recv_buffers_small = 1024;                 // per shard, power of two
  int recv_buffers_large = 8;                    // per shard, power of two

  int64_t ring_bytes = 1024 * 1024;          // one ring between two shards, power of two
  int64_t mail_inline_bytes_max = 2048;      // above it a payload travels by reference
  int64_t send_bytes_max = 1024 * 1024;      // one send
  int64_t outbox_chunk_bytes = 64 * 1024;    // coalescing chunk of an outbox
  int64_t output_high_water = 1024 * 1024;   // backlog of one connection at which producers pause
  int64_t bytes_per_turn = 512 * 1024;       // received bytes a shard works off before it sends
  int uring_entries = 4096;                  // submission queue, power of two
  int64_t match_cache_entries = 65536;       // per shard, power of two
  bool operator==(const Tuning&) const = default;
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

  // --- JetStream: parsed, and warned about until it is built
  bool jetstream = false;
  std::string store_dir;

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
