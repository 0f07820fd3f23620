// SPDX-License-Identifier: Apache-2.0
// HelperThread: does what blocks, one check after the other: the only thread that may.
// Owner:  control thread. A check belongs to the helper from Give until `on_done`; two pipes carry its pointer there
//         and back, so that there is nothing to lock.
// States: idle -> (Give) busy -> (on_done) idle; Stop -> stopped, at once when idle. One that is busy then is left to
//         itself: it ends with its check, or with the process. A check may take as long as its hash says.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "broker/io/io.h"
#include "broker/mesh/mail.h"
#include "broker/question.h"
#include "proto/base/completion.h"

namespace millrace {

struct Check {
  ConnectionId id;
  Question question;
  Finding finding = Finding::kNo;
};

class HelperThread {
 public:
  using OnDone = std::function<void(HelperThread*, std::unique_ptr<Check>)>;

  // Starts it.
  static absl::StatusOr<std::unique_ptr<HelperThread>> Start(Io& io, OnDone on_done);
  ~HelperThread();

  void Give(std::unique_ptr<Check> check);
  bool busy() const { return busy_; }
  void Stop();
  // May be destroyed.
  bool stopped() const { return stopping_ && !read_.busy(); }

 private:
  HelperThread(Io& io, OnDone on_done, int to_helper, int from_helper);

  void CloseCalls();
  void Read();
  void OnRead(const IoResult& result);

  Io& io_;
  const OnDone on_done_;
  int to_helper_;  // -1: closed
  const int from_helper_;
  bool busy_ = false;
  bool stopping_ = false;
  Check* read_check_ = nullptr;  // where the kernel puts it
  Completion read_;
  std::thread thread_;
};

}  // namespace millrace
