// SPDX-License-Identifier: Apache-2.0
// Lifecycle options: how the server ends, and the files that tell of it (row G-23).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <chrono>
#include <string>

namespace millrace {

namespace config {
struct Table;
}

struct LifecycleOptions {
  std::chrono::nanoseconds lame_duck_duration = std::chrono::minutes(2);
  std::chrono::nanoseconds lame_duck_grace_period = std::chrono::seconds(10);
  std::string pid_file;
  std::string ports_file_dir;
  int prof_port = 0;  // parsed; refused until built
  int prof_block_rate = 0;

  static const config::Table kTable;
  bool operator==(const LifecycleOptions&) const = default;
};

}  // namespace millrace
