// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/stream_work.h"

namespace millrace {

void StreamWork::Enqueue(uint64_t uid, LongTasks::Work work, size_t bytes) {
  MR_DCHECK(uid != LongTasks::kNobody);
  if (uid != kNoStream) {
    if (tasks_.owner() == uid) return work();
    if (const auto at = holds_.find(uid); at != holds_.end()) {
      at->second->waiting.push_back({std::move(work), bytes});
      held_bytes_ += bytes;
      return;
    }
  }
  if (tasks_.Start(uid, std::move(work)) || uid == kNoStream) return;
  MR_CHECK(holds_.emplace(uid, std::make_unique<Hold>()).second);
  listener_.OnHeld(uid);
}

void StreamWork::ShowLater(uint64_t uid, uint64_t seq) {
  const auto hold = holds_.find(uid);
  MR_CHECK(hold != holds_.end() && hold->second->visible_seq <= seq);
  hold->second->visible_seq = seq;
}

// What came meanwhile belongs to the task as well: more may come while it is taken.
void StreamWork::Drain(uint64_t uid) {
  constexpr uint64_t kWaitingUnits = 20;
  MR_CHECK(holds_.contains(uid) && tasks_.owner() == uid);
  Hold& hold = *holds_[uid];
  while (!hold.waiting.empty()) {
    const Hold::Waiting next = std::move(hold.waiting.front());
    hold.waiting.pop_front();
    MR_CHECK_OP(held_bytes_, >=, next.bytes);
    held_bytes_ -= next.bytes;
    next.work();
    tasks_.Tick(kWaitingUnits);
  }
}

void StreamWork::OnTaskEnded(uint64_t uid) {
  const auto at = holds_.find(uid);
  if (at == holds_.end()) return;
  if (!at->second->waiting.empty() && !tasks_.Start(uid, [this, uid] { Drain(uid); })) return;
  const std::unique_ptr<Hold> hold = std::move(holds_.extract(uid).mapped());
  MR_CHECK(hold->waiting.empty());
  listener_.OnReleased(uid, hold->visible_seq);
}

void StreamWork::Invariant() const {
  size_t held_bytes = 0;
  for (const auto& [uid, hold] : holds_) {
    MR_CHECK_OP(tasks_.PausedOf(uid), ==, 1);
    for (const Hold::Waiting& waiting : hold->waiting) held_bytes += waiting.bytes;
  }
  MR_CHECK_OP(held_bytes, ==, held_bytes_);
  MR_CHECK_OP(holds_.size() + tasks_.PausedOf(kNoStream), ==, tasks_.paused());
}

}  // namespace millrace
