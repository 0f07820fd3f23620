// SPDX-License-Identifier: Apache-2.0
// SegmentStore: moving what lives out of files that are mostly dead, and letting idle streams go to rest.
#include <algorithm>

#include "store/file_stream_log.h"
#include "store/segment_ops.h"
#include "store/segment_store.h"

namespace millrace {
namespace {

constexpr uint64_t kLookEvery = 64;  // turns between two looks for a file that wants compaction
constexpr size_t kVisitsPerTurn = 4;

}  // namespace

// A file is read to its end once begun; what moves out of it goes where new blocks go. The file itself goes when the
// checkpoint that still refers to it has been followed by another.
void SegmentStore::Compact() {
  if (recovering_) return;
  if (compacting_ == 0) {
    if (turn_ < next_look_) return;
    for (const auto& [number, file] : files_) {
      if (file->takes_appends || file->wanted == 0 || file->compacted) continue;
      const bool dead = file->dead_bytes() >= options_.compact_dead_bytes && file->dead_bytes() * 2 > file->end;
      if (!dead && !file->failed && !file->stale) continue;
      compacting_ = number;
      compacting_uids_ = file->uids;
      std::sort(compacting_uids_.begin(), compacting_uids_.end());
      compacting_uids_.erase(std::unique(compacting_uids_.begin(), compacting_uids_.end()), compacting_uids_.end());
      break;
    }
    if (compacting_ == 0) {
      next_look_ = turn_ + kLookEvery;
      return;
    }
  }
  uint64_t budget = options_.compact_turn_bytes;
  while (budget > 0 && !compacting_uids_.empty() && queued_.empty()) {
    const auto log = logs_.find(compacting_uids_.back());
    const uint64_t bytes = log == logs_.end() ? 0 : log->second->MoveOut(compacting_);
    if (bytes == 0) compacting_uids_.pop_back();
    compacted_bytes_ += bytes;
    budget -= std::min(budget, bytes);
  }
  if (!compacting_uids_.empty()) return;
  if (const auto file = files_.find(compacting_); file != files_.end()) file->second->compacted = true;
  compacting_ = 0;
}

void SegmentStore::OnHydrated(FileStreamLog* log) { hydrated_.push_back(log->uid()); }

// When more streams have their index in memory than options allow, those that were not used since the last round let go
// of it. A few are looked at each turn.
void SegmentStore::Dehydrate() {
  for (size_t i = 0; i < kVisitsPerTurn && hydrated_.size() > options_.hydrated_max; ++i) {
    if (hydrated_at_ >= hydrated_.size()) hydrated_at_ = 0;
    const auto log = logs_.find(hydrated_[hydrated_at_]);
    if (log != logs_.end() && log->second->hydrated()) {
      if (log->second->TakeUsed() || !log->second->MayRest()) {
        ++hydrated_at_;
        continue;
      }
      log->second->Dehydrate();
    }
    hydrated_[hydrated_at_] = hydrated_.back();
    hydrated_.pop_back();
  }
}

}  // namespace millrace
