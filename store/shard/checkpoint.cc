// SPDX-License-Identifier: Apache-2.0
#include "store/shard/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr Nanos kRetryAfter = std::chrono::seconds(1);
constexpr uint32_t kFlushTries = 5;
constexpr Nanos kRetryFullAfter = std::chrono::milliseconds(250);  // on a full disk room comes at any time

}  // namespace

Checkpoint::Checkpoint(Catalog& catalog, WriteAheadLog& wal, StoredLogs& logs, ShardObjects& objects,
                       const ShardStoreOptions& options)
    : catalog_(catalog),
      wal_(wal),
      logs_(logs),
      objects_(objects),
      group_bytes_(options.checkpoint_group_bytes),
      slice_(options.checkpoint_slice) {
  MR_CHECK(slice_ > 0);
  sync_.Bind<&Checkpoint::OnSynced>(this);
}

void Checkpoint::Invariant() const {
  MR_CHECK_OP(count_, <=, begun_);
  MR_CHECK_OP(succeeded_, <=, begun_);
  MR_CHECK_OP(written_at_last_, <=, wal_.written_bytes());
  MR_CHECK_OP(catalog_.replay_from(), <=, wal_.durable());
  MR_CHECK(!sync_.busy() || step_ == Phase::kSync);
  if (step_ == Phase::kIdle || step_ == Phase::kCompact) {
    MR_CHECK(taken_.empty() && streams_.empty() && consumers_todo_.empty() && removing_.empty());
    if (step_ == Phase::kIdle) MR_CHECK(!catalog_.busy() && catalog_.staged_bytes() == 0);
    return;
  }
  MR_CHECK_OP(next_stream_, <=, streams_.size());
  MR_CHECK_OP(next_consumer_, <=, consumers_todo_.size());
  MR_CHECK_OP(group_.size(), <=, slice_);
  MR_CHECK_OP(encoded_, <=, group_.size());
  MR_CHECK_OP(bound_, <=, wal_.durable());
  MR_CHECK_OP(bound_, >=, catalog_.replay_from());
  MR_CHECK_OP(settled_at_, <=, wal_.staged());
  // A deletion is taken out of the catalog by a commit and by nothing before it.
  MR_CHECK(removing_.empty() || step_ == Phase::kCommit);
  // The root that is on its way says that the log is not needed for what the states have left out.
  MR_CHECK(step_ != Phase::kCommit || settled_at_ <= wal_.durable());
}

// The edges of the table in the header; whatever fails goes to kIdle.
void Checkpoint::SetStep(Phase step) {
  bool edge = step == Phase::kIdle;
  switch (step_) {
    case Phase::kIdle:
      edge = edge || step == Phase::kCompact || step == Phase::kFlush;
      break;
    case Phase::kCompact:
      edge = edge || step == Phase::kFlush;
      break;
    case Phase::kFlush:
      edge = edge || step == Phase::kEncode;
      break;
    case Phase::kEncode:  // a group that has staged nothing has nothing to sync
      edge = edge || step == Phase::kSync || step == Phase::kWrite;
      break;
    case Phase::kSync:
      edge = edge || step == Phase::kWrite;
      break;
    case Phase::kWrite:
      edge = edge || step == Phase::kFlush || step == Phase::kSettle;
      break;
    case Phase::kSettle:
      edge = edge || step == Phase::kCommit;
      break;
    case Phase::kCommit:
      break;
  }
  MR_CHECK(edge);
  step_ = step;
}

bool Checkpoint::has_work() const {
  switch (step_) {
    case Phase::kIdle:
      return wanted_ && now_ >= retry_at_;
    case Phase::kCompact:
      return catalog_.needs_step() || !catalog_.busy();
    case Phase::kFlush:
      return true;
    case Phase::kEncode: {
      if (encoded_ == group_.size()) return true;
      const auto at = objects_.streams.find(group_[encoded_].uid);
      if (at == objects_.streams.end() || LeavesOut(at->second)) return true;
      const StoredLog& stored = *at->second.stored;
      if (stored.at_work()) return false;
      return stored.flushed() || stored.flush_waits() || now_ >= flush_again_at_;
    }
    case Phase::kSync:
      return !sync_.busy();
    case Phase::kSettle:
      return wal_.durable() >= settled_at_ || wal_.starved();
    case Phase::kWrite:
    case Phase::kCommit:
      return !catalog_.busy();
  }
  return false;
}

bool Checkpoint::LeavesOut(const StoredStream& stream) const { return logs_.full() && stream.stored->stuck(); }

void Checkpoint::Step(Nanos now) {
  now_ = now;
  if (!has_work()) return;
  switch (step_) {
    case Phase::kIdle:
      wanted_ = false;
      if (catalog_.wants_compaction()) {
        SetStep(Phase::kCompact);
        catalog_.StartCompaction();
        break;
      }
      Begin();
      break;
    case Phase::kCompact:
      catalog_.Step();
      if (catalog_.busy()) break;
      // For want of room, perhaps: what is there can be written all the same, unless it must not be.
      if (catalog_.failed() && catalog_.suspect()) return Abort("compacting the catalog");
      Begin();
      break;
    case Phase::kFlush:
      FlushGroup();
      break;
    case Phase::kEncode:
      EncodeGroup();
      break;
    case Phase::kSync:
      if (sync_failed_) return Abort(absl::StrFormat("syncing segments: %s", std::strerror(sync_error_)));
      SetStep(Phase::kWrite);
      catalog_.StartFlush();
      break;
    case Phase::kWrite:
      if (catalog_.failed()) return Abort("writing the catalog");
      if (next_stream_ < streams_.size() || next_consumer_ < consumers_todo_.size()) {
        SetStep(Phase::kFlush);
      } else {
        SetStep(Phase::kSettle);
      }
      break;
    case Phase::kSettle:
      if (partial_ && !Pays()) {
        ++partial_count_;
        PutBack();
        retry_at_ = now_ + kRetryFullAfter;
      } else if (wal_.durable() >= settled_at_) {
        Commit();
      } else {  // the log needs the files that a checkpoint gives back, and takes no more messages: nothing is left out
        PutBack();
      }
      break;
    case Phase::kCommit:
      if (catalog_.failed()) return Abort("committing the catalog");
      Succeed();
      break;
  }
}

void Checkpoint::Begin() {
  MR_CHECK(taken_.empty() && streams_.empty() && consumers_todo_.empty() && removing_.empty());
  MR_CHECK_OP(catalog_.staged_bytes(), ==, 0u);
  ++begun_;
  bound_ = wal_.durable();
  begun_at_ = wal_.written_bytes();
  settled_at_ = 0;
  partial_ = false;
  catalog_at_begin_ = catalog_.file_bytes();
  for (const auto& [uid, stream] : objects_.streams) {
    if (stream.config_dirty || stream.changed()) streams_.push_back(uid);
  }
  for (const auto& [uid, consumer] : objects_.consumers) {
    if (consumer.config_dirty || consumer.state_dirty) consumers_todo_.push_back(uid);
  }
  // In the order of creation: neighbours on disk, and the same in every run.
  std::sort(streams_.begin(), streams_.end());
  std::sort(consumers_todo_.begin(), consumers_todo_.end());
  next_stream_ = next_consumer_ = 0;
  SetStep(Phase::kFlush);
}

void Checkpoint::FlushGroup() {
  group_.clear();
  encoded_ = 0;
  while (next_stream_ < streams_.size() && group_.size() < slice_) {
    const uint64_t uid = streams_[next_stream_++];
    const auto at = objects_.streams.find(uid);
    if (at == objects_.streams.end()) continue;  // deleted meanwhile
    StoredStream& stream = at->second;
    if (stream.config_dirty) {
      MR_CHECK(stream.record != nullptr);
      catalog_.Put(CatalogKind::kStreamConfig, uid, stream.config_lsn, *stream.record);
      taken_.push_back({uid, stream.config_lsn, Taken::What::kStreamConfig});
    }
    if (!stream.changed()) continue;
    stream.stored->Flush();
    group_.push_back({uid, wal_.staged(), next_stream_ - 1});
  }
  flush_again_at_ = now_ + kRetryAfter;
  flush_tries_ = 0;
  SetStep(Phase::kEncode);
}

void Checkpoint::EncodeGroup() {
  for (; encoded_ < group_.size(); ++encoded_) {
    const auto [uid, lsn, index] = group_[encoded_];
    const auto at = objects_.streams.find(uid);
    if (at == objects_.streams.end()) continue;
    StoredStream& stream = at->second;
    if (!stream.stored->flushed() && LeavesOut(stream)) {
      partial_ = true;
      continue;
    }
    if (stream.stored->at_work()) return;
    if (stream.stored->flush_waits()) {
      flush_again_at_ = now_ + kRetryAfter;
      return stream.stored->Flush();
    }
    if (!stream.stored->flushed()) {
      // Long for a write: it has failed (a full disk, an error), or is about to end.
      if (now_ < flush_again_at_) return;
      if (++flush_tries_ >= kFlushTries) return Abort("the blocks of a stream cannot be written");
      flush_again_at_ = now_ + kRetryAfter;
      stream.stored->Flush();
      return;
    }
    MR_CHECK(stream.stored->flushed());
    blob_.clear();
    stream.stored->EncodeCheckpoint(&blob_);
    stream.state_dirty = false;
    if (stream.stored->dirty()) settled_at_ = wal_.staged();
    taken_.push_back({uid, 0, Taken::What::kStreamState});
    catalog_.Put(CatalogKind::kStreamState, uid, lsn, blob_);
    if (catalog_.staged_bytes() > group_bytes_ && encoded_ + 1 < group_.size()) {
      // Large states: the rest of the group is flushed already, and is encoded after this much has been written.
      next_stream_ = group_[encoded_ + 1].index;
      break;
    }
  }
  if (next_stream_ == streams_.size()) EncodeConsumers();
  sync_failed_ = false;
  if (catalog_.staged_bytes() == 0) {
    SetStep(Phase::kWrite);
    catalog_.StartFlush();
    return;
  }
  SetStep(Phase::kSync);
  logs_.SyncAll(&sync_);
}

void Checkpoint::EncodeConsumers() {
  for (uint32_t i = 0; i < slice_ && next_consumer_ < consumers_todo_.size(); ++i) {
    if (catalog_.staged_bytes() > group_bytes_) return;
    const uint64_t uid = consumers_todo_[next_consumer_++];
    const auto at = objects_.consumers.find(uid);
    if (at == objects_.consumers.end()) continue;
    StoredConsumer& consumer = at->second;
    if (consumer.config_dirty) {
      MR_CHECK(consumer.record != nullptr);
      catalog_.Put(CatalogKind::kConsumerConfig, uid, consumer.config_lsn, *consumer.record);
      taken_.push_back({uid, consumer.config_lsn, Taken::What::kConsumerConfig});
    }
    if (!consumer.state_dirty) continue;
    blob_.clear();
    consumers_->EncodeConsumer(uid, &blob_);
    consumer.state_dirty = false;
    taken_.push_back({uid, 0, Taken::What::kConsumerState});
    catalog_.Put(CatalogKind::kConsumerState, uid, wal_.staged(), blob_);
  }
}

// A partial one recycles nothing of the log. On a full disk a catalog that grows by one after the other takes the place
// that the whole one needs.
bool Checkpoint::Pays() const {
  const uint64_t removals = objects_.deleted.empty() ? 0 : kDiskAlignment;
  const uint64_t end = AlignUp(catalog_.file_bytes() + catalog_.staged_bytes()) + removals;
  return logs_.freed_by_checkpoint() > end - catalog_at_begin_;
}

void Checkpoint::Commit() {
  MR_CHECK_OP(wal_.durable(), >=, settled_at_);
  MR_CHECK(removing_.empty());
  // Also what was deleted since Begin: it was passed over, so its entry must not outlive the log up to bound_.
  removing_.swap(objects_.deleted);
  for (DeletedObject& object : removing_) {
    for (const CatalogKind kind : {CatalogKind::kStreamConfig, CatalogKind::kStreamState, CatalogKind::kConsumerConfig,
                                   CatalogKind::kConsumerState}) {
      catalog_.Remove(kind, object.uid);  // whether it is there or not: this very checkpoint may have put it
    }
    if (object.lsn > wal_.durable()) {
      catalog_.Put(CatalogKind::kDeleted, object.uid, object.lsn, {});
      object.marked = true;
    } else if (object.marked) {
      catalog_.Remove(CatalogKind::kDeleted, object.uid);
      object.marked = false;
    }
  }
  SetStep(Phase::kCommit);
  if (partial_) bound_ = catalog_.replay_from();
  catalog_.StartCommit(bound_, objects_.next_uid);
}

void Checkpoint::Succeed() {
  for (const Taken& taken : taken_) {
    if (taken.what == Taken::What::kStreamConfig) {
      const auto at = objects_.streams.find(taken.uid);
      if (at == objects_.streams.end() || at->second.config_lsn != taken.lsn) continue;
      at->second.config_dirty = false;
      at->second.record.reset();
    } else if (taken.what == Taken::What::kConsumerConfig) {
      const auto at = objects_.consumers.find(taken.uid);
      if (at == objects_.consumers.end() || at->second.config_lsn != taken.lsn) continue;
      at->second.config_dirty = false;
      at->second.record.reset();
    }
  }
  ForgetWork();
  for (const DeletedObject& object : removing_) {
    if (object.marked) objects_.deleted.push_back(object);  // the next one takes the mark out
  }
  removing_.clear();
  SetStep(Phase::kIdle);
  MR_CHECK_OP(catalog_.replay_from(), ==, bound_);  // what is recycled is what the root on disk does without
  logs_.OnCheckpointed(true);
  wal_.Recycle(bound_);
  ++count_;
  cost_bytes_ = catalog_.file_bytes() - catalog_at_begin_;
  if (partial_) {
    ++partial_count_;
    wanted_ = true;
    retry_at_ = now_ + kRetryFullAfter;
  } else {
    succeeded_ = begun_;
    written_at_last_ = begun_at_;
    logs_.ForgetFull();
  }
}

// There may have been a hundred thousand, once.
void Checkpoint::ForgetWork() {
  std::vector<Taken>().swap(taken_);
  std::vector<uint64_t>().swap(streams_);
  std::vector<uint64_t>().swap(consumers_todo_);
}

// As if it had not begun, and wanted again.
void Checkpoint::PutBack() {
  for (const Taken& taken : taken_) {
    if (taken.what == Taken::What::kStreamState) {
      const auto at = objects_.streams.find(taken.uid);
      if (at != objects_.streams.end()) at->second.state_dirty = true;
    } else if (taken.what == Taken::What::kConsumerState) {
      const auto at = objects_.consumers.find(taken.uid);
      if (at != objects_.consumers.end()) at->second.state_dirty = true;
    }
  }
  ForgetWork();
  for (DeletedObject& object : removing_) {
    object.marked = true;  // nobody knows
    objects_.deleted.push_back(object);
  }
  removing_.clear();
  catalog_.Drop();
  logs_.OnCheckpointed(false);
  SetStep(Phase::kIdle);
  wanted_ = true;
}

void Checkpoint::Abort(std::string why) {
  PutBack();
  retry_at_ = now_ + (wal_.state() == WalState::kFull ? kRetryFullAfter : kRetryAfter);
  ++failures_;
  if (catalog_.failed()) why += absl::StrFormat(": %s", std::strerror(catalog_.error()));
  error_ = "checkpoint: " + why + "; the log keeps everything meanwhile";
}

void Checkpoint::OnSynced(const IoResult& result) {
  sync_failed_ = !result.ok();
  sync_error_ = result.error();
}

}  // namespace millrace
