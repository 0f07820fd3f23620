// SPDX-License-Identifier: Apache-2.0
// StreamWork: work on streams that may take long, as tasks (long_tasks.h), and what waits for it.
// Owner:  shard; part of the engine.
// Hold:   while a task that concerns a stream is paused, the stream is held: messages, acknowledgements, requests and
//         timers of it and its consumers wait, and are taken in the order in which they came when the task has ended.
//         So whatever a task does to a stream is one step to everybody else; its record in the log is staged at its
//         end.
// Streams are known by their uid: one may be gone when its work comes to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "broker/jetstream/base/long_tasks.h"
#include "proto/base/check.h"

namespace millrace {

class HoldListener {
 public:
  virtual void OnHeld(uint64_t uid) = 0;
  // visible_seq: of the last StreamWork::ShowLater; 0: there was none.
  virtual void OnReleased(uint64_t uid, uint64_t visible_seq) = 0;

 protected:
  ~HoldListener() = default;
};

class StreamWork {
 public:
  static constexpr uint64_t kNoStream = 0;  // uids begin at 1

  StreamWork(std::function<Nanos()> clock, HoldListener& listener) : tasks_(std::move(clock)), listener_(listener) {}
  StreamWork(const StreamWork&) = delete;
  StreamWork& operator=(const StreamWork&) = delete;

  // `uid`: of the stream that nobody else may touch until the work has ended, or kNoStream.
  void RunLong(uint64_t uid, LongTasks::Work work) { Enqueue(uid, std::move(work), 0); }
  // The same; `bytes` is what it takes while it waits.
  void Enqueue(uint64_t uid, LongTasks::Work work, size_t bytes);
  // The stream is another one's at the moment.
  bool MustWait(uint64_t uid) const { return holds_.contains(uid) && tasks_.owner() != uid; }
  bool AnyHeld() const { return !holds_.empty(); }
  bool Holds(uint64_t uid) const { return holds_.contains(uid); }
  // So much waits that who sends should pause.
  bool crowded() const { return held_bytes_ > kHeldBytesMax; }
  // Of a stream that must wait: messages up to `seq` may be seen when it is released.
  void ShowLater(uint64_t uid, uint64_t seq);
  LongTasks& tasks() { return tasks_; }

  // --- the turn
  // Goes on with what is paused.
  void Run() {
    tasks_.Run([this](uint64_t uid) { OnTaskEnded(uid); });
  }
  // All of it, however long it takes.
  void Finish() {
    tasks_.Finish([this](uint64_t uid) { OnTaskEnded(uid); });
  }

  void Invariant() const;

 private:
  // What waits for a stream that is held.
  struct Hold {
    struct Waiting {
      LongTasks::Work work;
      size_t bytes;
    };
    std::deque<Waiting> waiting;
    uint64_t visible_seq = 0;
  };
  static constexpr size_t kHeldBytesMax = 2 << 20;

  void Drain(uint64_t uid);
  void OnTaskEnded(uint64_t uid);

  LongTasks tasks_;
  HoldListener& listener_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Hold>> holds_;  // by uid
  size_t held_bytes_ = 0;                                       // of what waits
};

}  // namespace millrace
