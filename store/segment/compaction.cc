// SPDX-License-Identifier: Apache-2.0
#include "store/segment/compaction.h"

#include <algorithm>

#include "store/segment/file_stream_log.h"

namespace millrace {
namespace {

constexpr uint64_t kLookEvery = 64;  // turns between two looks for a file that wants compaction
constexpr uint64_t kLeastDeadPart = 8;  // an eighth of a file: less is not worth its reading

}  // namespace

uint64_t Compaction::DeadBytesMax() const {
  const uint64_t live = files_.use().live_bytes;
  return (thrift_ == Thrift::kBusy ? live / 2 : live / 5) + options_.slack_bytes / 2;
}

void Compaction::SetThrift(Thrift thrift) {
  thrift_ = thrift;
  look_ = thrift != Thrift::kBusy;
}

bool Compaction::has_work() const {
  if (thrift_ == Thrift::kBusy || !blocks_.queue_empty()) return false;
  return file_ != 0 || (look_ && !WaitsForCheckpoint());
}

// Room is scarce: what compaction has left behind goes before it takes any more.
bool Compaction::WaitsForCheckpoint() const { return thrift_ == Thrift::kFull && files_.use().held_bytes > 0; }

// The one that is dead for the most part costs least. nullptr: nothing has to move.
SegmentFile* Compaction::FindDeadFile() {
  const bool too_much = files_.dead_bytes() > DeadBytesMax();
  uint64_t live_max = UINT64_MAX;
  if (thrift_ == Thrift::kFull) live_max = disk_.FreeBytes().value_or(0) / 2;
  SegmentFile* best = nullptr;
  for (const auto& [number, file] : files_.all()) {
    if (file->wanted == 0 || file->compacted) continue;
    if (!file->takes_appends && (file->failed || file->stale)) return file.get();
    const uint64_t dead = file->dead_bytes();
    if (!too_much || dead * kLeastDeadPart < file->end || file->live_bytes > live_max) continue;
    if (best == nullptr || dead * best->end > best->dead_bytes() * file->end) best = file.get();
  }
  return best;
}

bool Compaction::Begin() {
  const bool more_is_dead =
      thrift_ != Thrift::kBusy && files_.dead_bytes() > looked_at_dead_ + options_.slack_bytes / 8;
  if ((!look_ && files_.turn() < next_look_ && !more_is_dead) || WaitsForCheckpoint()) return false;
  look_ = false;
  SegmentFile* file = FindDeadFile();
  if (file == nullptr) {
    next_look_ = files_.turn() + kLookEvery;
    looked_at_dead_ = files_.dead_bytes();
    return false;
  }
  if (file->takes_appends) files_.StopAppends(file);
  MR_CHECK(uids_.empty() && !file->takes_appends);  // what moves out does not come back
  file_ = file->number;
  uids_ = file->uids;
  std::sort(uids_.begin(), uids_.end());
  uids_.erase(std::unique(uids_.begin(), uids_.end()), uids_.end());
  return true;
}

// A file is read to its end once begun; what moves out of it goes where new blocks go. The file itself goes when the
// checkpoint that still refers to it has been followed by another.
void Compaction::Step() {
  if (files_.recovering() || (file_ == 0 && !Begin())) return;
  uint64_t budget = options_.compact_turn_bytes;
  while (budget > 0 && !uids_.empty() && blocks_.queue_empty()) {
    FileStreamLog* log = logs_.Find(uids_.back());
    if (log != nullptr && log->working()) return;  // work on it is paused
    const uint64_t bytes = log == nullptr ? 0 : log->MoveOut(file_);
    if (bytes == 0) uids_.pop_back();
    read_bytes_ += bytes;
    budget -= std::min(budget, bytes);
  }
  if (!uids_.empty()) return;
  if (SegmentFile* file = files_.Find(file_); file != nullptr) file->compacted = true;
  file_ = 0;
  look_ = thrift_ != Thrift::kBusy;
}

void Compaction::Invariant() const { MR_CHECK(file_ != 0 || uids_.empty()); }

}  // namespace millrace
