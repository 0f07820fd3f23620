// SPDX-License-Identifier: Apache-2.0
#include "broker/net/listener.h"

#include <arpa/inet.h>
#include <linux/tcp.h>  // its tcp_info is longer than the C library's
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

std::string AddressText(const sockaddr_storage& address, uint16_t* port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    *port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
    *port = ntohs(v6.sin6_port);
  }
  return text;
}

}  // namespace

absl::StatusOr<ListeningSocket> Listen(const std::string& host, int port, int backlog) {
  const bool any = host.empty() || host == "0.0.0.0" || host == "::" || host == "[::]";
  const uint16_t wanted = port < 0 ? 0 : static_cast<uint16_t>(port);
  const auto fail = [&](int error) {
    return absl::UnavailableError(absl::StrFormat("listen tcp %s:%d: %s", host.empty() ? "0.0.0.0" : host,
                                                  port < 0 ? 0 : port, std::strerror(error)));
  };
  sockaddr_storage address{};
  socklen_t bytes = 0;
  if (!any) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    const int rc = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (rc != 0) return absl::UnavailableError(absl::StrFormat("lookup %s: %s", host, gai_strerror(rc)));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> release(found, &freeaddrinfo);
    std::memcpy(&address, found->ai_addr, found->ai_addrlen);
    bytes = found->ai_addrlen;
  }
  int fd = -1;
  if (any) {
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int off = 0;
    if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0) {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      v6.sin6_family = AF_INET6;
      v6.sin6_addr = in6addr_any;
      bytes = sizeof v6;
    } else {
      if (fd >= 0) close(fd);
      fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      reinterpret_cast<sockaddr_in&>(address).sin_family = AF_INET;
      bytes = sizeof(sockaddr_in);
    }
  } else {
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  }
  if (fd < 0) return fail(errno);
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(wanted);
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(wanted);
  }
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(fd, backlog) != 0) {
    const int error = errno;
    close(fd);
    return fail(error);
  }
  bytes = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes);
  uint16_t bound = 0;
  std::string text = AddressText(address, &bound);
  return ListeningSocket{fd, any ? (host.empty() ? "0.0.0.0" : host) : text, bound};
}

PeerName PeerOf(int fd) {
  sockaddr_storage address{};
  socklen_t bytes = sizeof address;
  PeerName name;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0) name.ip = AddressText(address, &name.port);
  return name;
}

void TuneSocket(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

uint64_t ConfirmedBytes(int fd) {
  tcp_info state{};
  socklen_t bytes = sizeof state;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &bytes) == 0 ? state.tcpi_bytes_acked : 0;
}

}  // namespace millrace
