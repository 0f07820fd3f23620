// SPDX-License-Identifier: Apache-2.0
#include "store/segment/segment_store.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "proto/base/status.h"
#include "store/segment/file_stream_log.h"
#include "store/segment/memory_stream_log.h"

namespace millrace {
namespace {

constexpr uint64_t kSlacksPerVolume = 32;
constexpr size_t kVisitsPerTurn = 4;

// A memory stream behind the interface of those that are on disk: there is nothing to recover, nothing to write.
class MemoryStoredLog final : public StoredLog {
 public:
  MemoryStoredLog(uint64_t uid, const StreamLogOptions& options) : log_(NewMemoryStreamLog(uid, options)) {}
  StreamLog* log() override { return log_.get(); }
  absl::Status Restore(std::string_view) override { return absl::OkStatus(); }
  void Replay(RecordKind, std::string_view) override {}
  bool dirty() const override { return false; }
  void Flush() override {}
  bool flushed() const override { return true; }
  void EncodeCheckpoint(std::string*) override {}
  bool hollow() const override { return log_->state().last_seq == 0 && log_->state().first_seq == 0; }

 private:
  std::unique_ptr<StreamLog> log_;
};

SegmentStoreOptions FitToVolume(Disk& disk, SegmentStoreOptions options) {
  const absl::StatusOr<uint64_t> total = disk.TotalBytes();
  if (total.ok()) options.slack_bytes = std::min(options.slack_bytes, *total / kSlacksPerVolume);
  return options;
}

}  // namespace

struct SegmentStore::FileSync {
  SegmentStore* store = nullptr;
  SyncOp* op = nullptr;
  SegmentFile* file = nullptr;  // nullptr: the directory
  Completion completion;

  void OnDone(const IoResult& result) { store->OnSynced(this, result); }
};

struct SegmentStore::SyncOp {
  Completion* user = nullptr;
  size_t pending = 0;
  int32_t error = 0;
  std::vector<std::unique_ptr<FileSync>> parts;
};

absl::StatusOr<std::unique_ptr<SegmentStore>> SegmentStore::Open(Disk& disk, const SegmentStoreOptions& options) {
  std::unique_ptr<SegmentStore> store(new SegmentStore(disk, options));
  MR_RETURN_IF_ERROR(store->files_.Start());
  return store;
}

SegmentStore::SegmentStore(Disk& disk, const SegmentStoreOptions& options)
    : disk_(disk),
      options_(FitToVolume(disk, options)),
      files_(disk, options_),
      cache_(options_.cache_bytes),
      blocks_(disk, options_, files_, cache_),
      compaction_(disk, options_, files_, blocks_, logs_) {
  if (options_.scrub_bytes_per_second > 0) {
    scrub_ = std::make_unique<SegmentScrub>(disk, options_, blocks_, logs_);
  }
}

SegmentStore::~SegmentStore() { MR_CHECK(logs_.all().empty()); }

std::unique_ptr<StoredLog> SegmentStore::Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) {
  if (options.memory) return std::make_unique<MemoryStoredLog>(uid, options);
  return std::make_unique<FileStreamLog>(uid, options, logs_, blocks_, journal);
}

// A stream's share of the live bytes is not known any more; what is dead is counted from below then.
void SegmentStore::Discard(uint64_t uid) {
  for (const FreedExtent& freed : blocks_.released().TakeLeft(uid)) blocks_.Free(freed);
}

OldKeys SegmentStore::old_keys() const {
  bool moving = false;
  bool any = false;
  for (const auto& [number, file] : files_.all()) {
    if (!file->stale) continue;
    any = true;
    moving = moving || (file->wanted > 0 && !file->compacted);
  }
  return !any ? OldKeys::kNone : moving ? OldKeys::kMoving : OldKeys::kMoved;
}

// --- checkpoints

void SegmentStore::SyncAll(Completion* completion) {
  blocks_.released().StartSync();
  syncs_.push_back(std::make_unique<SyncOp>());
  SyncOp* op = syncs_.back().get();
  op->user = completion;
  completion->Started(0);
  // The directory is synced each time: cheap when nothing changed, and the answer never comes from inside this call.
  std::vector<SegmentFile*> targets = {nullptr};
  for (const auto& [number, file] : files_.all()) {
    // What is in a file after its sync has failed may be gone, whatever another sync says.
    if (file->failed && file->wanted > 0) op->error = -EIO;
    if (file->unsynced && !file->failed && file->file >= 0) targets.push_back(file.get());
  }
  op->pending = targets.size();
  for (SegmentFile* file : targets) StartSync(op, file);
}

void SegmentStore::StartSync(SyncOp* op, SegmentFile* file) {
  op->parts.push_back(std::make_unique<FileSync>());
  FileSync* part = op->parts.back().get();
  part->store = this;
  part->op = op;
  part->file = file;
  part->completion.Bind<&FileSync::OnDone>(part);
  if (file != nullptr) {
    file->unsynced = false;
    ++file->in_flight;
  }
  disk_.Sync(file == nullptr ? files_.directory() : file->file, &part->completion);
}

// After a failed sync the pages count as clean and may be gone: nothing more goes into that file, and what is in it
// moves out.
void SegmentStore::OnSynced(FileSync* part, const IoResult& result) {
  SyncOp* op = part->op;
  if (!result.ok()) op->error = result.value;
  if (part->file != nullptr) {
    --part->file->in_flight;
    if (!result.ok()) {
      part->file->failed = true;
      part->file->takes_appends = false;
      part->file->unsynced = true;
      SegmentFiles::ForgetDead(part->file);  // zeros may be lost as well
    }
  }
  MR_CHECK(op->pending > 0);
  if (--op->pending > 0) return;
  Completion* user = op->user;
  const IoResult outcome{.value = op->error, .more = false, .bytes = {}};
  std::erase_if(syncs_, [op](const auto& other) { return other.get() == op; });
  if (!outcome.ok()) OnCheckpointed(false);
  user->Finish(outcome);
}

uint64_t SegmentStore::freed_by_checkpoint() const {
  absl::flat_hash_map<uint32_t, uint32_t> extents;
  for (const EncodedExtent& place : blocks_.released().synced()) ++extents[place.freed.extent.file];
  uint64_t bytes = 0;
  for (const auto& [number, count] : extents) {
    const SegmentFile* file = files_.Find(number);
    if (file != nullptr && count == file->wanted + file->held) bytes += file->end;
  }
  return bytes;
}

void SegmentStore::OnCheckpointed(bool durable) {
  if (durable) {
    for (const EncodedExtent& place : blocks_.released().TakeSynced()) blocks_.Free(place.freed);
    return;
  }
  for (const EncodedExtent& place : blocks_.released().TakeAll()) {
    if (FileStreamLog* log = logs_.Find(place.uid)) {
      log->released.push_back(place.freed);
    } else {
      blocks_.released().OnEncoded(place);
    }
  }
}

// --- turns

bool SegmentStore::idle() const {
  return blocks_.idle() && syncs_.empty() && (scrub_ == nullptr || scrub_->idle());
}

void SegmentStore::EndTurn() {
  files_.NextTurn();
  blocks_.EndTurn();
  cache_.Evict();
  compaction_.Step();
  LetIndexesRest();
  files_.CloseUnused();
}

// When more streams have their index in memory than options allow, those that were not used since the last round let go
// of it. A few are looked at each turn.
void SegmentStore::LetIndexesRest() {
  std::vector<uint64_t>& hydrated = logs_.hydrated();
  for (size_t i = 0; i < kVisitsPerTurn && hydrated.size() > options_.hydrated_max; ++i) {
    if (hydrated_at_ >= hydrated.size()) hydrated_at_ = 0;
    FileStreamLog* log = logs_.Find(hydrated[hydrated_at_]);
    if (log != nullptr && log->hydrated()) {
      if (log->TakeUsed() || !log->MayRest()) {
        ++hydrated_at_;
        continue;
      }
      log->Dehydrate();
    }
    hydrated[hydrated_at_] = hydrated.back();
    hydrated.pop_back();
  }
}

// --- the scrub, secure deletion

Nanos SegmentStore::StepScrub(Nanos now) { return scrub_ == nullptr ? Nanos::max() : scrub_->Step(now); }

void SegmentStore::PrepareSweep() {
  if (sweep_ == nullptr) sweep_ = std::make_unique<SegmentSweep>(blocks_, logs_);
}

void SegmentStore::StartSweep(const std::vector<uint64_t>& uids) {
  MR_CHECK(sweep_ != nullptr);
  sweep_->Start(uids);
}

bool SegmentStore::Sweep() { return sweep_->Step(); }

bool SegmentStore::SweepFailed() const { return sweep_ != nullptr && sweep_->failed(); }

void SegmentStore::EndSweep() {
  if (sweep_ == nullptr) return;
  sweep_->End();
  sweep_ = nullptr;
}

// --- figures and checks

void SegmentStore::Invariant() const {
  files_.Invariant();
  cache_.Invariant();
  blocks_.Invariant();
  compaction_.Invariant();
  if (scrub_ != nullptr) scrub_->Invariant();
  if (sweep_ != nullptr) sweep_->Invariant();
}

void SegmentStore::Recount() const {
  Invariant();
  SegmentFiles::PlacesByFile places;
  const auto take = [&places](const FreedExtent& freed) { places[freed.extent.file].Add(freed); };
  for (const auto& [uid, log] : logs_.all()) {
    log->Invariant();
    log->ForEachExtent([&](const Extent& extent) { take({extent, false, true}); });
    for (const FreedExtent& freed : log->released) take(freed);
  }
  blocks_.released().ForEach(take);
  files_.Recount(places);
  cache_.Recount();
}

SegmentStore::Stats SegmentStore::stats() const {
  Stats stats;
  stats.files = files_.all().size();
  stats.file_bytes = files_.use().file_bytes;
  stats.live_bytes = files_.use().live_bytes;
  stats.cache_bytes = cache_.bytes();
  stats.unwritten_bytes = blocks_.unwritten_bytes();
  stats.compacted_bytes = compaction_.read_bytes();
  stats.damaged_blocks = files_.damaged();
  stats.rebuilt_runs = logs_.rebuilt_runs();
  stats.streams = logs_.all().size();
  stats.hydrated = logs_.hydrated().size();
  return stats;
}

}  // namespace millrace
