// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/long_tasks.h"

#include <algorithm>
#include <utility>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr Nanos kSlice = std::chrono::microseconds(500);
constexpr uint64_t kSliceUnits = 10'000;  // the same where the clock stands still, or where work is slower than thought
constexpr uint64_t kLookUnits = 500;      // between two looks at the clock
constexpr size_t kSpareMax = 2;

}  // namespace

LongTasks::~LongTasks() { MR_CHECK(paused_.empty() && running_ == nullptr && unpaused_ == 0); }

void LongTasks::BeginTurn() {
  MR_CHECK(running_ == nullptr && unpaused_ == 0);
  longest_slice_ = std::max(longest_slice_, done_ - slice_from_);
  slice_from_ = done_;
  slice_at_ = clock_();
  due_ = done_ + kLookUnits;
  spent_ = false;
}

void LongTasks::OnDue() {
  due_ = done_ + kLookUnits;
  spent_ = spent_ || done_ - slice_from_ >= kSliceUnits || clock_() - slice_at_ >= kSlice;
  if (!spent_ || running_ == nullptr || unpaused_ > 0 || finishing_) return;
  running_->fiber.Pause();
}

bool LongTasks::Resume(Task* task) {
  // A task may start another one: deliveries inside of it do.
  Task* const outer = std::exchange(running_, task);
  const uint32_t unpaused = std::exchange(unpaused_, 0);
  const bool ended = task->fiber.Resume();
  unpaused_ = unpaused;
  running_ = outer;
  return ended;
}

bool LongTasks::Start(uint64_t owner, Work work) {
  MR_DCHECK(owner != kNobody && work != nullptr);
  std::unique_ptr<Task> task;
  if (spare_.empty()) {
    task = std::make_unique<Task>();
  } else {
    task = std::move(spare_.back());
    spare_.pop_back();
  }
  task->owner = owner;
  task->fiber.Start(std::move(work));
  if (Resume(task.get())) {
    Recycle(std::move(task));
    return true;
  }
  paused_.push_back(std::move(task));
  return false;
}

void LongTasks::Recycle(std::unique_ptr<Task> task) {
  MR_DCHECK(task.get() != running_);
  if (spare_.size() < kSpareMax) spare_.push_back(std::move(task));
}

void LongTasks::Run(const std::function<void(uint64_t owner)>& on_ended) {
  MR_CHECK(running_ == nullptr);
  bool any = false;  // one gets on however much was asked for before it
  for (size_t left = paused_.size(); left > 0 && !(any && spent_); --left) {
    any = true;
    std::unique_ptr<Task> task = std::move(paused_.front());
    paused_.pop_front();
    if (!Resume(task.get())) {
      paused_.push_back(std::move(task));
      continue;
    }
    const uint64_t owner = task->owner;
    Recycle(std::move(task));
    on_ended(owner);
  }
}

size_t LongTasks::PausedOf(uint64_t owner) const {
  return static_cast<size_t>(std::count_if(paused_.begin(), paused_.end(),
                                           [owner](const auto& task) { return task->owner == owner; }));
}

void LongTasks::WaitUntil(const std::function<bool()>& ready) {
  while (!ready()) {
    MR_CHECK(running_ != nullptr && unpaused_ == 0);
    running_->fiber.Pause();
  }
}

void LongTasks::Finish(const std::function<void(uint64_t owner)>& on_ended) {
  MR_CHECK(running_ == nullptr);
  finishing_ = true;
  while (!paused_.empty()) {
    spent_ = false;
    Run(on_ended);
  }
  finishing_ = false;
}

}  // namespace millrace
