// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "proto/base/check.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// Saves what the System V ABI of x86-64 says a function keeps, and goes on where the other stack was left. A fresh
// stack "was left" in millrace_fiber_begin, with the fiber in r12 and its function in r13.
extern "C" void millrace_switch_stack(void** save_sp, void* sp);
extern "C" void millrace_fiber_begin();
asm(R"(
  .text
  .p2align 4
  .globl millrace_switch_stack
  .hidden millrace_switch_stack
  .type millrace_switch_stack, @function
millrace_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size millrace_switch_stack, .-millrace_switch_stack

  .globl millrace_fiber_begin
  .hidden millrace_fiber_begin
  .type millrace_fiber_begin, @function
millrace_fiber_begin:
  .cfi_startproc
  .cfi_undefined rip
  movq %r12, %rdi
  callq *%r13
  ud2
  .cfi_endproc
  .size millrace_fiber_begin, .-millrace_fiber_begin
)");

namespace millrace {
namespace {

constexpr size_t kStackBytes = 1 << 20;
constexpr size_t kGuardBytes = 4096;

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  MR_CHECK(memory != MAP_FAILED);
  memory_ = static_cast<char*>(memory);
  MR_CHECK(mprotect(memory_, kGuardBytes, PROT_NONE) == 0);
}

Fiber::~Fiber() {
  MR_CHECK(ended_);
  munmap(memory_, kGuardBytes + kStackBytes);
}

void Fiber::Start(std::function<void()> work) {
  MR_CHECK(ended_ && !running_ && work != nullptr);
  ended_ = false;
  work_ = std::move(work);
  // As millrace_switch_stack leaves it: r15, r14, r13, r12, rbx, rbp, where to return to. The stack is aligned at the
  // call that comes next.
  auto* top = reinterpret_cast<uint64_t*>(memory_ + kGuardBytes + kStackBytes - 72);
  top[0] = top[1] = top[4] = top[5] = 0;
  top[2] = reinterpret_cast<uint64_t>(&Fiber::Main);
  top[3] = reinterpret_cast<uint64_t>(this);
  top[6] = reinterpret_cast<uint64_t>(&millrace_fiber_begin);
  sp_ = top;
}

bool Fiber::Resume() {
  MR_CHECK(!ended_ && !running_);
  running_ = true;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&outer_fake_, memory_ + kGuardBytes, kStackBytes);
#endif
  millrace_switch_stack(&outer_sp_, sp_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(outer_fake_, nullptr, nullptr);
#endif
  running_ = false;
  if (ended_) work_ = nullptr;
  return ended_;
}

void Fiber::Pause() {
  MR_CHECK(running_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(ended_ ? nullptr : &fake_, outer_bottom_, outer_bytes_);
#endif
  millrace_switch_stack(&sp_, outer_sp_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_, &outer_bottom_, &outer_bytes_);
#endif
}

void Fiber::Main(Fiber* self) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &self->outer_bottom_, &self->outer_bytes_);
#endif
  self->work_();
  MR_CHECK(self->running_ && !self->ended_);
  self->ended_ = true;
  self->Pause();  // for good
}

}  // namespace millrace
