// SPDX-License-Identifier: Apache-2.0
#include "broker/io/uring.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

// Completion tags: which buffer group a receive draws from.
enum Tag : uint8_t { kPlain = 0, kRecvSmall = 1, kRecvLarge = 2, kQuietFailed = 3 };

// Marks the result of a quiet send in its user data: the lowest bit of a Completion's address is free.
constexpr uint64_t kQuiet = 1;
static_assert(alignof(Completion) > kQuiet);

constexpr uint32_t kSendPartsMax = 64;
constexpr uint32_t kSmallBuffersAtFirst = 64;

// One ring of provided buffers. Buffers are handed out round-robin by the kernel, so every one that is published
// becomes resident, and passes through the cache, once there is traffic: few are at first, more when they ran out.
class BufferGroup {
 public:
  void Open(io_uring* ring, uint16_t group, uint32_t bytes, uint32_t count, uint32_t published_at_first) {
    bytes_ = bytes;
    count_ = count;
    const size_t ring_bytes = count * sizeof(io_uring_buf);
    void* ring_memory = mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* memory = mmap(nullptr, size_t{bytes} * count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MR_CHECK(ring_memory != MAP_FAILED && memory != MAP_FAILED);
    ring_ = static_cast<io_uring_buf_ring*>(ring_memory);
    memory_ = static_cast<char*>(memory);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(ring_memory);
    registration.ring_entries = count;
    registration.bgid = group;
    MR_CHECK_OP(io_uring_register_buf_ring(ring, &registration, 0), ==, 0);
    io_uring_buf_ring_init(ring_);
    Publish(std::min(count, published_at_first));
  }

  // A receive found no buffer.
  void OnEmpty() { Publish(std::min(count_ - published_, published_)); }

  ~BufferGroup() {
    if (ring_ == nullptr) return;
    munmap(ring_, count_ * sizeof(io_uring_buf));
    munmap(memory_, size_t{bytes_} * count_);
  }

  char* Address(uint16_t id) { return memory_ + size_t{id} * bytes_; }

  void Return(uint16_t id) {
    Add(id, 0);
    io_uring_buf_ring_advance(ring_, 1);
  }

 private:
  void Publish(uint32_t more) {
    for (uint32_t i = 0; i < more; ++i) Add(static_cast<uint16_t>(published_ + i), static_cast<int>(i));
    io_uring_buf_ring_advance(ring_, static_cast<int>(more));
    published_ += more;
  }
  void Add(uint16_t id, int offset) {
    io_uring_buf_ring_add(ring_, Address(id), bytes_, id, io_uring_buf_ring_mask(count_), offset);
  }

  io_uring_buf_ring* ring_ = nullptr;
  char* memory_ = nullptr;
  uint32_t bytes_ = 0;
  uint32_t count_ = 0;
  uint32_t published_ = 0;
};

std::string WhyNoRing(int error) {
  switch (error) {
    case ENOSYS:
      return "this kernel has no io_uring: Linux 6.1 or newer is needed";
    case EINVAL:
      return "this kernel's io_uring is too old: Linux 6.1 or newer is needed";
    case EPERM:
    case EACCES:
      return "io_uring is not permitted here: set sysctl kernel.io_uring_disabled=0, and in a container use a seccomp "
             "profile that allows io_uring_setup, io_uring_enter and io_uring_register "
             "(docker: --security-opt seccomp=unconfined)";
    case ENOMEM:
      return "no memory for an io_uring: raise the memlock limit (ulimit -l, or LimitMEMLOCK= in the systemd unit)";
    case EMFILE:
    case ENFILE:
      return "no file descriptor left for an io_uring: raise the nofile limit (ulimit -n)";
    default:
      return std::strerror(error);
  }
}

}  // namespace

struct UringIo::Ring {
  io_uring ring{};
  UringOptions options;
  BufferGroup small;
  BufferGroup large;
  std::vector<int> peers;
  uint32_t snapshot = 0;  // completions that RunCompletions may still run
  // Message headers of this submission; the kernel copies them while it submits.
  struct Message {
    msghdr header;
    iovec parts[kSendPartsMax];
  };
  std::vector<std::unique_ptr<Message>> messages;
  size_t messages_used = 0;
  // Quiet sends whose fate is not known yet. Success has no result: what was submitted and has none has left whole.
  struct QuietSend {
    Completion* completion;
    int32_t bytes;
  };
  std::vector<QuietSend> quiet;

  io_uring_sqe* Get() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe == nullptr) [[unlikely]] {
      // Results of this extra submit wait for the next turn: the snapshot does not move.
      io_uring_submit(&ring);
      messages_used = 0;
      sqe = io_uring_get_sqe(&ring);
      MR_CHECK(sqe != nullptr);
    }
    return sqe;
  }

  bool TaskrunPending() const {
    return (__atomic_load_n(ring.sq.kflags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }

  ~Ring() {
    if (ring.ring_fd > 0) io_uring_queue_exit(&ring);
  }
};

// Accepting goes through an epoll descriptor: a request that waits on a listener would hold it until the kernel has
// torn the ring down, some time after the process is gone, and a restarted broker would find its port in use. epoll
// holds nothing.
class UringIo::Acceptor {
 public:
  Acceptor(UringIo& io, int listener) : listener(listener), io_(io), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    MR_CHECK(epoll_ >= 0);
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    MR_CHECK_OP(epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event), ==, 0);
    poll_.Bind<&Acceptor::OnReady>(this);
  }
  ~Acceptor() { close(epoll_); }

  void Arm(Completion* user) {
    user->Started(kPlain);
    user_ = user;
    Poll();
  }
  bool Serves(const Completion* user) const { return user_ == user; }
  void Cancel() {
    cancelled_ = true;
    io_.Cancel(&poll_);
  }

  const int listener;

 private:
  static constexpr int kBatch = 64;

  void Poll() {
    io_uring_sqe* sqe = io_.ring_->Get();
    io_uring_prep_poll_add(sqe, epoll_, POLLIN);
    poll_.Started(kPlain);
    io_uring_sqe_set_data(sqe, &poll_);
  }

  void OnReady(const IoResult&) {
    int error = cancelled_ ? ECANCELED : 0;
    for (int i = 0; i < kBatch && error == 0; ++i) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        user_->Finish(IoResult{fd, true, {}});
      } else if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
        break;
      } else {
        error = errno;
      }
      if (cancelled_) error = ECANCELED;
    }
    if (error == 0) return Poll();
    cancelled_ = false;
    Completion* user = std::exchange(user_, nullptr);
    user->Finish(IoResult{-error, false, {}});
  }

  UringIo& io_;
  const int epoll_;
  Completion poll_;
  Completion* user_ = nullptr;
  bool cancelled_ = false;
};

UringIo::UringIo(std::unique_ptr<Ring> ring) : ring_(std::move(ring)) {}
UringIo::~UringIo() = default;

absl::StatusOr<std::unique_ptr<UringIo>> UringIo::Create(const UringOptions& options) {
  auto ring = std::make_unique<Ring>();
  ring->options = options;
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
  params.cq_entries = options.completions;
  const int rc = io_uring_queue_init_params(options.submissions, &ring->ring, &params);
  if (rc < 0) {
    ring->ring.ring_fd = -1;
    return absl::UnavailableError(absl::StrFormat("io_uring: %s", WhyNoRing(-rc)));
  }
  return std::unique_ptr<UringIo>(new UringIo(std::move(ring)));
}

void UringIo::Enable(const std::vector<int>& peer_ring_fds) {
  shard_checker_.Adopt();
  Ring& r = *ring_;
  // Debian's liburing 2.3 declares io_uring_enable_rings but does not export it.
  MR_CHECK_OP(syscall(__NR_io_uring_register, r.ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0), ==, 0);
  io_uring_register_ring_fd(&r.ring);  // saves an fdget per enter; works without it
  r.small.Open(&r.ring, kRecvSmall, r.options.small_buffer_bytes, r.options.small_buffers, kSmallBuffersAtFirst);
  r.large.Open(&r.ring, kRecvLarge, r.options.large_buffer_bytes, r.options.large_buffers, r.options.large_buffers);
  r.peers = peer_ring_fds;
}

int UringIo::ring_fd() const { return ring_->ring.ring_fd; }

void UringIo::Accept(int listener, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) {
    if (acceptor->listener == listener) return acceptor->Arm(completion);
  }
  acceptors_.push_back(std::make_unique<Acceptor>(*this, listener));
  acceptors_.back()->Arm(completion);
}

void UringIo::Recv(int fd, RecvSize size, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  const Tag tag = size == RecvSize::kSmall ? kRecvSmall : kRecvLarge;
  io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = tag;
  completion->Started(tag);
  io_uring_sqe_set_data(sqe, completion);
}

io_uring_sqe* UringIo::PrepareSend(int fd, const iovec* parts, uint32_t count, int flags) {
  MR_CHECK(count > 0 && count <= kSendPartsMax);
  io_uring_sqe* sqe = ring_->Get();
  if (count == 1) {
    io_uring_prep_send(sqe, fd, parts[0].iov_base, parts[0].iov_len, flags);
  } else {
    if (ring_->messages_used == ring_->messages.size()) {
      ring_->messages.push_back(std::make_unique<Ring::Message>());
    }
    Ring::Message& message = *ring_->messages[ring_->messages_used++];
    std::memcpy(message.parts, parts, count * sizeof(iovec));
    message.header = {};
    message.header.msg_iov = message.parts;
    message.header.msg_iovlen = count;
    io_uring_prep_sendmsg(sqe, fd, &message.header, static_cast<unsigned>(flags));
  }
  return sqe;
}

void UringIo::Send(int fd, const iovec* parts, uint32_t count, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = PrepareSend(fd, parts, count, MSG_NOSIGNAL | MSG_WAITALL);
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

// MSG_WAITALL makes a short send a failure, which has a result in spite of CQE_SKIP_SUCCESS, and MSG_DONTWAIT makes it
// fail within the submission.
void UringIo::SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = PrepareSend(fd, parts, count, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  completion->Started(kPlain);
  sqe->user_data = reinterpret_cast<uint64_t>(completion) | kQuiet;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) bytes += parts[i].iov_len;
  ring_->quiet.push_back({completion, static_cast<int32_t>(bytes)});
}

void UringIo::Read(int fd, void* buffer, uint32_t bytes, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_read(sqe, fd, buffer, bytes, static_cast<uint64_t>(-1));
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

void UringIo::ReadFile(int fd, uint64_t offset, char* to, uint32_t bytes, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_read(sqe, fd, to, bytes, offset);
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

void UringIo::WriteFile(int fd, uint64_t offset, std::string_view bytes, WriteMode mode, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  MR_CHECK_OP(bytes.size(), <, size_t{1} << 31);
  // A chain ends where a submission ends: both of its operations go into the same one.
  if (mode == WriteMode::kThenNext && io_uring_sq_space_left(&ring_->ring) < 2) {
    io_uring_submit(&ring_->ring);
    ring_->messages_used = 0;
  }
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_write(sqe, fd, bytes.data(), static_cast<uint32_t>(bytes.size()), offset);
  if (mode == WriteMode::kDurable) sqe->rw_flags = RWF_DSYNC;
  if (mode == WriteMode::kThenNext) sqe->flags |= IOSQE_IO_LINK;
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

void UringIo::SyncFile(int fd, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

void UringIo::Unlink(int directory, const char* path, Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_unlinkat(sqe, directory, path, 0);
  completion->Started(kPlain);
  io_uring_sqe_set_data(sqe, completion);
}

void UringIo::Cancel(Completion* completion) {
  MR_DCHECK(shard_checker_.Here());
  if (!completion->busy()) return;
  for (const std::unique_ptr<Acceptor>& acceptor : acceptors_) {
    if (acceptor->Serves(completion)) return acceptor->Cancel();
  }
  io_uring_sqe* sqe = ring_->Get();
  io_uring_prep_cancel(sqe, completion, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data(sqe, nullptr);
}

void UringIo::Shutdown(int fd) { ::shutdown(fd, SHUT_RDWR); }

void UringIo::Close(int fd) {
  std::erase_if(acceptors_, [fd](const std::unique_ptr<Acceptor>& acceptor) { return acceptor->listener == fd; });
  ::close(fd);
}

void UringIo::Wake(uint32_t participant) {
  MR_DCHECK(shard_checker_.Here());
  io_uring_sqe* sqe = ring_->Get();
  MR_DCHECK(participant < ring_->peers.size());
  io_uring_prep_msg_ring(sqe, ring_->peers[participant], 0, 0, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data(sqe, nullptr);
}

void UringIo::SubmitAndWait(Nanos deadline, bool may_block) {
  MR_DCHECK(shard_checker_.Here());
  Ring& r = *ring_;
  if (may_block && io_uring_cq_ready(&r.ring) == 0) {
    if (deadline == Nanos::max()) {
      io_uring_submit_and_wait(&r.ring, 1);
    } else {
      io_uring_cqe* cqe = nullptr;
      const Nanos left = std::max(deadline - Now(), Nanos{0});
      __kernel_timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
      io_uring_submit_and_wait_timeout(&r.ring, &cqe, 1, &timeout, nullptr);
    }
    r.messages_used = 0;
  } else if (io_uring_sq_ready(&r.ring) > 0 || r.TaskrunPending()) {
    io_uring_submit_and_get_events(&r.ring);
    r.messages_used = 0;
  }
  r.snapshot = io_uring_cq_ready(&r.ring);
}

// Asleep outside of the ring nothing is received in between: all that came is received at once, and acknowledged by TCP
// once (IORING_ENTER's min_wait_usec receives what is there when the wait begins, and the rest at its end).
void UringIo::SubmitAndGather(Nanos deadline, Nanos at_least) {
  Ring& r = *ring_;
  const Nanos nap = std::min(at_least, deadline - Now());
  if (nap > Nanos{0} && io_uring_cq_ready(&r.ring) == 0) {
    if (io_uring_sq_ready(&r.ring) > 0) io_uring_submit(&r.ring);
    const timespec duration{nap.count() / 1'000'000'000, nap.count() % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &duration, nullptr);
  }
  SubmitAndWait(deadline, true);
}

bool UringIo::HasCompletions() { return io_uring_cq_ready(&ring_->ring) > 0 || ring_->TaskrunPending(); }

void UringIo::RunQuietSends() {
  MR_DCHECK(shard_checker_.Here());
  Ring& r = *ring_;
  // What is not submitted, or may have failed into the overflow list, has to wait.
  if (r.quiet.empty() || io_uring_sq_ready(&r.ring) > 0 || io_uring_cq_has_overflow(&r.ring)) return;
  const unsigned head = *r.ring.cq.khead;
  for (unsigned i = 0, ready = io_uring_cq_ready(&r.ring); i < ready; ++i) {
    const uint64_t user_data = r.ring.cq.cqes[(head + i) & r.ring.cq.ring_mask].user_data;
    if ((user_data & kQuiet) == 0) continue;
    reinterpret_cast<Completion*>(user_data & ~kQuiet)->set_tag(kQuietFailed);
  }
  // Handlers may end connections; they do not send.
  for (const Ring::QuietSend& send : r.quiet) {
    if (send.completion->tag() != kQuietFailed) send.completion->Finish(IoResult{send.bytes, false, {}});
  }
  r.quiet.clear();
}

bool UringIo::RunCompletions(uint64_t bytes_max) {
  MR_DCHECK(shard_checker_.Here());
  Ring& r = *ring_;
  uint64_t bytes = 0;
  bool grown = false;
  while (r.snapshot > 0) {
    if (bytes >= bytes_max) return false;
    io_uring_cqe* slot = nullptr;
    if (io_uring_peek_cqe(&r.ring, &slot) != 0) break;
    // Copied first: a handler may submit, and the slot may be reused as soon as it is marked seen.
    const io_uring_cqe cqe = *slot;
    io_uring_cqe_seen(&r.ring, slot);
    --r.snapshot;
    auto* completion = reinterpret_cast<Completion*>(cqe.user_data & ~kQuiet);
    if ((cqe.user_data & kQuiet) != 0 && !r.quiet.empty()) [[unlikely]] {
      // Results had overflowed, so RunQuietSends has not looked.
      std::erase_if(r.quiet, [completion](const Ring::QuietSend& send) { return send.completion == completion; });
    }
    if (completion == nullptr) continue;  // a doorbell, or a cancel that came too late
    IoResult result{cqe.res, (cqe.flags & IORING_CQE_F_MORE) != 0, {}};
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
      const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
      BufferGroup& group = completion->tag() == kRecvSmall ? r.small : r.large;
      if (cqe.res > 0) {
        result.bytes = {group.Address(id), static_cast<size_t>(cqe.res)};
        bytes += static_cast<uint64_t>(cqe.res);
      }
      completion->Finish(result);
      group.Return(id);
    } else {
      // Many may have found none at once; that is one reason for more.
      if (cqe.res == -ENOBUFS && completion->tag() == kRecvSmall && !std::exchange(grown, true)) r.small.OnEmpty();
      completion->Finish(result);
    }
  }
  return true;
}

Nanos UringIo::Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Nanos{int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec};
}

}  // namespace millrace
