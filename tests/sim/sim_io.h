// SPDX-License-Identifier: Apache-2.0
// SimIo: Io over sockets in memory, with everything a kernel may do between asking and answering.
// Owner:  the simulating thread. One SimKernel per run, one SimIo per participant of the mesh.
// What it does to its caller: splits received bytes anywhere, ends a multishot receive when it likes or for want of
// buffers,
//         sends in pieces or short, answers late, lets data overtake a cancel, resets. Bytes that are being sent are
//         read when they leave, not when they were handed over, and received bytes live in a block of their own that is
//         freed after the handler: AddressSanitizer sees who touches them too early or too late.
// Where it is strict: an operation on a closed descriptor, a Close with operations in flight, a second Close: all fail
// the run.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/io/io.h"
#include "tests/sim/random.h"

namespace millrace::sim {

// Prints what went wrong and how to see it again, and ends the process.
[[noreturn]] void Fail(const std::string& what);
// The line of a run that --trace shows.
void Trace(const std::string& line);
bool Tracing();

class BytePipe {
 public:
  size_t size() const { return bytes_.size() - head_; }
  bool empty() const { return size() == 0; }
  std::string_view view() const { return std::string_view(bytes_).substr(head_); }
  void Push(std::string_view bytes) { bytes_.append(bytes); }
  void Pop(size_t n) {
    head_ += n;
    if (head_ == bytes_.size()) {
      bytes_.clear();
      head_ = 0;
    } else if (head_ > 65536 && head_ > bytes_.size() / 2) {
      bytes_.erase(0, head_);
      head_ = 0;
    }
  }
  void Clear() {
    bytes_.clear();
    head_ = 0;
  }

 private:
  std::string bytes_;
  size_t head_ = 0;
};

// A connected pair of sockets: the client's side is played by SimClient.
struct Socket {
  uint64_t serial = 0;
  int fd = -1;
  BytePipe to_broker;
  BytePipe to_client;
  size_t to_broker_max = 65536;
  size_t to_client_max = 65536;
  bool fin = false;   // the client has sent its last byte
  bool deaf = false;  // the client has closed: what arrives there is answered with a reset
  bool reset = false;
  bool broker_shutdown = false;
  bool broker_closed = false;
  uint64_t shutdown_stamp = 0;  // event counter at that moment
  uint64_t closed_stamp = 0;
};

// How unkind the kernel is; drawn from the seed.
struct SimFaults {
  uint32_t progress_percent = 70;    // an operation that could go on does, per look
  uint32_t hold_percent = 5;         // ... and if it does not, it may be held back for a while
  uint32_t byte_split_percent = 10;  // a receive brings 1 to 3 bytes
  uint32_t split_percent = 50;       // a receive brings less than there is
  uint32_t no_buffers_percent = 3;
  uint32_t multishot_end_percent = 3;
  uint32_t short_send_percent = 10;  // a send brings part of its bytes and ends so
  uint32_t send_piece_percent = 40;  // a send makes progress in pieces
  uint32_t late_percent = 20;        // the answer comes later than the deed
  uint32_t preempt_percent = 5;      // the thread is preempted at a call
  uint32_t accept_error_percent = 3;
  uint32_t small_bytes = 512;
  uint32_t small_buffers = 8;
  uint32_t large_bytes = 16384;
  uint32_t large_buffers = 4;
};

class SimIo;

class SimKernel {
 public:
  static constexpr int kListener = 0x3fffffff;

  SimKernel(Random& random, const SimFaults& faults, Nanos start) : random(random), faults(faults), now(start) {}

  // A fresh pair. `listening`: it waits to be accepted; otherwise the caller hands the descriptor over.
  std::shared_ptr<Socket> Connect(bool listening, size_t to_broker_max, size_t to_client_max);
  Socket* Find(int fd);
  size_t open_descriptors() const { return open_.size(); }
  uint64_t Stamp() { return ++stamp; }

  Random& random;
  const SimFaults faults;
  Nanos now;
  uint64_t stamp = 0;  // counts events: what happened before what
  bool listener_open = false;
  std::deque<std::shared_ptr<Socket>> backlog;
  std::vector<SimIo*> ios;  // by participant
  Nanos last_move{0};       // when bytes last moved

 private:
  friend class SimIo;
  int NewDescriptor();

  std::map<int, std::shared_ptr<Socket>> open_;
  uint64_t next_serial_ = 1;
};

class SimIo final : public Io {
 public:
  SimIo(SimKernel& kernel, uint32_t self);
  ~SimIo() override;

  void Accept(int listener, Completion* completion) override;
  void Recv(int fd, RecvSize size, Completion* completion) override;
  void Send(int fd, const iovec* parts, uint32_t count, Completion* completion) override;
  void SendQuietly(int fd, const iovec* parts, uint32_t count, Completion* completion) override;
  void Read(int fd, void* buffer, uint32_t bytes, Completion* completion) override;
  // The simulation's disk is SimDisk: nothing asks its Io for files.
  void ReadFile(int, uint64_t, char*, uint32_t, Completion*) override { MR_CHECK(false); }
  void WriteFile(int, uint64_t, std::string_view, WriteMode, Completion*) override { MR_CHECK(false); }
  void SyncFile(int, Completion*) override { MR_CHECK(false); }
  void Unlink(int, const char*, Completion*) override { MR_CHECK(false); }
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

  // For the world.
  // A disk whose results come in this participant's turns.
  struct Disk {
    std::function<bool()> busy;
    std::function<void()> run;
  };
  void Attach(Disk disk) { disk_ = std::move(disk); }
  bool blocked() const { return blocked_; }
  // Blocked, and something is there that a kernel would wake it for. Does not make progress.
  bool Wakeable() const;
  // Blocked: lets operations go on. True if the participant now has cause to return.
  bool ProgressWhileBlocked();
  // When time alone changes something, or Nanos::max().
  Nanos NextEvent() const;
  void Ring() { results_.push_back(Result{nullptr, 0, false, false, RecvSize::kSmall, nullptr}); }  // a doorbell
  bool idle() const { return operations_.empty() && queue_.empty() && results_.empty(); }

 private:
  enum class Kind : uint8_t { kAccept, kRecv, kSend, kCancel, kWake };
  struct Operation {
    Kind kind;
    Completion* completion = nullptr;
    std::shared_ptr<Socket> socket;
    RecvSize size = RecvSize::kSmall;
    std::vector<iovec> parts;
    uint64_t total = 0;
    uint64_t done = 0;
    bool sent = false;  // all bytes have left, the answer has not
    bool quiet = false;
    bool canceled = false;
    uint32_t target = 0;  // kWake
    Nanos not_before{0};
  };
  struct Result {
    Completion* completion;
    int32_t value;
    bool more;
    bool buffer;
    RecvSize size;
    std::unique_ptr<char[]> bytes;
  };

  void Submit();
  void Progress();
  bool Ready(const Operation& operation) const;
  // Each returns true when the operation has ended.
  bool StepAccept(Operation& operation);
  bool StepRecv(Operation& operation);
  bool StepSend(Operation& operation);
  void SendNow(Operation& operation);
  void Leave(Operation& operation, size_t bytes);
  bool Post(const Operation& operation, int32_t value, bool more, std::string_view bytes = {});
  std::shared_ptr<Socket> Get(int fd, const char* what);
  void MaybePreempt();
  bool DiskBusy() const { return disk_.busy != nullptr && disk_.busy(); }

  SimKernel& kernel_;
  const uint32_t self_;
  std::vector<Operation> queue_;       // asked for, not submitted
  std::vector<Operation> operations_;  // in the kernel
  std::deque<Result> results_;
  std::vector<std::pair<Completion*, int32_t>> quiet_;  // quiet sends that have left whole
  Disk disk_;
  size_t snapshot_ = 0;
  uint32_t in_use_[2] = {0, 0};  // receive buffers
  bool blocked_ = false;
  Nanos deadline_{0};
};

}  // namespace millrace::sim
