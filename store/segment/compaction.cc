// SPDX-License-Identifier: Apache-2.0
// SegmentStore: moving what lives out of files that are mostly dead, and letting idle streams go to rest.
#include <algorithm>

#include "store/segment/file_stream_log.h"
#include "store/segment/segment_ops.h"
#include "store/segment/segment_store.h"

namespace millrace {
namespace {

constexpr uint64_t kLookEvery = 64;  // turns between two looks for a file that wants compaction
constexpr uint64_t kLeastDeadPart = 8;  // an eighth of a file: less is not worth its reading
constexpr size_t kVisitsPerTurn = 4;

}  // namespace

uint64_t SegmentStore::DeadBytes() const {
  const uint64_t used = use_.live_bytes + use_.held_bytes + files_.size() * kSegmentHeaderBytes;
  return use_.file_bytes - std::min(use_.file_bytes, used);
}

uint64_t SegmentStore::DeadBytesMax() const {
  return (thrift_ == Thrift::kBusy ? use_.live_bytes / 2 : use_.live_bytes / 5) + options_.slack_bytes / 2;
}

void SegmentStore::SetThrift(Thrift thrift) {
  thrift_ = thrift;
  look_ = thrift != Thrift::kBusy;
}

bool SegmentStore::has_work() const {
  if (thrift_ == Thrift::kBusy || !queued_.empty()) return false;
  return compacting_ != 0 || (look_ && !WaitsForCheckpoint());
}

// Room is scarce: what compaction has left behind goes before it takes any more.
bool SegmentStore::WaitsForCheckpoint() const { return thrift_ == Thrift::kFull && use_.held_bytes > 0; }

// The one that is dead for the most part costs least. nullptr: nothing has to move.
SegmentFile* SegmentStore::FindDeadFile() {
  const bool too_much = DeadBytes() > DeadBytesMax();
  uint64_t live_max = UINT64_MAX;
  if (thrift_ == Thrift::kFull) live_max = disk_.FreeBytes().value_or(0) / 2;
  SegmentFile* best = nullptr;
  for (const auto& [number, file] : files_) {
    if (file->wanted == 0 || file->compacted) continue;
    if (!file->takes_appends && (file->failed || file->stale)) return file.get();
    const uint64_t dead = file->dead_bytes();
    if (!too_much || dead * kLeastDeadPart < file->end || file->live_bytes > live_max) continue;
    if (best == nullptr || dead * best->end > best->dead_bytes() * file->end) best = file.get();
  }
  return best;
}

// A file is read to its end once begun; what moves out of it goes where new blocks go. The file itself goes when the
// checkpoint that still refers to it has been followed by another.
void SegmentStore::Compact() {
  if (recovering_) return;
  if (compacting_ == 0) {
    const bool more_is_dead = thrift_ != Thrift::kBusy && DeadBytes() > looked_at_dead_ + options_.slack_bytes / 8;
    if ((!look_ && turn_ < next_look_ && !more_is_dead) || WaitsForCheckpoint()) return;
    look_ = false;
    SegmentFile* file = FindDeadFile();
    if (file == nullptr) {
      next_look_ = turn_ + kLookEvery;
      looked_at_dead_ = DeadBytes();
      return;
    }
    if (file->takes_appends) StopAppends(file);
    MR_CHECK(compacting_uids_.empty() && !file->takes_appends);  // what moves out does not come back
    compacting_ = file->number;
    compacting_uids_ = file->uids;
    std::sort(compacting_uids_.begin(), compacting_uids_.end());
    compacting_uids_.erase(std::unique(compacting_uids_.begin(), compacting_uids_.end()), compacting_uids_.end());
  }
  uint64_t budget = options_.compact_turn_bytes;
  while (budget > 0 && !compacting_uids_.empty() && queued_.empty()) {
    const auto log = logs_.find(compacting_uids_.back());
    if (log != logs_.end() && log->second->working()) return;  // work on it is paused
    const uint64_t bytes = log == logs_.end() ? 0 : log->second->MoveOut(compacting_);
    if (bytes == 0) compacting_uids_.pop_back();
    compacted_bytes_ += bytes;
    budget -= std::min(budget, bytes);
  }
  if (!compacting_uids_.empty()) return;
  if (const auto file = files_.find(compacting_); file != files_.end()) file->second->compacted = true;
  compacting_ = 0;
  look_ = thrift_ != Thrift::kBusy;
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
