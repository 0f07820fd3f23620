// SPDX-License-Identifier: Apache-2.0
// LongTasks: work whose length is data, done in slices of a turn.
// Owner:  shard; part of the engine.
// How:    each task runs on a stack of its own. Loops over data say how far they are (store/pace.h); when this turn's
//         slice is used up, the task is left there and goes on in the next turn. Several go on in turns. Whatever ends
//         within the slice has run as an ordinary call.
// Rights: a task has an owner, a stream's uid, or 0. The engine keeps everybody else away from that stream until the
//         task has ended (stream_work.h, Hold).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "broker/jetstream/base/fiber.h"
#include "proto/base/check.h"
#include "proto/base/nanos.h"
#include "store/pace.h"

namespace millrace {

class LongTasks final : public Pace {
 public:
  using Work = std::function<void()>;

  // `clock` is the time as it is, not that of the turn.
  explicit LongTasks(std::function<Nanos()> clock) : clock_(std::move(clock)) {}
  ~LongTasks();

  // A turn begins: there is a slice again.
  void BeginTurn();
  // This turn's slice is used up.
  bool spent() const { return spent_; }
  // Runs as far as the slice goes. True: it has ended; else Run goes on with it.
  bool Start(uint64_t owner, Work work);
  // Goes on with what is paused; on_ended(owner) for each that ends.
  void Run(const std::function<void(uint64_t owner)>& on_ended);
  // From inside a task: lets others go on until `ready`. Elsewhere there must be nothing to wait for.
  void WaitUntil(const std::function<bool()>& ready);
  // To the end, however long it takes.
  void Finish(const std::function<void(uint64_t owner)>& on_ended);

  bool idle() const { return paused_.empty(); }
  // Of the task that runs now; kNobody: none does.
  static constexpr uint64_t kNobody = UINT64_MAX;
  uint64_t owner() const { return running_ == nullptr ? kNobody : running_->owner; }
  // Tasks of this owner that are paused.
  size_t PausedOf(uint64_t owner) const;
  size_t paused() const { return paused_.size(); }
  // The most that was done at one go, in units.
  uint64_t longest_slice() const { return longest_slice_; }

  // While one lives nothing is paused: what is between here and the task is not made for it (a router that delivers).
  class Unpaused {
   public:
    explicit Unpaused(LongTasks& tasks) : tasks_(tasks) { ++tasks_.unpaused_; }
    ~Unpaused() {
      MR_DCHECK(tasks_.unpaused_ > 0);
      --tasks_.unpaused_;
    }
    Unpaused(const Unpaused&) = delete;
    Unpaused& operator=(const Unpaused&) = delete;

   private:
    LongTasks& tasks_;
  };

 private:
  struct Task {
    uint64_t owner = 0;
    Fiber fiber;
  };

  void OnDue() override;
  bool Resume(Task* task);
  void Recycle(std::unique_ptr<Task> task);

  const std::function<Nanos()> clock_;
  std::deque<std::unique_ptr<Task>> paused_;
  std::vector<std::unique_ptr<Task>> spare_;
  Task* running_ = nullptr;
  uint32_t unpaused_ = 0;
  bool finishing_ = false;
  bool spent_ = false;
  uint64_t slice_from_ = 0;  // done()
  Nanos slice_at_{0};
  uint64_t longest_slice_ = 0;
};

}  // namespace millrace
