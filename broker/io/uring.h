// SPDX-License-Identifier: Apache-2.0
// UringIo: Io on one io_uring instance. uring.cc is the only file that includes liburing.
// Owner:  shard. Constructed (disabled) by any thread; the thread that calls Enable becomes the ring's only submitter.
// Kernel: 6.1 or newer (SINGLE_ISSUER, DEFER_TASKRUN, multishot receive into provided buffer rings).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/io/io.h"
#include "proto/base/shard_checker.h"

struct io_uring_sqe;

namespace millrace {

struct UringOptions {
  uint32_t submissions = 512;   // SQ entries
  uint32_t completions = 8192;  // CQ entries
  uint32_t small_buffer_bytes = 4096;
  uint32_t small_buffers = 256;  // power of two
  uint32_t large_buffer_bytes = 65536;
  uint32_t large_buffers = 32;  // power of two
};

class UringIo final : public Io {
 public:
  // Sets the ring up; an error says which limit or policy of the machine is in the way and what to do about it.
  static absl::StatusOr<std::unique_ptr<UringIo>> Create(const UringOptions& options);
  ~UringIo() override;

  // Called once on the thread that will run the ring. `peers[i]` is the ring that Wake(i) rings.
  void Enable(const std::vector<int>& peer_ring_fds);
  int ring_fd() const;

  void Accept(int listener, Completion* completion) override;
  void Recv(int fd, RecvSize size, Completion* completion) override;
  void Send(int fd, const iovec* parts, uint32_t count, Completion* completion) override;
  void SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) override;
  void Read(int fd, void* buffer, uint32_t bytes, Completion* completion) override;
  void ReadFile(int fd, uint64_t offset, char* to, uint32_t bytes, Completion* completion) override;
  void WriteFile(int fd, uint64_t offset, std::string_view bytes, WriteMode mode, Completion* completion) override;
  void SyncFile(int fd, Completion* completion) override;
  void Unlink(int directory, const char* path, Completion* completion) override;
  void Cancel(Completion* completion) override;
  void Shutdown(int fd) override;
  void Close(int fd) override;
  void Wake(uint32_t participant) override;
  void SubmitAndWait(Nanos deadline, bool may_block) override;
  void SubmitAndGather(Nanos deadline, Nanos at_least) override;
  bool HasCompletions() override;
  void RunQuietSends() override;
  bool RunCompletions(uint64_t bytes_max) override;
  Nanos Now() override;

 private:
  struct Ring;
  class Acceptor;
  explicit UringIo(std::unique_ptr<Ring> ring);
  io_uring_sqe* PrepareSend(int fd, const iovec* parts, uint32_t count, int flags);
  [[no_unique_address]] ShardChecker shard_checker_;
  std::unique_ptr<Ring> ring_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
};

}  // namespace millrace
