// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_sweep.h"

#include <algorithm>
#include <utility>

#include "store/segment/file_stream_log.h"
#include "store/segment/segment_ops.h"

namespace millrace {
namespace {

constexpr size_t kExtentsPerStep = 4096;
constexpr size_t kStreamsPerStep = 256;
constexpr uint64_t kZerosBytes = 256 << 10;  // of one write
constexpr size_t kZerosInFlight = 4;

}  // namespace

void SegmentStore::SweepState::FindDead() {
  MR_CHECK(listing && uids.empty());  // what lives and is not listed would become zeros
  listing = false;
  std::sort(kept.begin(), kept.end());
  uint64_t at = kSegmentHeaderBytes;
  for (const auto& [from, to] : kept) {
    if (from > at && at < end) dead.emplace_back(at, std::min(from, end));
    at = std::max(at, to);
  }
  if (at < end) dead.emplace_back(at, end);
  std::vector<std::pair<uint64_t, uint64_t>>().swap(kept);
}

// From now on what is given back is noted as dead, and not wiped by itself; and files that go are gone at once.
void SegmentStore::PrepareSweep() {
  if (sweep_ == nullptr) sweep_ = std::make_unique<SweepState>();
}

void SegmentStore::StartSweep(const std::vector<uint64_t>& uids) {
  MR_CHECK(sweep_ != nullptr && sweep_->file == nullptr);
  MR_DCHECK(std::is_sorted(uids.begin(), uids.end()));
  for (const uint64_t uid : uids) {
    if (left_behind_.contains(uid)) sweep_->failed = true;  // deleted meanwhile: what it left is not given back yet
  }
  for (const auto& [number, file] : files_) {
    // A pack does not remember all who have been in it.
    if (file->uid != 0 && !std::binary_search(uids.begin(), uids.end(), file->uid)) continue;
    if (file->tracks_dead && file->dead.empty()) continue;
    if (file->quarantined) continue;  // evidence
    sweep_->files.push_back(number);
  }
}

bool SegmentStore::Sweep() {
  SweepState& sweep = *sweep_;
  if (sweep.file == nullptr && !sweep.files.empty()) {
    const auto at = files_.find(sweep.files.back());
    sweep.files.pop_back();
    if (at == files_.end()) return false;
    SegmentFile* file = at->second.get();
    if (file->failed || !OpenFile(file).ok()) {  // what lives in it is on its way out, and then it goes
      sweep.failed = true;
      return false;
    }
    sweep.file = file;
    ++file->in_flight;
    sweep.end = file->end;
    if (file->tracks_dead) {
      for (const Extent& extent : file->dead) sweep.dead.emplace_back(extent.offset, extent.offset + extent.bytes);
    } else {
      sweep.listing = true;
      sweep.uids = file->uids;
      sweep.uids.push_back(file->uid);
      std::sort(sweep.uids.begin(), sweep.uids.end());
      sweep.uids.erase(std::unique(sweep.uids.begin(), sweep.uids.end()), sweep.uids.end());
      for (const auto* places : {&freed_encoded_, &freed_synced_}) {
        for (const EncodedExtent& place : *places) sweep.Keep(place.freed.extent);
      }
      for (const auto& [uid, left] : left_behind_) sweep.Keep(left);
    }
    file->tracks_dead = true;
    std::vector<Extent>().swap(file->dead);
  }
  if (sweep.listing) {
    const size_t before = sweep.kept.size();
    for (size_t i = 0; i < kStreamsPerStep && !sweep.uids.empty(); ++i) {
      const auto log = logs_.find(sweep.uids.back());
      sweep.uids.pop_back();
      if (log == logs_.end()) continue;
      sweep.Keep(log->second->released());
      log->second->ForEachExtent([&sweep](const Extent& extent) { sweep.Keep(extent); });
      if (sweep.kept.size() - before > kExtentsPerStep) break;
    }
    if (!sweep.uids.empty()) return false;
    sweep.FindDead();
  }
  const auto zeros = [](const auto& ops) {
    return static_cast<size_t>(std::count_if(ops.begin(), ops.end(), [](const auto& op) {
      return op->kind == WriteOp::Kind::kZeros;
    }));
  };
  size_t in_flight = zeros(writes_) + zeros(queued_);
  for (; sweep.file != nullptr && !sweep.dead.empty() && in_flight < kZerosInFlight; ++in_flight) {
    auto& [from, to] = sweep.dead.back();
    MR_CHECK(from < to && from >= kSegmentHeaderBytes && to <= sweep.end);
    const uint64_t bytes = std::min(to - from, kZerosBytes);
    StartZeros(sweep.file, {sweep.file->number, static_cast<uint32_t>(bytes), from});
    from += bytes;
    if (from == to) sweep.dead.pop_back();
  }
  if (!sweep.dead.empty() || in_flight > 0) return false;
  if (sweep.file != nullptr) {
    SegmentFile* done = std::exchange(sweep.file, nullptr);
    MR_CHECK(done->in_flight > 0);
    --done->in_flight;
    RemoveIfUnwanted(done->number);
  }
  return sweep.files.empty();
}

bool SegmentStore::SweepFailed() const { return sweep_ != nullptr && sweep_->failed; }

void SegmentStore::EndSweep() {
  if (sweep_ == nullptr) return;
  if (SegmentFile* file = sweep_->file; file != nullptr) {
    file->tracks_dead = false;  // what was dead in it is not all zeros
    std::vector<Extent>().swap(file->dead);
    --file->in_flight;
    RemoveIfUnwanted(file->number);
  }
  sweep_ = nullptr;
}

}  // namespace millrace
