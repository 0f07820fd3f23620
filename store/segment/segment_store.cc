// SPDX-License-Identifier: Apache-2.0
// SegmentStore: files, their life and death, checkpoints. Reading and writing: segment_io.cc; compaction:
//               compaction.cc.
#include "store/segment/segment_store.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "proto/hash.h"
#include "store/segment/file_stream_log.h"
#include "store/hash.h"
#include "store/segment/memory_stream_log.h"
#include "store/segment/segment_ops.h"
#include "store/segment/segment_scrub.h"
#include "store/segment/segment_sweep.h"

namespace millrace {
namespace {

constexpr std::string_view kDirectory = "segments";
constexpr uint64_t kSlacksPerVolume = 32;
constexpr uint64_t kFilesPerStored = 8;      // of what is stored, a file has an eighth

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

constexpr size_t kDeadMax = 4096;  // remembered of one file

// So that a sweep need not go through all that lives in the file.
void NoteDead(SegmentFile* file, const Extent& extent) {
  if (!file->tracks_dead) return;
  file->dead.push_back(extent);
  if (file->dead.size() <= kDeadMax) return;
  file->tracks_dead = false;
  std::vector<Extent>().swap(file->dead);
}

SegmentStoreOptions FitToVolume(Disk& disk, SegmentStoreOptions options) {
  const absl::StatusOr<uint64_t> total = disk.TotalBytes();
  if (total.ok()) options.slack_bytes = std::min(options.slack_bytes, *total / kSlacksPerVolume);
  return options;
}

uint64_t HeaderHash(const SegmentFileHeader& header) {
  return Hash64({reinterpret_cast<const char*>(&header), offsetof(SegmentFileHeader, header_hash)}, kSegmentMagic);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SegmentStore>> SegmentStore::Open(Disk& disk, const SegmentStoreOptions& options) {
  std::unique_ptr<SegmentStore> store(new SegmentStore(disk, options));
  MR_RETURN_IF_ERROR(store->Start());
  return store;
}

SegmentStore::SegmentStore(Disk& disk, const SegmentStoreOptions& options)
    : disk_(disk), options_(FitToVolume(disk, options)) {
  if (options.scrub_bytes_per_second > 0) scrub_ = std::make_unique<Scrub>(*this);
}

absl::Status SegmentStore::Start() {
  MR_RETURN_IF_ERROR(disk_.MakeDirectory(kDirectory));
  MR_ASSIGN_OR_RETURN(directory_, disk_.Open(kDirectory, FileUse::kRead, false));
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_.List(kDirectory));
  for (const std::string& name : names) {
    uint32_t number = 0;
    if (SegmentFile::ParseName(name, &number)) next_number_ = std::max(next_number_, number + 1);
  }
  return absl::OkStatus();
}

SegmentStore::~SegmentStore() {
  MR_CHECK(logs_.empty());
  for (const auto& [number, file] : files_) {
    if (file->file >= 0) disk_.Close(file->file);
  }
  if (directory_ >= 0) disk_.Close(directory_);
}

OldKeys SegmentStore::old_keys() const {
  bool moving = false;
  bool any = false;
  for (const auto& [number, file] : files_) {
    if (!file->stale) continue;
    any = true;
    moving = moving || (file->wanted > 0 && !file->compacted);
  }
  return !any ? OldKeys::kNone : moving ? OldKeys::kMoving : OldKeys::kMoved;
}

Nanos SegmentStore::StepScrub(Nanos now) { return scrub_ == nullptr ? Nanos::max() : scrub_->Step(now); }

bool SegmentStore::idle() const {
  const bool scrubs = scrub_ != nullptr && !scrub_->idle();
  return writes_.empty() && queued_.empty() && reads_.empty() && syncs_.empty() && !scrubs;
}

// --- streams

std::unique_ptr<StoredLog> SegmentStore::Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) {
  if (options.memory) return std::make_unique<MemoryStoredLog>(uid, options);
  return std::make_unique<FileStreamLog>(uid, options, *this, journal);
}

void SegmentStore::Register(FileStreamLog* log) {
  const bool fresh = logs_.emplace(log->uid(), log).second;
  MR_CHECK(fresh);
}

void SegmentStore::Unregister(FileStreamLog* log) {
  const size_t known = logs_.erase(log->uid());
  MR_CHECK_OP(known, ==, 1u);
  if (logs_.capacity() > 1024 && logs_.capacity() > 8 * logs_.size()) logs_.rehash(0);  // by itself it does not shrink
  std::vector<FreedExtent> left = log->TakeReleased();
  log->ForEachExtent([&](const Extent& extent) { left.push_back({extent, false, true}); });
  if (sweep_ != nullptr) sweep_->Keep(left);
  if (!left.empty()) {
    const bool fresh = left_behind_.emplace(log->uid(), std::move(left)).second;
    MR_CHECK(fresh);  // a log that has places goes for good, and Discard follows
  }
  if (log->file != 0) FileOf(log->file)->takes_appends = false;
  const auto detach = [log](auto& op) {
    if (op->log == log) op->Detach();
  };
  for (auto& op : writes_) detach(op);
  for (auto& op : queued_) detach(op);
  for (auto& op : reads_) detach(op);
}

void SegmentStore::Discard(uint64_t uid) {
  const auto left = left_behind_.find(uid);
  if (left == left_behind_.end()) return;
  for (const FreedExtent& freed : left->second) {
    // Its share of the live bytes is not known any more; what is dead is counted from below then.
    Free(freed);
  }
  left_behind_.erase(left);
}

// --- files

SegmentFile* SegmentStore::FileOf(uint32_t number) {
  std::unique_ptr<SegmentFile>& file = files_[number];
  if (file == nullptr) {
    file = std::make_unique<SegmentFile>();
    file->number = number;
    SetEnd(file.get(), kSegmentHeaderBytes);
  }
  return file.get();
}

void SegmentStore::SetEnd(SegmentFile* file, uint64_t end) {
  MR_CHECK_OP(use_.file_bytes, >=, file->end);
  use_.file_bytes += end - file->end;
  file->end = end;
}

void SegmentStore::AddLive(SegmentFile* file, uint64_t bytes) {
  use_.live_bytes += bytes;
  file->live_bytes += bytes;
}

void SegmentStore::DropLive(SegmentFile* file, uint64_t bytes) {
  bytes = std::min(bytes, file->live_bytes);
  MR_CHECK_OP(use_.live_bytes, >=, bytes);
  use_.live_bytes -= bytes;
  file->live_bytes -= bytes;
}

absl::Status SegmentStore::OpenFile(SegmentFile* file) {
  file->used_turn = turn_;
  if (file->file < 0) {
    const std::string path = SegmentFile::PathOf(file->number);
    absl::StatusOr<Disk::File> opened = disk_.Open(path, FileUse::kWrite, false);
    if (absl::IsUnavailable(opened.status()) && CloseOneFile()) opened = disk_.Open(path, FileUse::kWrite, false);
    MR_RETURN_IF_ERROR(opened.status());
    file->file = *opened;
    ++open_files_;
  }
  if (file->header_read) return absl::OkStatus();
  file->header_read = true;
  SegmentFileHeader header;
  MR_ASSIGN_OR_RETURN(const size_t bytes,
                      disk_.ReadNow(file->file, 0, reinterpret_cast<char*>(&header), sizeof header));
  if (bytes == sizeof header && header.magic == kSegmentMagic && header.version == 1 &&
      header.number == file->number && header.header_hash == HeaderHash(header) &&
      (file->uuid == 0 || file->uuid == header.uuid)) {
    file->uuid = header.uuid;
    file->uid = header.uid;
    file->key_id = header.key_id;
    file->stale = options_.keys != nullptr && header.key_id != options_.keys->current();
    return absl::OkStatus();
  }
  // Its blocks say themselves which key they want.
  file->stale = options_.keys != nullptr;
  // Checkpoints know the uuid as well: the blocks can be read all the same.
  const std::string what = absl::StrFormat("segment file %08x: bad header", file->number);
  ReportDamage(what, file->number);
  return file->uuid != 0 ? absl::OkStatus() : absl::DataLossError(what);
}

absl::StatusOr<SegmentFile*> SegmentStore::NewFile(uint64_t uid) {
  const uint32_t number = next_number_++;
  MR_CHECK(!files_.contains(number));
  const absl::StatusOr<Disk::File> opened = disk_.Open(SegmentFile::PathOf(number), FileUse::kWrite, true);
  full_ = full_ || absl::IsResourceExhausted(opened.status());
  MR_RETURN_IF_ERROR(opened.status());
  const Disk::File handle = *opened;
  std::string first(kSegmentHeaderBytes, '\0');
  SegmentFileHeader header;
  header.number = number;
  header.uuid = MixBits(options_.random ^ kHashKey1, number + kHashKey0) | 1;
  header.uid = uid;
  header.key_id = CurrentKey(options_.keys);
  header.header_hash = HeaderHash(header);
  std::memcpy(first.data(), &header, sizeof header);
  if (absl::Status written = disk_.WriteNow(handle, 0, first); !written.ok()) {
    disk_.Close(handle);
    (void)disk_.Remove(SegmentFile::PathOf(number));
    full_ = full_ || absl::IsResourceExhausted(written);
    return written;
  }
  SegmentFile* file = FileOf(number);
  file->file = handle;
  file->uuid = header.uuid;
  file->key_id = header.key_id;
  file->header_read = true;
  file->uid = uid;
  file->takes_appends = true;
  file->unsynced = true;
  file->tracks_dead = true;
  file->used_turn = turn_;
  ++open_files_;
  return file;
}

// What is dead in a file is given back with the whole of it: small files, where that matters.
uint64_t SegmentStore::SizeFor(uint64_t stored_bytes, uint64_t most) const {
  return std::min(most, std::max({stored_bytes / kFilesPerStored, options_.slack_bytes / 2, kOpenFileBytes}));
}

void SegmentStore::StopAppends(SegmentFile* file) {
  file->takes_appends = false;
  if (pack_ == file->number) pack_ = 0;
  const auto log = logs_.find(file->uid);
  if (log != logs_.end() && log->second->file == file->number) log->second->file = 0;
}

absl::StatusOr<SegmentFile*> SegmentStore::FileFor(FileStreamLog* log, uint64_t bytes) {
  const bool busy = log->disk_bytes() >= options_.busy_bytes;
  uint32_t& number = busy ? log->file : pack_;
  const uint64_t limit = busy ? SizeFor(log->disk_bytes(), options_.file_bytes)
                              : SizeFor(use_.live_bytes, options_.pack_bytes);
  if (number != 0) {
    SegmentFile* file = FileOf(number);
    if (file->takes_appends && (file->end == kSegmentHeaderBytes || file->end + bytes <= limit) &&
        OpenFile(file).ok()) {
      return file;
    }
    file->takes_appends = false;
    const uint32_t full = std::exchange(number, 0);
    RemoveIfUnwanted(full);
  }
  MR_ASSIGN_OR_RETURN(SegmentFile* file, NewFile(busy ? log->uid() : 0));
  number = file->number;
  return file;
}

bool SegmentStore::CloseOneFile() {
  for (const auto& [number, file] : files_) {
    if (file->file < 0 || file->in_flight > 0 || file->unsynced || file->takes_appends) continue;
    disk_.Close(std::exchange(file->file, -1));
    --open_files_;
    return true;
  }
  return false;
}

void SegmentStore::CloseSomeFiles() {
  if (open_files_ <= options_.open_files_max) return;
  for (const auto& [number, file] : files_) {
    if (file->file < 0 || file->in_flight > 0 || file->unsynced || file->takes_appends) continue;
    if (file->used_turn + 100 > turn_) continue;
    disk_.Close(file->file);
    file->file = -1;
    --open_files_;
  }
}

uint64_t SegmentStore::UuidOf(uint32_t number) {
  SegmentFile* file = FileOf(number);
  return OpenFile(file).ok() || file->uuid != 0 ? file->uuid : 0;
}

void SegmentStore::AdoptFile(uint32_t number, uint64_t uuid) {
  SegmentFile* file = FileOf(number);
  if (file->uuid == 0) file->uuid = uuid;
  next_number_ = std::max(next_number_, number + 1);
}

void SegmentStore::Adopt(FileStreamLog* log, const Extent& extent, uint64_t live_bytes) {
  SegmentFile* file = FileOf(extent.file);
  ++file->wanted;
  AddLive(file, live_bytes);
  SetEnd(file, std::max(file->end, extent.offset + extent.bytes));
  if (file->uids.empty() || file->uids.back() != log->uid()) file->uids.push_back(log->uid());
}

void SegmentStore::RemoveIfUnwanted(uint32_t number) {
  const auto at = files_.find(number);
  if (at == files_.end() || recovering_) return;
  SegmentFile* file = at->second.get();
  if (file->wanted > 0 || file->held > 0 || file->in_flight > 0) return;
  if (file->takes_appends) {
    if (file->end < kOpenFileBytes) return;
    StopAppends(file);
  }
  MR_CHECK(!file->takes_appends);
  MR_CHECK_OP(file->held_bytes, ==, file->held_rest);  // no place is held any more
  SetEnd(file, 0);
  DropLive(file, file->live_bytes);
  use_.held_bytes -= file->held_rest;
  if (file->file >= 0) {
    disk_.Close(file->file);
    --open_files_;
  }
  const std::string path = SegmentFile::PathOf(number);
  if (file->quarantined) {
    (void)disk_.MakeDirectory("quarantine");
    (void)disk_.Rename(path, absl::StrFormat("quarantine/%08x.seg", number));
  } else if (sweep_ == nullptr || !disk_.Remove(path).ok()) {
    disk_.RemoveLater(path);
  }
  files_.erase(at);
}

// --- recovery and checkpoints

// Whatever was written after the checkpoint that the restart began with is in nobody's directory: it has been written
// again. A file with nothing else in it goes; in others it counts as dead.
void SegmentStore::OnRecovered() {
  recovering_ = false;
  const absl::StatusOr<std::vector<std::string>> names = disk_.List(kDirectory);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    uint32_t number = 0;
    if (!SegmentFile::ParseName(name, &number)) continue;
    const bool known = files_.contains(number) && files_[number]->wanted > 0;
    if (!known && (!files_.contains(number) || !files_[number]->takes_appends)) {
      FileOf(number)->quarantined = keep_unknown_;
      RemoveIfUnwanted(number);
      continue;
    }
    SegmentFile* file = FileOf(number);
    const bool was_open = file->file >= 0;
    if (!OpenFile(file).ok() && file->file < 0) continue;
    if (const absl::StatusOr<uint64_t> size = disk_.Size(file->file); size.ok()) {
      SetEnd(file, std::max(file->end, *size));
    }
    const bool usable = !file->quarantined && !file->stale && !file->takes_appends;
    if (file->uid == 0 && usable && file->end < options_.pack_bytes / 2) {
      if (pack_ != 0 && pack_ != number) FileOf(pack_)->takes_appends = false;
      pack_ = number;
      file->takes_appends = true;
    }
    if (!was_open && open_files_ > options_.open_files_max / 2) {
      disk_.Close(file->file);
      file->file = -1;
      --open_files_;
    }
  }
}

void SegmentStore::OnEncoded(FileStreamLog* log) {
  const std::vector<FreedExtent> released = log->TakeReleased();
  if (sweep_ != nullptr) sweep_->Keep(released);
  for (const FreedExtent& freed : released) freed_encoded_.push_back({log->uid(), freed});
}

void SegmentStore::SyncAll(Completion* completion) {
  freed_synced_.insert(freed_synced_.end(), freed_encoded_.begin(), freed_encoded_.end());
  freed_encoded_.clear();
  syncs_.push_back(std::make_unique<SyncOp>());
  SyncOp* op = syncs_.back().get();
  op->user = completion;
  completion->Started(0);
  // The directory is synced each time: cheap when nothing changed, and the answer never comes from inside this call.
  std::vector<std::pair<Disk::File, SegmentFile*>> targets = {{directory_, nullptr}};
  for (const auto& [number, file] : files_) {
    // What is in a file after its sync has failed may be gone, whatever another sync says.
    if (file->failed && file->wanted > 0) op->error = -EIO;
    if (file->unsynced && !file->failed && file->file >= 0) targets.emplace_back(file->file, file.get());
  }
  op->pending = targets.size();
  for (const auto& [handle, file] : targets) {
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
    disk_.Sync(handle, &part->completion);
  }
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
      part->file->tracks_dead = false;  // zeros may be lost as well
      std::vector<Extent>().swap(part->file->dead);
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
  for (const EncodedExtent& place : freed_synced_) ++extents[place.freed.extent.file];
  uint64_t bytes = 0;
  for (const auto& [number, count] : extents) {
    const auto file = files_.find(number);
    if (file != files_.end() && count == file->second->wanted + file->second->held) bytes += file->second->end;
  }
  return bytes;
}

void SegmentStore::OnCheckpointed(bool durable) {
  const std::vector<EncodedExtent> synced = std::exchange(freed_synced_, {});
  if (durable) {
    for (const EncodedExtent& place : synced) Free(place.freed);
    return;
  }
  std::vector<EncodedExtent> encoded = std::exchange(freed_encoded_, {});
  encoded.insert(encoded.end(), synced.begin(), synced.end());
  for (const EncodedExtent& place : encoded) {
    if (const auto log = logs_.find(place.uid); log != logs_.end()) {
      log->second->OnReleased(place.freed);
    } else {
      freed_encoded_.push_back(place);  // its stream was deleted, and the next checkpoint says so
    }
  }
}

void SegmentStore::Free(const FreedExtent& freed) {
  SegmentFile* file = FileOf(freed.extent.file);
  uint32_t& count = freed.wanted ? file->wanted : file->held;
  MR_CHECK(count > 0);
  --count;
  if (freed.wanted) {
    DropLive(file, freed.extent.bytes);
  } else {
    MR_CHECK_OP(file->held_bytes, >=, freed.extent.bytes);
    use_.held_bytes -= freed.extent.bytes;
    file->held_bytes -= freed.extent.bytes;
  }
  if (freed.wipe && sweep_ == nullptr && (file->wanted > 0 || file->held > 0)) return StartZeros(file, freed.extent);
  NoteDead(file, freed.extent);
  RemoveIfUnwanted(freed.extent.file);
}

void SegmentStore::StartZeros(SegmentFile* file, const Extent& extent) {
  auto op = std::make_unique<WriteOp>();
  op->kind = WriteOp::Kind::kZeros;
  op->extent = extent;
  op->room.assign(extent.bytes, '\0');
  op->bytes = op->room;
  op->file = file;
  ++file->in_flight;
  StartWrite(std::move(op));
}

void SegmentStore::Invariant() const {
  MR_CHECK_OP(use_.live_bytes + use_.held_bytes, <=, use_.file_bytes);
  MR_CHECK((newest_ == nullptr) == (oldest_ == nullptr));
  if (newest_ == nullptr) {
    MR_CHECK_OP(cache_bytes_, ==, 0u);
  } else {
    MR_CHECK(newest_->newer == nullptr && oldest_->older == nullptr);
  }
  MR_CHECK_OP(writes_.size(), <=, std::max(options_.writes_max, 1u));
  MR_CHECK_OP(open_files_, <=, files_.size());
  MR_CHECK(compacting_ != 0 || compacting_uids_.empty());
}

void SegmentStore::Recount() const {
  Invariant();
  struct Places {
    uint64_t wanted = 0;
    uint64_t held = 0;
    uint64_t held_bytes = 0;
  };
  absl::flat_hash_map<uint32_t, Places> places;
  const auto take = [&](const FreedExtent& freed) {
    Places& at = places[freed.extent.file];
    if (freed.wanted) {
      ++at.wanted;
    } else {
      ++at.held;
      at.held_bytes += freed.extent.bytes;
    }
  };
  for (const auto& [uid, log] : logs_) {
    log->Invariant();
    log->ForEachExtent([&](const Extent& extent) { take({extent, false, true}); });
    for (const FreedExtent& freed : log->released()) take(freed);
  }
  for (const auto& [uid, left] : left_behind_) {
    for (const FreedExtent& freed : left) take(freed);
  }
  for (const auto* waiting : {&freed_encoded_, &freed_synced_}) {
    for (const EncodedExtent& place : *waiting) take(place.freed);
  }
  DiskUse use;
  uint32_t open_files = 0;
  for (const auto& [number, file] : files_) {
    use.file_bytes += file->end;
    use.live_bytes += file->live_bytes;
    use.held_bytes += file->held_bytes;
    open_files += file->file >= 0 ? 1 : 0;
    const Places& at = places[number];
    MR_CHECK_OP(file->wanted, ==, at.wanted);
    MR_CHECK_OP(file->held, ==, at.held);
    MR_CHECK_OP(file->held_bytes, ==, at.held_bytes + file->held_rest);
    MR_CHECK_OP(file->live_bytes + file->held_bytes, <=, file->end);
    MR_CHECK(file->tracks_dead || file->dead.empty());
    MR_CHECK_OP(number, <, next_number_);
  }
  MR_CHECK_OP(places.size(), ==, files_.size());  // nobody wants anything of a file that is gone
  MR_CHECK_OP(use.file_bytes, ==, use_.file_bytes);
  MR_CHECK_OP(use.live_bytes, ==, use_.live_bytes);
  MR_CHECK_OP(use.held_bytes, ==, use_.held_bytes);
  MR_CHECK_OP(open_files, ==, open_files_);
  uint64_t cached = 0;
  for (const BlockBody* body = newest_; body != nullptr; body = body->older) {
    MR_CHECK(body->block->body == body && body->block->place == Block::Place::kDisk);
    MR_CHECK(body->older == nullptr ? body == oldest_ : body->older->newer == body);
    cached += body->memory_bytes();
  }
  MR_CHECK_OP(cached, ==, cache_bytes_);
}

void SegmentStore::ReportDamage(std::string_view what, uint32_t file) {
  FileOf(file)->quarantined = true;
  ++damaged_blocks_;
  if (options_.on_damage) options_.on_damage(what);
}

void SegmentStore::EndTurn() {
  ++turn_;
  for (const uint64_t uid : std::exchange(without_handle_, {})) {
    if (const auto log = logs_.find(uid); log != logs_.end()) log->second->OnLoaded();
  }
  StartQueued();
  Evict();
  Compact();
  Dehydrate();
  CloseSomeFiles();
}

SegmentStore::Stats SegmentStore::stats() const {
  Stats stats;
  stats.files = files_.size();
  stats.file_bytes = use_.file_bytes;
  stats.live_bytes = use_.live_bytes;
  stats.cache_bytes = cache_bytes_;
  for (const auto& op : writes_) stats.unwritten_bytes += op->bytes.size();
  for (const auto& op : queued_) stats.unwritten_bytes += op->bytes.size();
  stats.compacted_bytes = compacted_bytes_;
  stats.damaged_blocks = damaged_blocks_;
  stats.rebuilt_runs = rebuilt_runs_;
  stats.streams = logs_.size();
  stats.hydrated = hydrated_.size();
  return stats;
}

}  // namespace millrace
