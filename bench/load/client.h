// SPDX-License-Identifier: Apache-2.0
// Client: one NATS connection of the generator: a blocking handshake first, then asynchronous on the ring.
// Owner:  caller; must outlive the ring's last RunOnce().
// Bounds: one send in flight; control lines queued behind it are a few bytes (PONG, PING, a final SUB).
// Errors: a closed connection or an -ERR ends the process through Fail(): a benchmark that goes on would lie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/load/ring.h"

namespace millrace::bench {

struct Target {
  std::string host = "127.0.0.1";
  uint16_t port = 4222;
  std::string user;
  std::string password;
};

// Prints {"error": …} on stdout, the same on stderr, and exits with 1.
[[noreturn]] void Fail(const std::string& message);

// A TCP socket with Nagle off. On loopback, connection `index` binds to one of several source addresses, because
// one address has only some 28,000 ports.
int NewSocket(const Target& target, uint64_t index);
struct SocketAddress {
  explicit SocketAddress(const Target& target);
  alignas(8) char bytes[32];
  unsigned length = 0;
  const struct sockaddr* get() const { return reinterpret_cast<const struct sockaddr*>(bytes); }
};

std::string ConnectLine(const Target& target);

class Client : public Endpoint {
 public:
  Client(Ring* ring, const Target& target, uint64_t index = 0);
  ~Client() override;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Connects, sends CONNECT, `opening` and PING, and waits for the PONG: after it the server knows every SUB.
  void Open(std::string_view opening);
  // From here on the ring reads. Bytes that came with the PONG are delivered at once.
  void Start();

  void SendControl(std::string_view lines);
  void Ping() { SendControl("PING\r\n"); }
  uint64_t pongs() const { return pongs_; }
  bool sending() const { return sending_; }

  // For FrameReader: answers PING, counts PONG, fails on -ERR.
  void OnControl(std::string_view line);

  void OnSent(int result) final;
  void OnClosed(int error) override;

 protected:
  // Precondition: !sending(). `block` stays unchanged until OnSendIdle().
  void SendBlock(std::string_view block);
  // The last send is complete and no control line waits.
  virtual void OnSendIdle() {}

 private:
  void SendAll(std::string_view bytes);

  Ring* const ring_;
  const Target target_;
  const uint64_t index_;
  int fd_ = -1;
  bool sending_ = false;
  uint64_t pongs_ = 0;
  std::string control_;        // waits for the send in flight
  std::string control_flying_;
  std::string after_pong_;     // read by the handshake beyond its PONG
};

// A client that only expects control lines: publishers, idle connections, churners.
class QuietClient : public Client {
 public:
  using Client::Client;
  void OnBytes(const char* data, size_t bytes) override;

 protected:
  // Without its CRLF.
  virtual void OnLine(std::string_view line) { OnControl(line); }

 private:
  std::string carry_;
};

}  // namespace millrace::bench
