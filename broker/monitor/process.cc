// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/json/writer.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

// "open /x: no such file or directory", as the peer words it.
absl::Status FileError(std::string_view verb, std::string_view path, int error) {
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return absl::Status(absl::ErrnoToStatusCode(error),
                      absl::StrFormat("%s %s: %s", verb, path, text));
}

std::string JoinHostPort(std::string_view host, int port) {
  const bool brackets = host.find(':') != std::string_view::npos;
  return absl::StrFormat("%s%s%s:%d", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

struct InterfaceAddress {
  unsigned index = 0;
  int family = 0;
  std::string text;
};

// Of all interfaces, in their order; IPv4 before IPv6 on each.
std::vector<InterfaceAddress> InterfaceAddresses() {
  std::vector<InterfaceAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    const int family = each->ifa_addr->sa_family;
    const void* raw = nullptr;
    if (family == AF_INET) raw = &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
    if (family == AF_INET6) raw = &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
    char text[INET6_ADDRSTRLEN];
    if (raw != nullptr && inet_ntop(family, raw, text, sizeof text) != nullptr)
      addresses.push_back({if_nametoindex(each->ifa_name), family, text});
  }
  freeifaddrs(list);
  std::stable_sort(addresses.begin(), addresses.end(), [](const auto& a, const auto& b) {
    return a.index != b.index ? a.index < b.index : a.family < b.family;
  });
  return addresses;
}

int64_t CpuNanos() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

RunFile::~RunFile() { (void)Remove(); }

absl::Status RunFile::Write(std::string path, std::string_view content, int mode) {
  MR_CHECK(path_.empty());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return FileError("open", path, errno);
  const ssize_t written = write(fd, content.data(), content.size());
  const int error = written < 0 ? errno : 0;
  close(fd);
  path_ = std::move(path);
  if (written != static_cast<ssize_t>(content.size()))
    return FileError("write", path_, error != 0 ? error : ENOSPC);
  return absl::OkStatus();
}

absl::Status RunFile::Remove() {
  if (path_.empty()) return absl::OkStatus();
  const std::string path = std::exchange(path_, {});
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : FileError("remove", path, errno);
}

std::string PidFileContent(int64_t pid) { return std::to_string(pid); }

std::vector<std::string> ListenerUrls(const BoundListener& listener) {
  std::vector<std::string> urls;
  const auto add = [&](std::string_view host) {
    urls.push_back(absl::StrFormat("%s://%s", listener.scheme, JoinHostPort(host, listener.port)));
  };
  const bool any4 = listener.host == "0.0.0.0",
             any6 = listener.host == "::" || listener.host.empty();
  if (!any4 && !any6) {
    add(listener.host);
    return urls;
  }
  for (const InterfaceAddress& address : InterfaceAddresses())
    if (any6 || address.family == AF_INET) add(address.text);
  return urls;
}

std::string PortsFileContent(const PortsInfo& ports) {
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  const auto put = [&](std::string_view key, const std::vector<BoundListener>& listeners) {
    std::vector<std::string> urls;
    for (const BoundListener& listener : listeners)
      for (std::string& url : ListenerUrls(listener)) urls.push_back(std::move(url));
    out.OptStrings(key, urls);
  };
  put("nats", ports.nats);
  put("monitoring", ports.monitoring);
  put("cluster", ports.cluster);
  put("profile", ports.profile);
  put("websocket", ports.websocket);
  out.EndObject();
  return std::move(out).Take();
}

std::string PortsFilePath(std::string_view dir, std::string_view argv0, int64_t pid) {
  const size_t slash = argv0.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? argv0 : argv0.substr(slash + 1);
  return absl::StrFormat("%s%s%s_%d.ports", dir, dir.ends_with('/') ? "" : "/", name, pid);
}

void ProcessUsage::Tick(int64_t now_ns) {
  const int64_t cpu_ns = CpuNanos();
  if (last_ns_.has_value() && now_ns > *last_ns_) {
    const double share =
        static_cast<double>(cpu_ns - last_cpu_ns_) / static_cast<double>(now_ns - *last_ns_);
    cpu_percent_ = std::floor(share * 1000) / 10;
  }
  last_ns_ = now_ns;
  last_cpu_ns_ = cpu_ns;
}

ProcessUsage::Sample ProcessUsage::Read() const {
  Sample sample{.cpu_percent = cpu_percent_};
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return sample;
  char text[128];
  const ssize_t bytes = read(fd, text, sizeof text - 1);
  close(fd);
  if (bytes <= 0) return sample;
  text[bytes] = 0;
  long total = 0, resident = 0;
  if (std::sscanf(text, "%ld %ld", &total, &resident) == 2)
    sample.rss_bytes = int64_t{resident} * sysconf(_SC_PAGESIZE);
  return sample;
}

int UsableCores() {
  // More cores than cpu_set_t has bits make the call fail; then the configured number is the
  // answer.
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(CPU_COUNT(&cores), 1);
  return std::max(static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)), 1);
}

}  // namespace millrace
