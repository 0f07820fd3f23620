// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_sweep.h"

#include <algorithm>
#include <utility>

#include "store/segment/file_stream_log.h"

namespace millrace {
namespace {

constexpr size_t kExtentsPerStep = 4096;
constexpr size_t kStreamsPerStep = 256;
constexpr uint64_t kZerosBytes = 256 << 10;  // of one write
constexpr size_t kZerosInFlight = 4;

}  // namespace

SegmentSweep::SegmentSweep(BlockStore& blocks, const LogTable& logs)
    : blocks_(blocks), files_(blocks.files()), logs_(logs) {
  MR_CHECK(!files_.marks().under_way);
  files_.marks().under_way = true;
}

void SegmentSweep::Start(const std::vector<uint64_t>& uids) {
  MR_CHECK(file_ == nullptr);
  MR_DCHECK(std::is_sorted(uids.begin(), uids.end()));
  for (const uint64_t uid : uids) {
    // Deleted meanwhile: what it left is not given back yet.
    if (blocks_.released().HasLeft(uid)) files_.marks().failed = true;
  }
  for (const auto& [number, file] : files_.all()) {
    // A pack does not remember all who have been in it.
    if (file->uid != 0 && !std::binary_search(uids.begin(), uids.end(), file->uid)) continue;
    if (file->tracks_dead && file->dead.empty()) continue;
    if (file->quarantined) continue;  // evidence
    todo_.push_back(number);
  }
}

bool SegmentSweep::Step() {
  if (file_ == nullptr && !todo_.empty() && !BeginFile()) return false;
  if (files_.marks().listed != 0) {
    if (!ListSome()) return false;
    FindDead();
  }
  size_t in_flight = blocks_.zeros_in_flight();
  for (; file_ != nullptr && !dead_.empty() && in_flight < kZerosInFlight; ++in_flight) {
    auto& [from, to] = dead_.back();
    MR_CHECK(from < to && from >= kSegmentHeaderBytes && to <= end_);
    const uint64_t bytes = std::min(to - from, kZerosBytes);
    blocks_.WriteZeros(file_, {file_->number, static_cast<uint32_t>(bytes), from});
    from += bytes;
    if (from == to) dead_.pop_back();
  }
  if (!dead_.empty() || in_flight > 0) return false;
  if (file_ != nullptr) EndFile();
  return todo_.empty();
}

bool SegmentSweep::BeginFile() {
  SegmentFile* file = files_.Find(todo_.back());
  todo_.pop_back();
  if (file == nullptr) return false;
  if (file->failed || !files_.OpenFile(file).ok()) {  // what lives in it is on its way out, and then it goes
    files_.marks().failed = true;
    return false;
  }
  file_ = file;
  ++file->in_flight;
  end_ = file->end;
  if (file->tracks_dead) {
    for (const Extent& extent : file->dead) dead_.emplace_back(extent.offset, extent.offset + extent.bytes);
  } else {
    ListAll();
  }
  file->tracks_dead = true;
  std::vector<Extent>().swap(file->dead);
  return true;
}

void SegmentSweep::ListAll() {
  SweepMarks& marks = files_.marks();
  MR_CHECK(marks.kept.empty());
  marks.listed = file_->number;
  uids_ = file_->uids;
  uids_.push_back(file_->uid);
  std::sort(uids_.begin(), uids_.end());
  uids_.erase(std::unique(uids_.begin(), uids_.end()), uids_.end());
  blocks_.released().ForEach([&marks](const FreedExtent& freed) { marks.Keep(freed.extent); });
}

bool SegmentSweep::ListSome() {
  SweepMarks& marks = files_.marks();
  const size_t before = marks.kept.size();
  for (size_t i = 0; i < kStreamsPerStep && !uids_.empty(); ++i) {
    const FileStreamLog* log = logs_.Find(uids_.back());
    uids_.pop_back();
    if (log == nullptr) continue;
    marks.Keep(log->released);
    log->ForEachExtent([&marks](const Extent& extent) { marks.Keep(extent); });
    if (marks.kept.size() - before > kExtentsPerStep) break;
  }
  return uids_.empty();
}

void SegmentSweep::FindDead() {
  SweepMarks& marks = files_.marks();
  MR_CHECK(marks.listed == file_->number && uids_.empty());  // what lives and is not listed would become zeros
  marks.listed = 0;
  std::sort(marks.kept.begin(), marks.kept.end());
  uint64_t at = kSegmentHeaderBytes;
  for (const auto& [from, to] : marks.kept) {
    if (from > at && at < end_) dead_.emplace_back(at, std::min(from, end_));
    at = std::max(at, to);
  }
  if (at < end_) dead_.emplace_back(at, end_);
  std::vector<std::pair<uint64_t, uint64_t>>().swap(marks.kept);
}

void SegmentSweep::EndFile() {
  SegmentFile* done = std::exchange(file_, nullptr);
  MR_CHECK(done->in_flight > 0);
  --done->in_flight;
  files_.RemoveIfUnwanted(done->number);
}

void SegmentSweep::End() {
  if (file_ != nullptr) {
    SegmentFiles::ForgetDead(file_);  // what was dead in it is not all zeros
    EndFile();
  }
  files_.marks() = {};
}

void SegmentSweep::Invariant() const {
  const SweepMarks& marks = files_.marks();
  MR_CHECK(marks.under_way);
  MR_CHECK(marks.listed == 0 || (file_ != nullptr && file_->number == marks.listed));
  MR_CHECK(file_ != nullptr || (dead_.empty() && uids_.empty()));
}

}  // namespace millrace
