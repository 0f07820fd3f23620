// SPDX-License-Identifier: Apache-2.0
// Fiber: a function on a stack of its own, which can be left in the middle and gone on with later.
// Owner:  shard; one thread runs it, and nothing in it is shared.
// Use:    Start(work), then Resume() until it says that the work has ended; the work calls Pause(). It must have ended
//         before the fiber is destroyed. A fiber may be started again after that.
// Cost:   a switch is ten instructions each way; a stack is 1 MiB of addresses, of which what was touched takes memory.
#pragma once

#include <cstddef>
#include <functional>

namespace millrace {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void Start(std::function<void()> work);
  // Runs the work until it pauses or ends. True: it has ended.
  bool Resume();
  // From inside the work: back to who resumed it.
  void Pause();

 private:
  static void Main(Fiber* self);

  char* memory_;               // with a page below that nobody may touch
  void* sp_ = nullptr;         // of the work while it is paused
  void* outer_sp_ = nullptr;   // of who resumed it while it runs
  bool running_ = false;
  bool ended_ = true;
  std::function<void()> work_;
  // For AddressSanitizer: the outer stack, and the two stacks of fakes.
  const void* outer_bottom_ = nullptr;
  size_t outer_bytes_ = 0;
  void* fake_ = nullptr;
  void* outer_fake_ = nullptr;
};

}  // namespace millrace
