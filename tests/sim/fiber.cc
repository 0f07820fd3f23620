// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/fiber.h"

#include <sys/mman.h>

#include <utility>

#include "proto/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace millrace::sim {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = 1 << 20;  // becomes resident as it is used

Fiber* g_current = nullptr;

// AddressSanitizer has to be told which stack is in use.
void StartSwitch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* stack,
                 [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
}
void FinishSwitch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** stack,
                  [[maybe_unused]] size_t* bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#endif
}

}  // namespace

Fiber* Fiber::current() { return g_current; }

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  MR_CHECK(memory != MAP_FAILED);
  MR_CHECK(mprotect(memory, kGuardBytes, PROT_NONE) == 0);
  stack_ = static_cast<char*>(memory) + kGuardBytes;
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_;
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &Fiber::Enter, 0);
}

Fiber::~Fiber() { munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes); }

void Fiber::Resume() {
  MR_CHECK(g_current == nullptr && !done_);
  g_current = this;
  void* fake_stack = nullptr;
  StartSwitch(&fake_stack, stack_, kStackBytes);
  swapcontext(&outside_, &own_);
  FinishSwitch(fake_stack, nullptr, nullptr);
  g_current = nullptr;
}

void Fiber::SwitchOut(bool last) {
  StartSwitch(last ? nullptr : &own_fake_stack_, outside_stack_, outside_bytes_);
  swapcontext(&own_, &outside_);
  FinishSwitch(own_fake_stack_, &outside_stack_, &outside_bytes_);
}

void Fiber::Yield() {
  MR_CHECK(g_current != nullptr);
  g_current->SwitchOut(false);
}

void Fiber::Enter() {
  Fiber* self = g_current;
  FinishSwitch(nullptr, &self->outside_stack_, &self->outside_bytes_);
  self->body_();
  self->done_ = true;
  self->SwitchOut(true);
}

}  // namespace millrace::sim
