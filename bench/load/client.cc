// SPDX-License-Identifier: Apache-2.0
#include "bench/load/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/load/report.h"

namespace millrace::bench {
namespace {

constexpr uint64_t kConnectionsPerSource = 20'000;

// What the handshake has read up to and including the PONG, or npos. An async INFO may follow in the same read.
size_t EndOfPong(const std::string& text) {
  const size_t at = text.find("PONG\r\n");
  return at == std::string::npos ? at : at + 6;
}

}  // namespace

void Fail(const std::string& message) {
  JsonLine line;
  line.Add("error", message);
  line.Print();
  std::fprintf(stderr, "millrace-load: %s\n", message.c_str());
  std::_Exit(1);  // destructors would wait for a ring that may be stuck
}

SocketAddress::SocketAddress(const Target& target) : bytes{} {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  if (inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1) {
    Fail("not an IPv4 address: " + target.host);
  }
  std::memcpy(bytes, &address, sizeof address);
  length = sizeof address;
}

int NewSocket(const Target& target, uint64_t index) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail(std::string("socket: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (target.host.starts_with("127.")) {
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr =
        htonl(static_cast<uint32_t>(INADDR_LOOPBACK + index / kConnectionsPerSource % 200));
    if (bind(fd, reinterpret_cast<sockaddr*>(&source), sizeof source) != 0) {
      Fail(std::string("bind: ") + std::strerror(errno));
    }
  }
  return fd;
}

std::string ConnectLine(const Target& target) {
  std::string line =
      "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"headers\":true,"
      "\"no_responders\":true,\"protocol\":1,\"lang\":\"c++\",\"version\":\"1\",\"name\":\"millrace-load\"";
  if (!target.user.empty()) {
    line += ",\"user\":\"" + target.user + "\",\"pass\":\"" + target.password + "\"";
  }
  return line + "}\r\n";
}

Client::Client(Ring* ring, const Target& target, uint64_t index)
    : ring_(ring), target_(target), index_(index) {}

Client::~Client() {
  if (fd_ >= 0) close(fd_);
}

void Client::SendAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) Fail(std::string("send: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Client::Open(std::string_view opening) {
  fd_ = NewSocket(target_, index_);
  const SocketAddress address(target_);
  if (connect(fd_, address.get(), address.length) != 0) {
    Fail("connect to " + target_.host + ":" + std::to_string(target_.port) + ": " +
         std::strerror(errno));
  }
  timeval patience{};
  patience.tv_sec = 10;
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

  std::string text;
  const auto read_more = [&] {
    char buffer[4096];
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) Fail("handshake: connection closed or silent after: " + text);
    text.append(buffer, static_cast<size_t>(got));
    const size_t error = text.find("-ERR");
    if (error != std::string::npos) Fail("handshake: " + text.substr(error));
  };
  while (text.find('\n') == std::string::npos) read_more();
  if (!text.starts_with("INFO ")) Fail("handshake: no INFO but: " + text);
  SendAll(ConnectLine(target_));
  SendAll(opening);
  SendAll("PING\r\n");
  while (EndOfPong(text) == std::string::npos) read_more();
  after_pong_ = text.substr(EndOfPong(text));
}

void Client::Start() {
  if (!after_pong_.empty()) OnBytes(after_pong_.data(), after_pong_.size());
  after_pong_.clear();
  ring_->ArmRecv(this, fd_);
}

void Client::SendBlock(std::string_view block) {
  sending_ = true;
  ring_->Send(this, fd_, block.data(), block.size());
}

void Client::SendControl(std::string_view lines) {
  control_ += lines;
  if (sending_) return;
  control_flying_.swap(control_);
  control_.clear();
  SendBlock(control_flying_);
}

void Client::OnSent(int result) {
  if (result < 0) Fail(std::string("send: ") + std::strerror(-result));
  sending_ = false;
  if (!control_.empty()) {
    SendControl({});
  } else {
    OnSendIdle();
  }
}

void Client::OnClosed(int error) {
  Fail(std::string("the server closed a connection: ") +
       (error == 0 ? "end of stream" : std::strerror(-error)));
}

void Client::OnControl(std::string_view line) {
  if (line == "PING") {
    SendControl("PONG\r\n");
  } else if (line == "PONG") {
    ++pongs_;
  } else if (line.starts_with("-ERR")) {
    Fail("the server says: " + std::string(line));
  } else if (!line.starts_with("INFO ") && line != "+OK") {
    Fail("unexpected line: " + std::string(line.substr(0, 200)));
  }
}

void QuietClient::OnBytes(const char* data, size_t bytes) {
  carry_.append(data, bytes);
  size_t end = 0;
  size_t at = 0;
  while ((end = carry_.find("\r\n", at)) != std::string::npos) {
    OnLine(std::string_view(carry_).substr(at, end - at));
    at = end + 2;
  }
  carry_.erase(0, at);
}

}  // namespace millrace::bench
