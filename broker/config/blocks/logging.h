// SPDX-License-Identifier: Apache-2.0
// Logging options: what is logged, and where to (row G-21).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <cstdint>
#include <string>

namespace millrace {

namespace config {
struct Table;
}

struct LoggingOptions {
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

  static const config::Table kTable;
  bool operator==(const LoggingOptions&) const = default;
};

}  // namespace millrace
