// SPDX-License-Identifier: Apache-2.0
// Listener: opens listening sockets and names the two ends of accepted ones.
// Owner:  caller (pure system calls, start-up and hand-off only).  Errors: Status with the address in it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace millrace {

struct ListeningSocket {
  int fd = -1;
  std::string host;  // as bound, without brackets
  int port = 0;      // the real one when the kernel chose it
};

// Resolves `host` ("", "0.0.0.0", "::", a name) and listens. `port` -1 or 0 lets the kernel choose. Any-address listens
// on both families where the machine has IPv6.
absl::StatusOr<ListeningSocket> Listen(const std::string& host, int port, int backlog);

struct PeerName {
  std::string ip;
  uint16_t port = 0;
};
PeerName PeerOf(int fd);

// TCP_NODELAY.
void TuneSocket(int fd);
// Bytes that the other end has confirmed since the connection began; 0 where nobody counts them.
uint64_t ConfirmedBytes(int fd);

}  // namespace millrace
