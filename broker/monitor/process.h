// SPDX-License-Identifier: Apache-2.0
// Process: the files a running server leaves for scripts (pid, ports) and what it uses (CPU, memory).
// Owner:  control thread.  Errors: Status with the peer's text ("open /x: no such file or directory").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace millrace {

// A file that exists while the server runs. Destroying the handle removes the file.
class RunFile {
 public:
  RunFile() = default;
  RunFile(const RunFile&) = delete;
  RunFile& operator=(const RunFile&) = delete;
  ~RunFile();

  // Creates or truncates `path` with `content`, mode as given less the umask.
  absl::Status Write(std::string path, std::string_view content, int mode);
  // Removes it now. Does nothing when Write never succeeded.
  absl::Status Remove();
  // Lets the file outlive the handle.
  void Release() { path_.clear(); }

  const std::string& path() const { return path_; }

 private:
  std::string path_;  // empty: nothing to remove
};

// The content of a pid file: decimal digits, no newline (F-13). The peer leaves its pid file behind
// at exit: Release it.
std::string PidFileContent(int64_t pid);
inline constexpr int kPidFileMode = 0600;

// One listener as the kernel reports it after bind (a port of 0 or -1 is by then a real one).
struct BoundListener {
  std::string scheme;  // nats, tls, http, https, ws, wss
  std::string host;    // an address without brackets; "0.0.0.0" or "::" for any
  int port = 0;
};

// What --ports_file_dir publishes (F-14). Empty lists are omitted.
struct PortsInfo {
  std::vector<BoundListener> nats;
  std::vector<BoundListener> monitoring;
  std::vector<BoundListener> cluster;
  std::vector<BoundListener> profile;
  std::vector<BoundListener> websocket;
};

// URLs of a listener; one bound to any address lists one URL per interface address, as the peer
// does: "0.0.0.0" its IPv4 ones, "::" (dual stack) all.
std::vector<std::string> ListenerUrls(const BoundListener& listener);
std::string PortsFileContent(const PortsInfo& ports);
inline constexpr int kPortsFileMode = 0666;
// <dir>/<basename of argv0>_<pid>.ports
std::string PortsFilePath(std::string_view dir, std::string_view argv0, int64_t pid);

// CPU and memory of this process, from /proc/self. One read of one small file per call.
class ProcessUsage {
 public:
  struct Sample {
    double cpu_percent = 0;  // of one core, one decimal, over the time since the last Tick
    int64_t rss_bytes = 0;
  };

  // Once a second or so: closes a CPU window. `now_ns` is monotonic.
  void Tick(int64_t now_ns);
  Sample Read() const;

 private:
  std::optional<int64_t> last_ns_;
  int64_t last_cpu_ns_ = 0;
  double cpu_percent_ = 0;
};

// Cores this process may run on (sched_getaffinity), at least 1.
int UsableCores();

}  // namespace millrace
