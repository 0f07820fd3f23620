// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/sim/fiber.h"

namespace millrace::sim {
namespace {

// No process has that many files open: a real call on one of these meets EBADF.
constexpr int kFirstDescriptor = 0x30000000;
constexpr uint64_t kDescriptorSpread = 3;  // closed descriptors come back soon, as the kernel's do

}  // namespace

// ---- SimKernel -----------------------------------------------------------------------------------------------------

int SimKernel::NewDescriptor() {
  uint64_t skip = random.Below(kDescriptorSpread);
  for (int fd = kFirstDescriptor;; ++fd) {
    if (!open_.contains(fd) && skip-- == 0) return fd;
  }
}

std::shared_ptr<Socket> SimKernel::Connect(bool listening, size_t to_broker_max, size_t to_client_max) {
  auto socket = std::make_shared<Socket>();
  socket->serial = next_serial_++;
  socket->to_broker_max = to_broker_max;
  socket->to_client_max = to_client_max;
  if (listening) {
    backlog.push_back(socket);
  } else {
    socket->fd = NewDescriptor();
    open_[socket->fd] = socket;
  }
  return socket;
}

Socket* SimKernel::Find(int fd) {
  const auto it = open_.find(fd);
  return it == open_.end() ? nullptr : it->second.get();
}

// ---- asking --------------------------------------------------------------------------------------------------------

SimIo::SimIo(SimKernel& kernel, uint32_t self) : kernel_(kernel), self_(self) {
  if (kernel_.ios.size() <= self) kernel_.ios.resize(self + 1);
  kernel_.ios[self] = this;
}

SimIo::~SimIo() = default;

void SimIo::MaybePreempt() {
  if (Fiber::current() != nullptr && kernel_.random.Chance(kernel_.faults.preempt_percent)) Fiber::Yield();
}

std::shared_ptr<Socket> SimIo::Get(int fd, const char* what) {
  const auto it = kernel_.open_.find(fd);
  if (it == kernel_.open_.end())
    Fail(absl::StrFormat("shard %d: %s on descriptor %x, which is not open", self_, what, fd));
  return it->second;
}

void SimIo::Accept(int listener, Completion* completion) {
  if (listener != SimKernel::kListener || !kernel_.listener_open) Fail("Accept on a listener that is not open");
  completion->Started(0);
  Operation operation{};
  operation.kind = Kind::kAccept;
  operation.completion = completion;
  queue_.push_back(std::move(operation));
}

void SimIo::Recv(int fd, RecvSize size, Completion* completion) {
  MaybePreempt();
  completion->Started(0);
  Operation operation{};
  operation.kind = Kind::kRecv;
  operation.completion = completion;
  operation.socket = Get(fd, "Recv");
  operation.size = size;
  queue_.push_back(std::move(operation));
}

void SimIo::Send(int fd, const iovec* parts, uint32_t count, Completion* completion) {
  MaybePreempt();
  completion->Started(0);
  Operation operation{};
  operation.kind = Kind::kSend;
  operation.completion = completion;
  operation.socket = Get(fd, "Send");
  operation.parts.assign(parts, parts + count);
  for (const iovec& part : operation.parts) operation.total += part.iov_len;
  if (operation.total == 0) Fail("Send of nothing");
  queue_.push_back(std::move(operation));
}

void SimIo::SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) {
  Send(fd, parts, count, completion);
  queue_.back().quiet = true;
}

void SimIo::Read(int, void*, uint32_t, Completion*) { Fail("Read is not simulated"); }

void SimIo::Cancel(Completion* completion) {
  if (!completion->busy()) return;
  Operation operation{};
  operation.kind = Kind::kCancel;
  operation.completion = completion;
  queue_.push_back(std::move(operation));
}

void SimIo::Shutdown(int fd) {
  const std::shared_ptr<Socket> socket = Get(fd, "Shutdown");
  socket->broker_shutdown = true;
  if (socket->shutdown_stamp == 0) socket->shutdown_stamp = kernel_.Stamp();
  MaybePreempt();
}

void SimIo::Close(int fd) {
  if (fd == SimKernel::kListener) {
    if (!std::exchange(kernel_.listener_open, false)) Fail("the listener is closed twice");
    for (const std::shared_ptr<Socket>& waiting : kernel_.backlog) waiting->reset = true;
    kernel_.backlog.clear();
    return;
  }
  const std::shared_ptr<Socket> socket = Get(fd, "Close");
  for (const SimIo* io : kernel_.ios) {
    for (const auto* list : {&io->queue_, &io->operations_}) {
      for (const Operation& operation : *list) {
        if (operation.socket == socket) Fail(absl::StrFormat("Close of %x with an operation in flight", fd));
      }
    }
  }
  socket->broker_closed = true;
  socket->closed_stamp = kernel_.Stamp();
  if (socket->shutdown_stamp == 0) socket->shutdown_stamp = socket->closed_stamp;
  socket->fd = -1;
  kernel_.open_.erase(fd);
}

void SimIo::Wake(uint32_t participant) {
  Operation operation{};
  operation.kind = Kind::kWake;
  operation.target = participant;
  queue_.push_back(std::move(operation));
  MaybePreempt();
}

// ---- the kernel's part ---------------------------------------------------------------------------------------------

void SimIo::Submit() {
  for (Operation& operation : std::exchange(queue_, {})) {
    switch (operation.kind) {
      case Kind::kWake:
        kernel_.ios[operation.target]->Ring();
        break;
      case Kind::kCancel:
        for (Operation& running : operations_) {
          if (running.completion == operation.completion) running.canceled = true;
        }
        break;
      default:
        if (operation.quiet) {
          SendNow(operation);
        } else {
          operations_.push_back(std::move(operation));
        }
    }
  }
}

bool SimIo::Ready(const Operation& operation) const {
  if (operation.canceled || operation.sent) return true;
  if (operation.kind == Kind::kAccept) return !kernel_.backlog.empty();
  const Socket& socket = *operation.socket;
  if (socket.reset || socket.broker_shutdown) return true;
  if (operation.kind == Kind::kRecv) return !socket.to_broker.empty() || socket.fin;
  return socket.deaf || socket.to_client.size() < socket.to_client_max;
}

bool SimIo::Post(const Operation& operation, int32_t value, bool more, std::string_view bytes) {
  if (Tracing()) {
    Trace(absl::StrFormat("shard %d: operation %d on socket %d gives %d%s", self_, static_cast<int>(operation.kind),
                          operation.socket == nullptr ? 0 : operation.socket->serial, value, more ? " and more" : ""));
  }
  std::unique_ptr<char[]> copy;
  if (!bytes.empty()) {
    copy = std::make_unique<char[]>(bytes.size());
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    ++in_use_[static_cast<size_t>(operation.size)];
  }
  const bool buffer = copy != nullptr;
  results_.push_back(Result{operation.completion, value, more, buffer, operation.size, std::move(copy)});
  kernel_.last_move = kernel_.now;
  return !more;
}

bool SimIo::StepAccept(Operation& operation) {
  Random& random = kernel_.random;
  if (operation.canceled) return Post(operation, -ECANCELED, false);
  if (random.Chance(kernel_.faults.accept_error_percent)) return Post(operation, -EMFILE, false);
  const std::shared_ptr<Socket> socket = kernel_.backlog.front();
  kernel_.backlog.pop_front();
  socket->fd = kernel_.NewDescriptor();
  kernel_.open_[socket->fd] = socket;
  return Post(operation, socket->fd, !random.Chance(kernel_.faults.multishot_end_percent));
}

bool SimIo::StepRecv(Operation& operation) {
  Random& random = kernel_.random;
  const SimFaults& faults = kernel_.faults;
  Socket& socket = *operation.socket;
  // Data may overtake a cancel, and precede the news of a reset or of our own shutdown.
  const bool ending = operation.canceled || socket.reset || socket.broker_shutdown;
  if (!socket.to_broker.empty() && (!ending || random.Chance(30))) {
    const bool small = operation.size == RecvSize::kSmall;
    const uint32_t buffers = small ? faults.small_buffers : faults.large_buffers;
    if (in_use_[static_cast<size_t>(operation.size)] >= buffers || random.Chance(faults.no_buffers_percent)) {
      return Post(operation, -ENOBUFS, false);
    }
    size_t n = std::min<size_t>(socket.to_broker.size(), small ? faults.small_bytes : faults.large_bytes);
    if (random.Chance(faults.byte_split_percent)) {
      n = std::min<size_t>(n, random.Between(1, 3));
    } else if (random.Chance(faults.split_percent)) {
      n = random.Between(1, n);
    }
    const bool ended = Post(operation, static_cast<int32_t>(n), !random.Chance(faults.multishot_end_percent),
                            socket.to_broker.view().substr(0, n));
    socket.to_broker.Pop(n);
    return ended;
  }
  if (operation.canceled) return Post(operation, -ECANCELED, false);
  if (socket.reset) return Post(operation, -ECONNRESET, false);
  if (socket.broker_shutdown || (socket.fin && socket.to_broker.empty())) return Post(operation, 0, false);
  return false;
}

void SimIo::Leave(Operation& operation, size_t bytes) {
  uint64_t skip = operation.done;
  size_t left = bytes;
  for (const iovec& part : operation.parts) {
    if (left == 0) break;
    if (skip >= part.iov_len) {
      skip -= part.iov_len;
      continue;
    }
    const size_t take = std::min<size_t>(left, part.iov_len - skip);
    operation.socket->to_client.Push({static_cast<const char*>(part.iov_base) + skip, take});
    skip = 0;
    left -= take;
  }
  operation.done += bytes;
  kernel_.last_move = kernel_.now;
}

void SimIo::SendNow(Operation& operation) {
  Socket& socket = *operation.socket;
  if (socket.reset || socket.broker_shutdown) {
    Post(operation, -EPIPE, false);
    return;
  }
  size_t n = operation.total;
  if (socket.deaf) {
    socket.reset = true;
    operation.done = n;
  } else {
    n = std::min<uint64_t>(n, socket.to_client_max - std::min(socket.to_client_max, socket.to_client.size()));
    if (kernel_.random.Chance(kernel_.faults.short_send_percent)) n = kernel_.random.Below(n + 1);
    Leave(operation, n);
  }
  if (n == operation.total) {
    quiet_.emplace_back(operation.completion, static_cast<int32_t>(n));
  } else {
    Post(operation, n > 0 ? static_cast<int32_t>(n) : -EAGAIN, false);
  }
}

bool SimIo::StepSend(Operation& operation) {
  Random& random = kernel_.random;
  const SimFaults& faults = kernel_.faults;
  Socket& socket = *operation.socket;
  const auto done = static_cast<int32_t>(operation.done);
  if (operation.sent) return Post(operation, done, false);
  if (operation.canceled) return Post(operation, done > 0 ? done : -ECANCELED, false);
  if (socket.reset || socket.broker_shutdown) return Post(operation, done > 0 ? done : -EPIPE, false);
  if (socket.deaf) {
    // The bytes leave, and a reset comes back.
    socket.reset = true;
    return Post(operation, static_cast<int32_t>(operation.total), false);
  }
  size_t n = std::min<uint64_t>(operation.total - operation.done, socket.to_client_max - socket.to_client.size());
  if (random.Chance(faults.send_piece_percent)) n = random.Between(1, n);
  Leave(operation, n);
  if (operation.done == operation.total || random.Chance(faults.short_send_percent)) {
    operation.sent = true;
    if (random.Chance(faults.late_percent)) {
      if (random.Chance(30)) operation.not_before = kernel_.now + Nanos{random.Below(2'000'000)};
      return false;
    }
    return Post(operation, static_cast<int32_t>(operation.done), false);
  }
  return false;
}

void SimIo::Progress() {
  Random& random = kernel_.random;
  for (size_t i = 0; i < operations_.size();) {
    Operation& operation = operations_[i];
    bool ended = false;
    for (int burst = 0; burst < 3 && !ended; ++burst) {
      if (operation.not_before > kernel_.now || !Ready(operation)) break;
      if (!random.Chance(kernel_.faults.progress_percent)) {
        if (random.Chance(kernel_.faults.hold_percent))
          operation.not_before = kernel_.now + Nanos{random.Below(300'000)};
        break;
      }
      switch (operation.kind) {
        case Kind::kAccept:
          ended = StepAccept(operation);
          break;
        case Kind::kRecv:
          ended = StepRecv(operation);
          break;
        default:
          ended = StepSend(operation);
      }
    }
    if (ended) {
      operations_.erase(operations_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

// ---- waiting and answering -----------------------------------------------------------------------------------------

void SimIo::SubmitAndWait(Nanos deadline, bool may_block) {
  Submit();
  Progress();
  if (may_block && results_.empty() && kernel_.now < deadline) {
    blocked_ = true;
    deadline_ = deadline;
    Fiber::Yield();
    blocked_ = false;
  } else if (Fiber::current() != nullptr) {
    if (may_block || kernel_.random.Chance(20)) Fiber::Yield();
  }
  snapshot_ = results_.size();
}

// Results come later, which they may at any time; that none comes before its time is what UringIo's tests show.
void SimIo::SubmitAndGather(Nanos deadline, Nanos) { SubmitAndWait(deadline, true); }

bool SimIo::Wakeable() const {
  if (!results_.empty() || kernel_.now >= deadline_ || DiskBusy()) return true;
  return std::any_of(operations_.begin(), operations_.end(), [this](const Operation& operation) {
    return operation.not_before <= kernel_.now && Ready(operation);
  });
}

bool SimIo::ProgressWhileBlocked() {
  Progress();
  return !results_.empty() || kernel_.now >= deadline_ || (DiskBusy() && kernel_.random.Chance(50));
}

Nanos SimIo::NextEvent() const {
  Nanos next = deadline_;
  for (const Operation& operation : operations_) {
    if (operation.not_before > kernel_.now && Ready(operation)) next = std::min(next, operation.not_before);
  }
  return next;
}

bool SimIo::HasCompletions() {
  if (!results_.empty() || DiskBusy()) return true;
  return std::any_of(operations_.begin(), operations_.end(), [this](const Operation& operation) {
    return operation.not_before <= kernel_.now && Ready(operation);
  });
}

void SimIo::RunQuietSends() {
  for (const auto& [completion, bytes] : std::exchange(quiet_, {})) completion->Finish(IoResult{bytes, false, {}});
}

bool SimIo::RunCompletions(uint64_t bytes_max) {
  if (DiskBusy() && kernel_.random.Chance(50)) disk_.run();
  uint64_t bytes = 0;
  while (snapshot_ > 0) {
    if (bytes >= bytes_max) return false;
    Result result = std::move(results_.front());
    results_.pop_front();
    --snapshot_;
    if (result.completion == nullptr) continue;
    IoResult report{result.value, result.more, {}};
    if (result.buffer) {
      report.bytes = {result.bytes.get(), static_cast<size_t>(result.value)};
      bytes += report.bytes.size();
    }
    result.completion->Finish(report);
    if (result.buffer) --in_use_[static_cast<size_t>(result.size)];
  }
  return true;
}

Nanos SimIo::Now() {
  MaybePreempt();
  return kernel_.now += Nanos{40};
}

}  // namespace millrace::sim
