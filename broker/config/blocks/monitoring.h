// SPDX-License-Identifier: Apache-2.0
// Monitoring options: where the pages are served (row G-24).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <string>

namespace millrace {

namespace config {
struct Table;
}

struct MonitoringOptions {
  std::string http_host;  // that of clients when the file has none
  int http_port = 0;      // 0: off, kRandomPort: any
  int https_port = 0;     // refused until TLS is built
  std::string http_base_path;

  static const config::Table kTable;
  bool operator==(const MonitoringOptions&) const = default;
};

}  // namespace millrace
