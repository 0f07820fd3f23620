// SPDX-License-Identifier: Apache-2.0
// SyslogSink: RFC 3164 datagrams locally, the peer's variant of it (RFC 3339 time) to a remote one.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/log/sink.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr int kFacilityKernel = 0, kFacilityDaemon = 3 << 3;
// In the order of LogLevel. A trace line is a notice, as it is in the peer.
constexpr int kSeverity[] = {5, 7, 4, 3, 2, 5};

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] != 0 ? name : "localhost";
}

SyslogSink::Address UnixAddress(std::string_view path, int type) {
  SyslogSink::Address address{.family = AF_UNIX, .type = type};
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  local->sun_family = AF_UNIX;
  path = path.substr(0, sizeof local->sun_path - 1);
  std::memcpy(local->sun_path, path.data(), path.size());
  address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

absl::StatusOr<std::vector<SyslogSink::Address>> Resolve(std::string_view host_port, int type) {
  const size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos)
    return absl::InvalidArgumentError(absl::StrFormat(
        "error connecting to syslog: address %s: missing port in address", host_port));
  std::string host(host_port.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  const std::string port(host_port.substr(colon + 1));
  addrinfo hints = {};
  hints.ai_socktype = type;
  addrinfo* found = nullptr;
  const int failed =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0)
    return absl::UnavailableError(
        absl::StrFormat("error connecting to syslog: %s: %s", host_port, gai_strerror(failed)));
  std::vector<SyslogSink::Address> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SyslogSink::Address address{.family = each->ai_family, .type = each->ai_socktype};
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.bytes = each->ai_addrlen;
    addresses.push_back(address);
  }
  freeaddrinfo(found);
  return addresses;
}

// Connects within the wait; -1 when it cannot. The socket stays non-blocking.
int ConnectTo(const SyslogSink::Address& address) {
  const int fd = socket(address.family, address.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const auto* to = reinterpret_cast<const sockaddr*>(&address.storage);
  if (connect(fd, to, address.bytes) == 0) return fd;
  if (errno == EINPROGRESS) {
    pollfd waiting = {.fd = fd, .events = POLLOUT, .revents = 0};
    int error = 0;
    socklen_t bytes = sizeof error;
    if (poll(&waiting, 1, SyslogSink::kWaitMs) == 1 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0)
      return fd;
  }
  close(fd);
  return -1;
}

}  // namespace

SyslogSink::SyslogSink(std::vector<Address> addresses, Framing framing, int facility)
    : addresses_(std::move(addresses)),
      framing_(framing),
      facility_(facility),
      tag_(program_invocation_short_name),
      host_(HostName()) {}

SyslogSink::~SyslogSink() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::unique_ptr<SyslogSink>> SyslogSink::OpenLocal() {
  std::vector<Address> addresses;
  for (int type : {SOCK_DGRAM, SOCK_STREAM})
    for (std::string_view path : {"/dev/log", "/var/run/syslog", "/var/run/log"})
      addresses.push_back(UnixAddress(path, type));
  std::unique_ptr<SyslogSink> sink(
      new SyslogSink(std::move(addresses), Framing::kLocal, kFacilityDaemon));
  if (!sink->Connect())
    return absl::UnavailableError("error connecting to syslog: \"Unix syslog delivery error\"");
  return sink;
}

absl::StatusOr<std::unique_ptr<SyslogSink>> SyslogSink::OpenRemote(std::string_view url) {
  const size_t mark = url.find("://");
  const std::string_view scheme = url.substr(0, mark == std::string_view::npos ? 0 : mark);
  const std::string_view rest = mark == std::string_view::npos ? url : url.substr(mark + 3);
  std::vector<Address> addresses;
  Framing framing = Framing::kRemote;
  if (scheme == "udp" || scheme == "tcp") {
    const int type = scheme == "udp" ? SOCK_DGRAM : SOCK_STREAM;
    auto found = Resolve(rest.substr(0, rest.find('/')), type);
    if (!found.ok()) return std::move(found).status();
    addresses = *std::move(found);
  } else if (scheme == "unix") {
    framing = Framing::kLocal;
    addresses.push_back(UnixAddress(rest, SOCK_STREAM));
  } else {
    return absl::InvalidArgumentError(
        absl::StrFormat("error invalid network type: \"%s\"", scheme));
  }
  // The peer dials with the priority LOG_DEBUG alone, so the facility is the kernel's.
  std::unique_ptr<SyslogSink> sink(new SyslogSink(std::move(addresses), framing, kFacilityKernel));
  if (!sink->Connect())
    return absl::UnavailableError(
        absl::StrFormat("error connecting to syslog: \"%s: %s\"", url, std::strerror(errno)));
  return sink;
}

bool SyslogSink::Connect() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  for (const Address& address : addresses_)
    if ((fd_ = ConnectTo(address)) >= 0) return true;
  return false;
}

bool SyslogSink::Send(std::string_view message) {
  while (!message.empty()) {
    const ssize_t sent = send(fd_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      message.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    pollfd waiting = {.fd = fd_, .events = POLLOUT, .revents = 0};
    if (poll(&waiting, 1, kWaitMs) != 1) return false;
  }
  return true;
}

void SyslogSink::Format(const LogLine& line) {
  const int priority = facility_ | kSeverity[static_cast<size_t>(line.level)];
  const time_t when = line.wall_us / 1'000'000;
  tm parts = {};
  localtime_r(&when, &parts);
  char stamp[64] = {};
  if (framing_ == Framing::kLocal) {
    std::strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &parts);
    out_ = absl::StrFormat("<%d>%s %s[%d]: %s", priority, stamp, tag_, getpid(), line.text);
  } else {
    size_t used = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    const long minutes = parts.tm_gmtoff / 60;
    if (minutes == 0) {
      stamp[used] = 'Z';
    } else {
      absl::SNPrintF(stamp + used, sizeof stamp - used, "%c%02d:%02d", minutes < 0 ? '-' : '+',
                     std::labs(minutes) / 60, std::labs(minutes) % 60);
    }
    out_ =
        absl::StrFormat("<%d>%s %s %s[%d]: %s", priority, stamp, host_, tag_, getpid(), line.text);
  }
  if (line.text.empty() || line.text.back() != '\n') out_.push_back('\n');
}

int64_t SyslogSink::Write(const LogLine* lines, size_t count) {
  int64_t lost = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t now_us = lines[i].wall_us;
    if (fd_ < 0 && now_us < retry_at_us_) {
      ++lost;
      continue;
    }
    Format(lines[i]);
    // One new connection per failure: a restarted daemon is found at once.
    if ((fd_ >= 0 && Send(out_)) || (Connect() && Send(out_))) continue;
    ++lost;
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    retry_at_us_ = now_us + kRetryUs;
  }
  return lost;
}

}  // namespace millrace
