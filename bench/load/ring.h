// SPDX-License-Identifier: Apache-2.0
// Ring: the event loop of the load generator and of the relay: one io_uring, one thread.
// Owner:  caller (one thread builds, runs and destroys it).
// Input:  endpoints with a connected socket. Every socket has one multishot recv armed; at most one send is in flight.
// Bounds: receive memory is exactly buffer_bytes × buffer_count, shared by all endpoints of the ring.
// Errors: what only a broken machine can cause (no io_uring, no memory) ends the process with a message.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace millrace::bench {

// One socket's view of the loop. The ring keeps pointers to endpoints: they must outlive it or be closed and drained.
class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // The bytes are valid until the call returns, unless the endpoint calls Ring::HoldBuffer().
  virtual void OnBytes(const char* data, size_t bytes) = 0;
  // The whole block left (sends use MSG_WAITALL), or it failed with a negative errno.
  virtual void OnSent(int result) = 0;
  // End of stream (0) or a negative errno; no more OnBytes() follow.
  virtual void OnClosed(int error) = 0;
  virtual void OnConnected(int result) {}
};

// A received buffer an endpoint wants to keep after OnBytes(); given back with ReturnBuffer().
struct HeldBuffer {
  uint16_t id = 0;
};

class Ring {
 public:
  struct Options {
    // 64 KiB read at a time is what one busy connection wants (bench/README.md); with a thousand
    // connections the count matters more, because a recv that finds no buffer has to be armed again.
    uint32_t buffer_bytes = 64 * 1024;
    uint32_t buffer_count = 16;  // a power of two
    uint32_t entries = 1024;
  };

  explicit Ring(const Options& options);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  void ArmRecv(Endpoint* endpoint, int fd);
  void ArmAccept(Endpoint* endpoint, int fd);  // multishot; every new fd arrives as OnConnected(fd)
  // `data` must stay unchanged until OnSent().
  void Send(Endpoint* endpoint, int fd, const char* data, size_t bytes);
  void Connect(Endpoint* endpoint, int fd, const struct sockaddr* address, unsigned length);

  void Submit();  // without waiting: sends go out now
  // Submits, waits for at least one completion or `wait_ns`, runs what completed.
  void RunOnce(uint64_t wait_ns);
  // Like RunOnce() without ever sleeping.
  void Poll();

  // Only inside OnBytes(): the buffer in hand is not recycled until it is returned.
  HeldBuffer HoldBuffer();
  void ReturnBuffer(HeldBuffer buffer);

 private:
  io_uring_sqe* GetSqe();
  void RunCompletions();
  void OnRecvCompletion(Endpoint* endpoint, int fd, const io_uring_cqe& cqe);
  char* BufferAt(uint16_t id) { return buffers_ + size_t{id} * options_.buffer_bytes; }
  void Recycle(uint16_t id);

  const Options options_;
  io_uring ring_{};
  io_uring_buf_ring* buffer_ring_ = nullptr;
  size_t buffer_ring_bytes_ = 0;
  char* buffers_ = nullptr;
  uint16_t buffer_in_hand_ = 0;
  bool held_ = false;
  uint32_t held_count_ = 0;
  // Sockets whose recv found no buffer while some are held: arming them at once would only spin.
  std::vector<std::pair<Endpoint*, int>> starved_;
};

}  // namespace millrace::bench
