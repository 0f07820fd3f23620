// SPDX-License-Identifier: Apache-2.0
// RunFiles: what a running server leaves on disk for others: its process id, and where it listens.
// Owner:  control thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "broker/monitor/process.h"
#include "broker/net/listener.h"

namespace millrace {

class RunFiles {
 public:
  // `argv0` is in the name of the ports file.
  explicit RunFiles(std::string argv0) : argv0_(std::move(argv0)) {}

  // The peer leaves it behind at the end, and does not start without it. Nothing for an empty path.
  absl::Status WritePid(const std::string& path);
  // Nothing for an empty directory. `monitor`: nullptr when there is none.
  absl::Status WritePorts(const std::string& directory, const ListeningSocket& clients, const ListeningSocket* monitor);
  void RemovePorts() { ports_.Remove().IgnoreError(); }

 private:
  const std::string argv0_;
  RunFile pid_;
  RunFile ports_;
};

}  // namespace millrace
