// SPDX-License-Identifier: Apache-2.0
// The relay: the least a broker can do. It parses PUB and HPUB lines, finds subscribers by a linear scan whose answer
// it remembers while the subject stays the same, and copies frames. No limits, no accounts, no errors, no UNSUB, no
// queue groups: what it reaches is the ceiling of this machine's sockets, which a real broker is measured against.
// Owner:  one thread.
// Bounds: a subscriber's unsent output; above kPauseBytes nobody's input is parsed until it has drained.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/ring.h"

namespace millrace::bench {

class Relay;

class RelayConnection : public Endpoint {
 public:
  RelayConnection(Relay* relay, int fd) : relay_(relay), fd_(fd) {}

  void OnBytes(const char* data, size_t bytes) override;
  void OnSent(int result) override;
  void OnClosed(int error) override;

  void Append(std::string_view bytes) { out_.append(bytes); }
  void AppendFrame(std::string_view head, std::string_view tail);
  void Flush();
  void set_dirty(bool dirty) { dirty_ = dirty; }

  // Handles whole commands from the front of what is given; returns the bytes used. Stops early when paused.
  size_t Parse(const char* data, size_t bytes);
  // Parse() with the bytes an earlier buffer ended with; false when it stopped because of a pause, `*used` is how far.
  bool Consume(const char* data, size_t bytes, size_t* used);

 private:
  struct Target {
    RelayConnection* connection;
    std::string msg_head;   // "MSG subject sid": what replaces "PUB subject"
    std::string hmsg_head;
  };

  size_t OnPublish(const char* data, size_t bytes);
  void Route(std::string_view subject);
  void OnControl(std::string_view line);
  void Relieve();
  void Leave();

  Relay* const relay_;
  const int fd_;
  bool left_ = false;  // no subscriptions, no output any more
  bool sending_ = false;
  bool dirty_ = false;
  bool backlogged_ = false;  // counted by the relay
  std::string out_;
  std::string flying_;
  std::string carry_;
  // The last publish: a line equal to it needs no parsing, a subject equal to it no matching.
  std::string last_line_;
  std::string last_subject_;
  size_t last_tail_ = 0;     // where " 128\r\n" begins in the line
  size_t last_payload_ = 0;  // with its CRLF
  bool last_headers_ = false;
  uint64_t routed_generation_ = 0;
  std::vector<Target> targets_;
};

class Relay : public Endpoint {
 public:
  Relay(Ring* ring, int listen_fd, uint16_t port);

  void OnConnected(int fd) override;  // a new client
  void OnBytes(const char*, size_t) override {}
  void OnSent(int) override {}
  void OnClosed(int) override {}

  struct Subscription {
    RelayConnection* connection;
    std::string filter;  // literal, or a prefix when `wildcard`
    bool wildcard;
    std::string sid;
  };
  void Subscribe(Subscription subscription);
  void Forget(RelayConnection* connection);
  const std::vector<Subscription>& subscriptions() const { return subscriptions_; }
  uint64_t generation() const { return generation_; }

  void MarkDirty(RelayConnection* connection);
  void FlushDirty();
  // Every backlogged connection pauses once and resumes once; while there is one, nothing is parsed.
  bool paused() const { return backlogged_count_ != 0; }
  void Pause() { ++backlogged_count_; }
  void Resume();
  // Keeps the buffer in hand for when the pause ends.
  void Hold(RelayConnection* connection, const char* data, size_t bytes);

  Ring* ring() { return ring_; }

 private:
  struct Held {
    RelayConnection* connection;
    const char* data;
    size_t bytes;
    HeldBuffer buffer;
  };

  Ring* const ring_;
  std::string info_;
  uint64_t generation_ = 1;
  std::vector<std::unique_ptr<RelayConnection>> connections_;  // kept until the end: completions point at them
  std::vector<Subscription> subscriptions_;
  std::vector<RelayConnection*> dirty_;
  int backlogged_count_ = 0;
  std::deque<Held> held_;
};

}  // namespace millrace::bench
