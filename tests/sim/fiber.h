// SPDX-License-Identifier: Apache-2.0
// Fiber: a stack of its own for each simulated thread, so that a shard can really block inside SubmitAndWait and be
// preempted
//        at any call it makes to its Io, while the whole run stays on one thread and repeats exactly.
// Owner:  the thread that simulates.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace millrace::sim {

class Fiber {
 public:
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From outside of any fiber: runs it until it yields or ends.
  void Resume();
  bool done() const { return done_; }

  // From inside: back to whoever resumed it.
  static void Yield();
  static Fiber* current();

 private:
  static void Enter();
  void SwitchOut(bool last);

  std::function<void()> body_;
  char* stack_ = nullptr;
  ucontext_t own_{};
  ucontext_t outside_{};
  void* own_fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_bytes_ = 0;
  bool done_ = false;
};

}  // namespace millrace::sim
