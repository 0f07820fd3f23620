// SPDX-License-Identifier: Apache-2.0
#include "broker/control/helper_thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "broker/account/password_hash.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
};

bool Open(Pipe* pipe) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  pipe->read = ends[0];
  pipe->write = ends[1];
  return true;
}

void Close(const Pipe& pipe) {
  if (pipe.read >= 0) close(pipe.read);
  if (pipe.write >= 0) close(pipe.write);
}

// A pointer is far below what a pipe takes and gives whole.
Check* ReadCheck(int fd) {
  Check* check = nullptr;
  ssize_t got = 0;
  do {
    got = read(fd, &check, sizeof check);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof check) ? check : nullptr;
}

bool WriteCheck(int fd, Check* check) {
  ssize_t put = 0;
  do {
    put = write(fd, &check, sizeof check);
  } while (put < 0 && errno == EINTR);
  return put == static_cast<ssize_t>(sizeof check);
}

// The thread. It has nothing of the server's but these ends, which it closes: it may outlive the rest.
void Help(int checks, int done) {
  pthread_setname_np(pthread_self(), "helper");
  sigset_t none;  // a write that nobody reads any more only fails
  sigemptyset(&none);
  sigaddset(&none, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &none, nullptr);
  while (Check* const check = ReadCheck(checks)) {
    const bool fits = MatchesHash(check->question.hash, check->question.secret);
    check->finding = fits ? Finding::kYes : Finding::kNo;
    if (WriteCheck(done, check)) continue;
    delete check;  // nobody waits for it any more
  }
  close(checks);
  close(done);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HelperThread>> HelperThread::Start(Io& io, OnDone on_done) {
  Pipe checks;
  Pipe done;
  std::unique_ptr<HelperThread> helper;
  if (Open(&checks) && Open(&done)) {
    helper.reset(new HelperThread(io, std::move(on_done), checks.write, done.read));
    try {
      helper->thread_ = std::thread(Help, checks.read, done.write);
      helper->Read();
      return helper;
    } catch (const std::system_error&) {  // no thread to be had
      helper->stopping_ = true;
      close(checks.read);
      close(done.write);
      return absl::ResourceExhaustedError("no thread to be had for comparing passwords with hashes");
    }
  }
  Close(checks);
  Close(done);
  return absl::ResourceExhaustedError("no descriptors to be had for comparing passwords with hashes");
}

HelperThread::HelperThread(Io& io, OnDone on_done, int to_helper, int from_helper)
    : io_(io), on_done_(std::move(on_done)), to_helper_(to_helper), from_helper_(from_helper) {
  read_.Bind<&HelperThread::OnRead>(this);
}

HelperThread::~HelperThread() {
  MR_CHECK(stopped());
  // What it has put there since, nobody has read.
  fcntl(from_helper_, F_SETFL, O_NONBLOCK);
  while (Check* const check = ReadCheck(from_helper_)) delete check;
  close(from_helper_);
  CloseCalls();
}

void HelperThread::CloseCalls() {
  if (to_helper_ >= 0) close(std::exchange(to_helper_, -1));
}

void HelperThread::Read() { io_.Read(from_helper_, &read_check_, sizeof read_check_, &read_); }

void HelperThread::Give(std::unique_ptr<Check> check) {
  MR_CHECK(!busy_ && !stopping_);
  busy_ = true;
  MR_CHECK(WriteCheck(to_helper_, check.release()));  // it reads as long as this end is open
}

void HelperThread::OnRead(const IoResult& result) {
  if (result.value != static_cast<int32_t>(sizeof read_check_)) {
    MR_CHECK(stopping_);  // it ends when told only
    return;
  }
  std::unique_ptr<Check> check(std::exchange(read_check_, nullptr));
  busy_ = false;
  if (stopping_) return;
  Read();
  on_done_(this, std::move(check));
}

void HelperThread::Stop() {
  MR_CHECK(!stopping_);
  stopping_ = true;
  CloseCalls();
  if (busy_) {
    thread_.detach();
  } else {
    thread_.join();
  }
  io_.Cancel(&read_);
}

}  // namespace millrace
