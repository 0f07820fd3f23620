// SPDX-License-Identifier: Apache-2.0
// ServerObject: what the server says of itself in each of its events and answers, the member "server" (E-01).
// Owner:  caller (a value); made again with each configuration.
// Format: compact JSON, the keys in the peer's order: all but the last two stay the same between two configurations.
#pragma once

#include <cstdint>
#include <string>

#include "broker/config/options.h"
#include "broker/session/info.h"

namespace millrace {

class ServerObject {
 public:
  ServerObject() = default;
  ServerObject(const ServerInfo& info, const Options& options);

  // `sequence` counts what this server has said, in whatever account.
  std::string Json(uint64_t sequence, int64_t wall_ns) const;

 private:
  std::string constant_;  // from the brace to the comma before "seq"
};

}  // namespace millrace
