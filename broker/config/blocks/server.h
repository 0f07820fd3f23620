// SPDX-License-Identifier: Apache-2.0
// Server options: where clients connect, and what the server calls itself (row G-20).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace millrace {

namespace config {
struct Table;
}

inline constexpr int kDefaultPort = 4222;
inline constexpr int kRandomPort = -1;  // take any free port

struct ServerOptions {
  std::string host = "0.0.0.0";
  int port = kDefaultPort;       // kRandomPort: any
  std::string client_advertise;  // "host:port" or "host"
  std::string server_name;       // empty: the server id
  std::vector<std::string> server_tags;  // lower case, unique, in order of first sight
  std::map<std::string, std::string> server_metadata;
  std::map<std::string, bool> feature_flags;

  static const config::Table kTable;
  bool operator==(const ServerOptions&) const = default;
};

}  // namespace millrace
