// SPDX-License-Identifier: Apache-2.0
#include "bench/load/ring.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::bench {
namespace {

constexpr int kBufferGroup = 1;

// user_data is the endpoint with the kind of operation in its low three bits, and the fd above bit 47:
// a recv that ended must be armed again on the same socket, and endpoints do not expose theirs.
enum class Kind : uint64_t { kRecv = 0, kSend = 1, kConnect = 2, kAccept = 3 };
constexpr uint64_t kPointerMask = (uint64_t{1} << 47) - 1;
constexpr int kFdShift = 47;
constexpr int kFdMax = (1 << 17) - 1;

[[noreturn]] void Die(const char* what, int error) {
  std::fprintf(stderr, "ring: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

uint64_t Tag(const Endpoint* endpoint, int fd, Kind kind) {
  if (fd > kFdMax) Die("too many file descriptors", EMFILE);
  return (static_cast<uint64_t>(fd) << kFdShift) | reinterpret_cast<uint64_t>(endpoint) |
         static_cast<uint64_t>(kind);
}

char* MapPages(size_t bytes, const char* what) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) Die(what, errno);
  return static_cast<char*>(memory);
}

}  // namespace

Ring::Ring(const Options& options) : options_(options) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
  params.cq_entries = options_.entries * 8;
  int rc = io_uring_queue_init_params(options_.entries, &ring_, &params);
  if (rc < 0) Die("io_uring_queue_init (kernel 6.1 or later, io_uring allowed?)", -rc);

  buffers_ = MapPages(size_t{options_.buffer_bytes} * options_.buffer_count, "receive buffers");
  buffer_ring_bytes_ = size_t{options_.buffer_count} * sizeof(io_uring_buf);
  buffer_ring_ = reinterpret_cast<io_uring_buf_ring*>(MapPages(buffer_ring_bytes_, "buffer ring"));
  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  reg.ring_entries = options_.buffer_count;
  reg.bgid = kBufferGroup;
  rc = io_uring_register_buf_ring(&ring_, &reg, 0);
  if (rc < 0) Die("io_uring_register_buf_ring", -rc);
  io_uring_buf_ring_init(buffer_ring_);
  for (uint32_t id = 0; id < options_.buffer_count; ++id) Recycle(static_cast<uint16_t>(id));
}

Ring::~Ring() {
  io_uring_queue_exit(&ring_);
  munmap(buffers_, size_t{options_.buffer_bytes} * options_.buffer_count);
  munmap(buffer_ring_, buffer_ring_bytes_);
}

void Ring::Recycle(uint16_t id) {
  io_uring_buf_ring_add(buffer_ring_, BufferAt(id), options_.buffer_bytes, id,
                        io_uring_buf_ring_mask(options_.buffer_count), 0);
  io_uring_buf_ring_advance(buffer_ring_, 1);
}

io_uring_sqe* Ring::GetSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    const int rc = io_uring_submit(&ring_);
    if (rc < 0 && rc != -EAGAIN && rc != -EBUSY && rc != -EINTR) Die("io_uring_submit", -rc);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void Ring::ArmRecv(Endpoint* endpoint, int fd) {
  io_uring_sqe* sqe = GetSqe();
  io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  io_uring_sqe_set_data64(sqe, Tag(endpoint, fd, Kind::kRecv));
}

void Ring::ArmAccept(Endpoint* endpoint, int fd) {
  io_uring_sqe* sqe = GetSqe();
  io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(sqe, Tag(endpoint, fd, Kind::kAccept));
}

void Ring::Send(Endpoint* endpoint, int fd, const char* data, size_t bytes) {
  io_uring_sqe* sqe = GetSqe();
  io_uring_prep_send(sqe, fd, data, bytes, MSG_WAITALL | MSG_NOSIGNAL);
  io_uring_sqe_set_data64(sqe, Tag(endpoint, fd, Kind::kSend));
}

void Ring::Connect(Endpoint* endpoint, int fd, const sockaddr* address, unsigned length) {
  io_uring_sqe* sqe = GetSqe();
  io_uring_prep_connect(sqe, fd, address, length);
  io_uring_sqe_set_data64(sqe, Tag(endpoint, fd, Kind::kConnect));
}

void Ring::Submit() {
  const int rc = io_uring_submit(&ring_);
  if (rc < 0 && rc != -EAGAIN && rc != -EBUSY && rc != -EINTR) Die("io_uring_submit", -rc);
}

void Ring::RunOnce(uint64_t wait_ns) {
  __kernel_timespec timeout{};
  timeout.tv_sec = static_cast<long long>(wait_ns / 1'000'000'000);
  timeout.tv_nsec = static_cast<long long>(wait_ns % 1'000'000'000);
  io_uring_cqe* cqe = nullptr;
  const int rc = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
    Die("io_uring_enter", -rc);
  }
  RunCompletions();
}

void Ring::Poll() {
  // The kernel raises a flag when it has deferred work, so that an empty poll costs no system call.
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  if (io_uring_sq_ready(&ring_) != 0 || (flags & IORING_SQ_TASKRUN) != 0) {
    io_uring_submit_and_get_events(&ring_);
  }
  RunCompletions();
}

void Ring::RunCompletions() {
  // A handler may submit and so recycle the queue's memory: completions are copied out before they run.
  io_uring_cqe batch[64];
  for (;;) {
    io_uring_cqe* ready[64];
    const unsigned count = io_uring_peek_batch_cqe(&ring_, ready, 64);
    if (count == 0) return;
    for (unsigned i = 0; i < count; ++i) batch[i] = *ready[i];
    io_uring_cq_advance(&ring_, count);
    for (unsigned i = 0; i < count; ++i) {
      const io_uring_cqe& cqe = batch[i];
      auto* endpoint = reinterpret_cast<Endpoint*>(cqe.user_data & kPointerMask & ~uint64_t{7});
      const int fd = static_cast<int>(cqe.user_data >> kFdShift);
      switch (static_cast<Kind>(cqe.user_data & 7)) {
        case Kind::kRecv: OnRecvCompletion(endpoint, fd, cqe); break;
        case Kind::kSend: endpoint->OnSent(cqe.res); break;
        case Kind::kConnect: endpoint->OnConnected(cqe.res); break;
        case Kind::kAccept:
          if ((cqe.flags & IORING_CQE_F_MORE) == 0) ArmAccept(endpoint, fd);
          endpoint->OnConnected(cqe.res);
          break;
      }
    }
    if (count < 64) return;
  }
}

void Ring::OnRecvCompletion(Endpoint* endpoint, int fd, const io_uring_cqe& cqe) {
  if (cqe.res > 0) {
    buffer_in_hand_ = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    held_ = false;
    endpoint->OnBytes(BufferAt(buffer_in_hand_), static_cast<size_t>(cqe.res));
    if (!held_) Recycle(buffer_in_hand_);
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) ArmRecv(endpoint, fd);
  } else if (cqe.res == -ENOBUFS && held_count_ != 0) {
    starved_.emplace_back(endpoint, fd);
  } else if (cqe.res == -ENOBUFS || cqe.res == -EINTR) {
    ArmRecv(endpoint, fd);
  } else {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
      Recycle(static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT));
    }
    endpoint->OnClosed(cqe.res);
  }
}

HeldBuffer Ring::HoldBuffer() {
  held_ = true;
  ++held_count_;
  return HeldBuffer{buffer_in_hand_};
}

void Ring::ReturnBuffer(HeldBuffer buffer) {
  Recycle(buffer.id);
  --held_count_;
  for (const auto& [endpoint, fd] : starved_) ArmRecv(endpoint, fd);
  starved_.clear();
}

}  // namespace millrace::bench
