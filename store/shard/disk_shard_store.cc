// SPDX-License-Identifier: Apache-2.0
#include "store/shard/disk_shard_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "store/shard/shard_recovery.h"

namespace millrace {
namespace {

constexpr Nanos kReliefEvery = std::chrono::milliseconds(250);
constexpr Nanos kReliefOfStarvedEvery = std::chrono::milliseconds(50);
constexpr Nanos kReliefOtherwiseEvery = std::chrono::seconds(1);
constexpr Nanos kReserveEvery = std::chrono::seconds(1);
constexpr Nanos kQuietEvery = std::chrono::milliseconds(500);
constexpr Nanos kStarvedTooLong = std::chrono::milliseconds(500);
constexpr uint64_t kWalFilesPerVolume = 32;  // a file of the log is at most this part of the volume
constexpr uint64_t kReservesPerVolume = 16;
constexpr uint64_t kWalFileBytesLeast = 64 << 10;
constexpr uint64_t kCatalogSlackLeast = 64 << 10;
constexpr uint64_t kCatalogSlackMost = 1 << 20;
constexpr uint64_t kCatalogSlackWhenFull = 16 << 10;
constexpr uint64_t kOldKeysCheckpoints = 4;  // are enough for what can move at all
// One slice of what is written anew: with SegmentStoreOptions::compact_turn_bytes 100 MiB a second.
constexpr Nanos kOldKeysEvery = std::chrono::milliseconds(10);

// A checkpoint has to fit into it, not the log.
uint64_t ReserveFileBytes(const ShardStoreOptions& options) {
  if (options.reserve_bytes == 0) return 0;
  return std::max(options.wal_file_bytes / 4, std::min(options.wal_file_bytes, kWalFileBytesLeast));
}

WalOptions LogOptions(const ShardStoreOptions& options, uint64_t identity) {
  WalOptions log;
  log.identity = identity;
  log.file_bytes = options.wal_file_bytes;
  log.files_keep = options.wal_files;
  log.congested_bytes = options.congested_bytes;
  log.reserve_bytes = options.reserve_bytes;
  log.floor_bytes = ReserveFileBytes(options) / 2;
  log.batch_bytes = std::min<uint64_t>(log.batch_bytes, options.wal_file_bytes);
  log.buffer_bytes = std::min(log.buffer_bytes, log.batch_bytes);
  log.keys = options.keys;
  return log;
}

ShardStoreOptions FitToVolume(Disk& disk, ShardStoreOptions options) {
  const absl::StatusOr<uint64_t> total = disk.TotalBytes();
  if (!total.ok()) return options;
  const uint64_t part = *total / kWalFilesPerVolume & ~uint64_t{kDiskAlignment - 1};
  options.wal_file_bytes = std::min(options.wal_file_bytes, std::max(part, kWalFileBytesLeast));
  options.reserve_bytes = std::min(options.reserve_bytes, *total / kReservesPerVolume);
  options.reserve_bytes = std::max(options.reserve_bytes, std::min(2 * options.record_bytes, *total / 2));
  options.checkpoint_idle_bytes = std::min(options.checkpoint_idle_bytes, options.wal_file_bytes / 4);
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreKeys>> OpenStoreKeys(Disk& disk, const KeyOptions& options) {
  MR_ASSIGN_OR_RETURN(const std::optional<KeyId> sealed_with, Catalog::SealedWith(disk));
  return StoreKeys::Open(disk, options, sealed_with);
}

absl::StatusOr<std::unique_ptr<ShardStore>> ShardStore::Open(Disk& disk, StoredLogs& logs,
                                                             const ShardStoreOptions& asked) {
  const ShardStoreOptions options = FitToVolume(disk, asked);
  absl::StatusOr<std::unique_ptr<Catalog>> catalog = Catalog::Open(disk, options.random, options.keys);
  MR_RETURN_IF_ERROR(catalog.status());
  auto store = std::make_unique<DiskShardStore>(disk, logs, options, *std::move(catalog));
  MR_RETURN_IF_ERROR(store->Recover());
  return store;
}

DiskShardStore::DiskShardStore(Disk& disk, StoredLogs& logs, const ShardStoreOptions& options,
                               std::unique_ptr<Catalog> catalog)
    : disk_(disk),
      logs_(logs),
      options_(options),
      catalog_(std::move(catalog)),
      wal_(disk, LogOptions(options, catalog_->identity()), this),
      reserve_(disk, ReserveFileBytes(options)),
      checkpoint_(*catalog_, wal_, logs, objects_, options_),
      eraser_(wal_, logs, checkpoint_) {}

DiskShardStore::~DiskShardStore() = default;

absl::Status DiskShardStore::Recover() {
  SetCatalogSlack();
  reserve_.Open();
  MR_RETURN_IF_ERROR(RecoverShard(disk_, *catalog_, wal_, logs_, options_, &objects_, &recovered_));
  // What comes next has a place in the log from the beginning; or it is known that nothing has.
  if (!wal_.files().MakeReady().ok() && reserve_.held()) {
    reserve_.Release();
    (void)wal_.files().MakeReady();
  }
  // The files of the log that were read stay in use until a checkpoint; so does damage in the catalog.
  if (options_.keys != nullptr && options_.keys->converting()) {
    old_keys_at_ = Nanos{0};
    checkpoint_.Want();
  }
  if (recovered_.report.records > 0 || catalog_->wants_compaction() || !objects_.deleted.empty()) checkpoint_.Want();
  return absl::OkStatus();
}

void DiskShardStore::set_consumers(ConsumerStateSource* consumers) {
  consumers_ = consumers;
  checkpoint_.set_consumers(consumers);
}

// --- streams

StreamLog* DiskShardStore::CreateStream(std::string_view config, const StreamLogOptions& options, Lsn* lsn) {
  const uint64_t uid = objects_.next_uid++;
  StoredStream& stream = objects_.streams[uid];
  stream.options = options;
  stream.record = std::make_unique<const std::string>(EncodeStream(config, options));
  stream.config_lsn = wal_.Append(RecordKind::kStreamPut, uid, {*stream.record});
  stream.config_dirty = true;
  *lsn = stream.config_lsn;
  return stream.Wake(uid, logs_, wal_).log();
}

StreamLog* DiskShardStore::FindStream(uint64_t uid) {
  const auto at = objects_.streams.find(uid);
  if (at == objects_.streams.end()) return nullptr;
  at->second.unused = false;
  return at->second.Wake(uid, logs_, wal_).log();
}

void DiskShardStore::LetRest(uint64_t uid) {
  const auto at = objects_.streams.find(uid);
  if (at == objects_.streams.end()) return;
  StoredStream& stream = at->second;
  stream.unused = true;
  const bool rests = !checkpoint_.running() && stream.Rest();
  if (!rests && (checkpoint_.running() || stream.changed())) AwaitRest(uid, &stream);
}

void DiskShardStore::AwaitRest(uint64_t uid, StoredStream* stream) {
  if (!std::exchange(stream->awaits_rest, true)) unused_.push_back(uid);
}

// Those that had something for the checkpoint that has ended.
void DiskShardStore::LetMoreRest() {
  if (checkpoint_.running()) return;
  for (uint32_t i = 0; i < options_.checkpoint_slice && !resting_.empty(); ++i) {
    const uint64_t uid = resting_.back();
    resting_.pop_back();
    const auto at = objects_.streams.find(uid);
    if (at == objects_.streams.end()) continue;
    at->second.awaits_rest = false;
    if (at->second.unused && !at->second.Rest() && at->second.changed()) AwaitRest(uid, &at->second);
  }
}

Lsn DiskShardStore::UpdateStream(uint64_t uid, std::string_view config, const StreamLogOptions& options) {
  const auto at = objects_.streams.find(uid);
  MR_CHECK(at != objects_.streams.end());
  StoredStream& stream = at->second;
  MR_CHECK(options.memory == stream.options.memory);
  stream.options = options;
  stream.record = std::make_unique<const std::string>(EncodeStream(config, options));
  stream.config_lsn = wal_.Append(RecordKind::kStreamPut, uid, {*stream.record});
  stream.config_dirty = true;
  if (stream.stored != nullptr) stream.stored->log()->set_options(options);
  return stream.config_lsn;
}

Lsn DiskShardStore::DeleteStream(uint64_t uid) {
  const auto at = objects_.streams.find(uid);
  if (at == objects_.streams.end()) return 0;
  const absl::InlinedVector<uint64_t, 1> consumers = std::move(at->second.consumers);
  for (const uint64_t consumer : consumers) {
    if (objects_.consumers.contains(consumer)) DropConsumer(consumer);
  }
  const bool memory = at->second.options.memory;
  objects_.streams.erase(at);
  const Lsn lsn = wal_.Append(RecordKind::kStreamDelete, uid, {});
  objects_.deleted.push_back({uid, lsn});
  if (!memory) discards_.push_back({lsn, uid});
  return lsn;
}

// --- consumers

uint64_t DiskShardStore::CreateConsumer(uint64_t stream_uid, std::string_view config, Lsn* lsn) {
  const auto stream = objects_.streams.find(stream_uid);
  MR_CHECK(stream != objects_.streams.end());
  const uint64_t uid = objects_.next_uid++;
  stream->second.consumers.push_back(uid);
  StoredConsumer& consumer = objects_.consumers[uid];
  consumer.stream_uid = stream_uid;
  *lsn = UpdateConsumer(uid, config);
  return uid;
}

Lsn DiskShardStore::UpdateConsumer(uint64_t uid, std::string_view config) {
  const auto at = objects_.consumers.find(uid);
  MR_CHECK(at != objects_.consumers.end());
  StoredConsumer& consumer = at->second;
  consumer.record = std::make_unique<const std::string>(EncodeConsumerConfig(consumer.stream_uid, config));
  consumer.config_lsn = wal_.Append(RecordKind::kConsumerPut, uid, {*consumer.record});
  consumer.config_dirty = true;
  return consumer.config_lsn;
}

Lsn DiskShardStore::DropConsumer(uint64_t uid) {
  objects_.consumers.erase(uid);
  const Lsn lsn = wal_.Append(RecordKind::kConsumerDelete, uid, {});
  objects_.deleted.push_back({uid, lsn});
  return lsn;
}

Lsn DiskShardStore::DeleteConsumer(uint64_t uid) {
  const auto at = objects_.consumers.find(uid);
  if (at == objects_.consumers.end()) return 0;
  const auto stream = objects_.streams.find(at->second.stream_uid);
  if (stream != objects_.streams.end()) {
    auto& consumers = stream->second.consumers;
    consumers.erase(std::remove(consumers.begin(), consumers.end(), uid), consumers.end());
  }
  return DropConsumer(uid);
}

Lsn DiskShardStore::PutConsumerState(uint64_t uid, std::string_view delta) {
  const auto at = objects_.consumers.find(uid);
  MR_CHECK(at != objects_.consumers.end());
  at->second.state_dirty = true;
  return wal_.Append(RecordKind::kConsumerState, uid, {delta});
}

void DiskShardStore::TouchConsumer(uint64_t uid) {
  const auto at = objects_.consumers.find(uid);
  MR_CHECK(at != objects_.consumers.end());
  at->second.state_dirty = true;
}

// --- turns

void DiskShardStore::EndTurn(Nanos now) {
  while (!discards_.empty() && discards_.front().lsn <= wal_.durable()) {
    logs_.Discard(discards_.front().uid);
    discards_.pop_front();
  }
  wal_.NoteBlocksFull(logs_.full());
  StepReserve(now);
  LookIfQuiet(now);
  if (!closing_) eraser_.Step(now);
  if (eraser_.idle()) StepCheckpoint(now);
  over_budget_ = checkpoint_.running() && DiskInUse() > 2 * logs_.disk_use().live_bytes + 2 * log_budget();
  LetMoreRest();
  if (now >= old_keys_at_) StepOldKeys(now);
  if (now >= scrub_at_ && !closing_) scrub_at_ = logs_.StepScrub(now);
  wal_.EndTurn(now);
  logs_.EndTurn();
  if constexpr (kDebugChecks) Invariant();
}

void DiskShardStore::Invariant() const {
  wal_.Invariant();
  catalog_->Invariant();
  checkpoint_.Invariant();
  eraser_.Invariant();
  logs_.Invariant();
  MR_CHECK(discards_.empty() || discards_.back().lsn <= wal_.staged());
  MR_CHECK(discards_.empty() || discards_.front().lsn <= discards_.back().lsn);
  MR_CHECK(!over_budget_ || checkpoint_.running());
}

void DiskShardStore::Recount() const {
  Invariant();
  catalog_->Recount();
  logs_.Recount();
  for (const auto& [uid, stream] : objects_.streams) {
    MR_CHECK_OP(uid, <, objects_.next_uid);
    MR_CHECK_OP(stream.config_lsn, <=, wal_.staged());
    MR_CHECK(!stream.config_dirty || stream.record != nullptr);
    MR_CHECK(stream.stored == nullptr || stream.at_rest == nullptr);
  }
  for (const auto& [uid, consumer] : objects_.consumers) {
    MR_CHECK_OP(uid, <, objects_.next_uid);
    MR_CHECK(!consumer.config_dirty || consumer.record != nullptr);
    MR_CHECK(objects_.streams.contains(consumer.stream_uid));
  }
}

// What was written under old keys, or under none, is written anew: blocks by compaction, the rest by checkpoints. When
// nothing of it is left the keys are forgotten.
void DiskShardStore::StepOldKeys(Nanos now) {
  old_keys_at_ = now + kOldKeysEvery;
  if (checkpoint_.running() || checkpoint_.wanted() || wal_.failed()) return;
  const OldKeys blocks = logs_.old_keys();
  if (blocks == OldKeys::kMoving) return;
  if (blocks == OldKeys::kMoved || wal_.files().HasStale() || catalog_->stale()) {
    // What is damaged never moves out: a checkpoint is no help then, and the old key is kept.
    if (old_keys_checkpoints_++ < kOldKeysCheckpoints) return checkpoint_.Want();
    old_keys_at_ = Nanos::max();
    return;
  }
  old_keys_at_ = Nanos::max();
  absl::Status status = disk_.SyncDirectory("wal");
  if (status.ok()) status = options_.keys->Finish();
  if (options_.on_keys) options_.on_keys(status);
}

void DiskShardStore::StepCheckpoint(Nanos now) {
  if (wal_.failed()) return;  // the log will not grow; a restart decides with what is on disk
  if (!checkpoint_.running()) {
    if (WantsCheckpoint(now)) checkpoint_.Want();
    if (wal_.state() == WalState::kFull && now >= relief_at_ && CheckpointHelps()) {
      const bool much = logs_.disk_use().held_bytes > 0;
      relief_at_ = now + (wal_.starved() ? kReliefOfStarvedEvery : much ? kReliefEvery : kReliefOtherwiseEvery);
      // It needs room itself, and so does a log without any. What is given up for that has to come back.
      const bool pays = wal_.starved() || logs_.disk_use().held_bytes >= reserve_.bytes();
      if (reserve_.held() && pays && disk_.FreeBytes().value_or(0) < reserve_.bytes()) {
        reserve_.Release();
        wal_.LookAtSpace();
        checkpoint_.RetryNow();
      }
      checkpoint_.Want();
    }
    // Without the engine the consumers cannot be asked for their state.
    if (consumers_ == nullptr && !objects_.consumers.empty()) return;
  }
  const uint64_t failures = checkpoint_.failures();
  const uint64_t count = checkpoint_.count();
  checkpoint_.Step(now);
  if (count != checkpoint_.count()) {
    resting_.insert(resting_.end(), unused_.begin(), unused_.end());
    std::vector<uint64_t>().swap(unused_);
  }
  if (failures != checkpoint_.failures() && listener_ != nullptr) {
    listener_->OnStorage(state(), checkpoint_.TakeError());
  }
}

uint64_t DiskShardStore::DiskInUse() const {
  return wal_.files().bytes() + logs_.disk_use().file_bytes + catalog_->file_bytes() +
         (reserve_.held() ? reserve_.bytes() : 0);
}

uint64_t DiskShardStore::checkpoint_bytes() const {
  if (options_.checkpoint_bytes > 0) return options_.checkpoint_bytes;
  // The files behind it are full then, and one is left to go on with.
  const uint64_t least = options_.wal_file_bytes * std::max<uint64_t>(1, (options_.wal_files - 1) / 2);
  return std::clamp(4 * checkpoint_.cost_bytes(), least, 4 * least);
}

// Messages are refused, and a checkpoint would give room back: acknowledgements and deletions go on meanwhile.
bool DiskShardStore::CheckpointHelps() const {
  return wal_.starved() || logs_.full() || wal_.files().in_use() > 1 || logs_.disk_use().held_bytes > 0;
}

void DiskShardStore::StepReserve(Nanos now) {
  now_ = now;
  if (wal_.starved() != (starved_since_ != Nanos::max())) starved_since_ = wal_.starved() ? now : Nanos::max();
  if (reserve_.held() || now < reserve_at_) return;
  reserve_at_ = now + kReserveEvery;
  // Before any message: it is what the next purge may need.
  if (checkpoint_.running() || wal_.starved() || logs_.disk_use().held_bytes >= reserve_.bytes()) return;
  if (disk_.FreeBytes().value_or(0) >= 2 * reserve_.bytes()) reserve_.Make();
}

// Hardly anything is written: what a burst has left behind goes. Its records need not be replayed after a crash, what
// they changed need not be kept in memory, and what is dead need not stay on disk.
void DiskShardStore::LookIfQuiet(Nanos now) {
  if (wal_.written_bytes() > quiet_written_ + options_.checkpoint_idle_bytes / 4) {
    quiet_written_ = wal_.written_bytes();
    quiet_at_ = now + options_.checkpoint_idle_after;
    quiet_ = false;
  } else if (now >= quiet_at_) {
    quiet_at_ = Nanos::max();
    quiet_ = true;
  }
  SetThrift(wal_.state() == WalState::kFull ? Thrift::kFull : quiet_ ? Thrift::kQuiet : Thrift::kBusy);
}

void DiskShardStore::SetThrift(Thrift thrift) {
  if (std::exchange(thrift_, thrift) == thrift) return;
  logs_.SetThrift(thrift);
  SetCatalogSlack();
}

// On a full disk every checkpoint takes some of the last bytes; compaction gives them back.
void DiskShardStore::SetCatalogSlack() {
  const uint64_t most = std::clamp(options_.wal_file_bytes / 16, kCatalogSlackLeast, kCatalogSlackMost);
  catalog_->set_slack_bytes(thrift_ == Thrift::kFull ? kCatalogSlackWhenFull : most);
}

bool DiskShardStore::WantsCheckpoint(Nanos now) {
  const DiskUse use = logs_.disk_use();
  const uint64_t held_max = std::max(log_budget() / 4, use.live_bytes / 4);
  if (log_bytes() >= checkpoint_bytes() || use.held_bytes >= held_max) return true;
  if (!quiet_ || now < quiet_checkpoint_at_) return false;
  if (std::max(log_bytes(), use.held_bytes) < options_.checkpoint_idle_bytes) return false;
  quiet_checkpoint_at_ = now + kQuietEvery;
  return true;
}

void DiskShardStore::OnTick(Nanos now) { wal_.OnTick(now); }

Nanos DiskShardStore::NextTick() const {
  const Nanos relief_at = wal_.state() == WalState::kFull && CheckpointHelps() ? relief_at_ : Nanos::max();
  // What is dead waits for the next checkpoint that may be made because nothing else happens.
  const bool waits = quiet_ && logs_.disk_use().held_bytes >= options_.checkpoint_idle_bytes;
  const Nanos quiet_at = waits ? quiet_checkpoint_at_ : quiet_at_;
  return std::min({wal_.NextTick(), checkpoint_.retry_at(), old_keys_at_, scrub_at_, quiet_at, relief_at,
                   eraser_.retry_at()});
}

bool DiskShardStore::HasWork() const {
  if (wal_.failed() || (consumers_ == nullptr && !objects_.consumers.empty())) return false;
  if (eraser_.has_work() || (checkpoint_.has_work() && eraser_.idle())) return true;
  return logs_.has_work() || (!resting_.empty() && !checkpoint_.running());
}

bool DiskShardStore::writable() const {
  return !wal_.failed() && (starved_since_ == Nanos::max() || now_ - starved_since_ < kStarvedTooLong);
}

StorageState DiskShardStore::state() const {
  switch (wal_.state()) {
    case WalState::kOk:
      return StorageState::kOk;
    case WalState::kFull:
      return StorageState::kFull;
    case WalState::kFailed:
      break;
  }
  return StorageState::kFailed;
}

void DiskShardStore::OnWalDurable(Lsn durable) {
  if (listener_ != nullptr) listener_->OnDurable(durable);
}

void DiskShardStore::OnWalState(WalState state, const std::string& why) {
  if (state == WalState::kFull) checkpoint_.Want();  // recycles what the log does not need any more
  if (listener_ != nullptr) listener_->OnStorage(this->state(), why);
}

// --- the end

void DiskShardStore::StartClose() {
  closing_ = true;
  failures_at_close_ = checkpoint_.failures() + checkpoint_.partial_count();
  count_at_close_ = checkpoint_.count();
  checkpoint_.Want();
}

bool DiskShardStore::closed() const {
  if (!closing_ || !logs_.idle() || !eraser_.idle() || checkpoint_.in_flight()) return false;
  // On a full disk nobody waits for room: a checkpoint has been tried, and what is staged was confirmed to nobody.
  const uint64_t failures = checkpoint_.failures() + checkpoint_.partial_count();
  const bool tried = failures != failures_at_close_ || checkpoint_.count() != count_at_close_;
  if (!wal_.idle()) return tried && wal_.stuck();
  if (wal_.failed()) return true;  // wherever a checkpoint was: it goes on no more
  if (checkpoint_.running()) return false;
  const bool cannot = consumers_ == nullptr && !objects_.consumers.empty();
  return cannot || !checkpoint_.wanted() || failures != failures_at_close_;
}

ShardStore::Stats DiskShardStore::stats() const {
  Stats stats;
  stats.flushes = wal_.flushes();
  stats.flushed_bytes = wal_.written_bytes();
  stats.log_bytes = log_bytes();
  stats.log_files = wal_.file_count();
  stats.log_file_bytes = wal_.files().bytes();
  stats.checkpoints = checkpoint_.count();
  stats.catalog_bytes = catalog_->file_bytes();
  stats.streams = objects_.streams.size();
  stats.consumers = objects_.consumers.size();
  return stats;
}

}  // namespace millrace
