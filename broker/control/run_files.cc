// SPDX-License-Identifier: Apache-2.0
#include "broker/control/run_files.h"

#include <unistd.h>

#include "absl/strings/str_format.h"

namespace millrace {

absl::Status RunFiles::WritePid(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  absl::Status status = pid_.Write(path, PidFileContent(getpid()), kPidFileMode);
  pid_.Release();
  return status;
}

absl::Status RunFiles::WritePorts(const std::string& directory, const ListeningSocket& clients,
                                  const ListeningSocket* monitor) {
  if (directory.empty()) return absl::OkStatus();
  PortsInfo ports;
  ports.nats.push_back(BoundListener{"nats", clients.host, clients.port});
  if (monitor != nullptr) ports.monitoring.push_back(BoundListener{"http", monitor->host, monitor->port});
  const std::string path = PortsFilePath(directory, argv0_, getpid());
  const absl::Status status = ports_.Write(path, PortsFileContent(ports), kPortsFileMode);
  if (status.ok()) return status;
  return absl::UnavailableError(
      absl::StrFormat("Error writing ports file (%s): %s", path, std::string(status.message())));
}

}  // namespace millrace
