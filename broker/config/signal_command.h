// SPDX-License-Identifier: Apache-2.0
// Signal command: `--signal reload=/run/nats.pid` (row F-23).
// Owner:  process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace millrace::config {

// Other processes whose name contains "nats-server" or "millrace", ascending.
std::vector<int> FindServers();

// What the processes are and how they are told; replaced in tests.
struct SignalTargets {
  std::vector<int> (*find)() = FindServers;
  int (*kill)(int pid, int signal) = nullptr;  // null: kill(2); 0 or an errno
};

// "<command>[=<pid>]": <pid> is a process id, a beginning of ids followed by '*', or the path of a
// file with a process id. Without it there must be exactly one server. The error's text is the
// peer's.
absl::Status SendSignal(std::string_view argument, const SignalTargets& targets = {});

}  // namespace millrace::config
