// SPDX-License-Identifier: Apache-2.0
// Limits: what one client and all clients may do (row G-22).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

namespace config {
struct Table;
}

struct LimitsOptions {
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

  static const config::Table kTable;
  bool operator==(const LimitsOptions&) const = default;
};

}  // namespace millrace
