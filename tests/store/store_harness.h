// SPDX-License-Identifier: Apache-2.0
// Harness: a segment store over SimDisk with a journal that remembers its records, and restarts in between.
// Owner:  caller (a test).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/segment/file_stream_log.h"
#include "store/journal.h"
#include "store/segment/segment_store.h"
#include "tests/crash/sim_disk.h"

namespace millrace {

class RecordingJournal final : public Journal {
 public:
  struct Record {
    RecordKind kind;
    uint64_t object;
    std::string body;
  };
  Lsn Append(RecordKind kind, uint64_t object, std::initializer_list<std::string_view> parts) override {
    if (!keep) return ++lsn_;
    std::string body;
    for (const std::string_view part : parts) body += part;
    records.push_back({kind, object, std::move(body)});
    return ++lsn_;
  }
  Lsn staged() const override { return lsn_; }
  Lsn durable() const override { return lsn_; }
  bool accepting() const override { return true; }

  std::vector<Record> records;
  bool keep = true;

 private:
  Lsn lsn_ = 0;
};

// What ShardStore does, as far as the messages of streams are concerned.
class StoreHarness {
 public:
  static constexpr uint64_t kTurnsPerRecount = 16;

  explicit StoreHarness(const SegmentStoreOptions& options, uint64_t seed = 1)
      : options_(options), disk_(std::make_unique<SimDisk>(seed)) {
    options_.on_damage = [this](std::string_view what) { damage.emplace_back(what); };
    sync_.Bind<&StoreHarness::OnSynced>(this);
    OpenStore();
  }
  ~StoreHarness() { CloseStore(); }

  FileStreamLog* Create(uint64_t uid, const StreamLogOptions& options) {
    stream_options_[uid] = options;
    logs_[uid] = store_->Create(uid, options, journal_);
    return dynamic_cast<FileStreamLog*>(logs_[uid].get());
  }
  FileStreamLog* log(uint64_t uid) { return dynamic_cast<FileStreamLog*>(logs_.at(uid).get()); }
  void Delete(uint64_t uid) {
    logs_.erase(uid);
    checkpoints_.erase(uid);
    stream_options_.erase(uid);
    store_->Discard(uid);
  }

  void Turn() {
    store_->EndTurn();
    disk_->RunCompletions();
    store_->Invariant();
    // With many streams it takes long.
    if (++turns_ % std::max<uint64_t>(kTurnsPerRecount, logs_.size()) == 0) store_->Recount();
  }
  void Settle() {
    for (int i = 0; i < 1000 && !store_->idle(); ++i) Turn();
  }

  // All streams, to the end; `between` runs after Flush and before the state is encoded.
  bool Checkpoint(const std::function<void()>& between = nullptr) {
    StartCheckpoint(between);
    return FinishCheckpoint();
  }

  void StartCheckpoint(const std::function<void()>& between) {
    journal_mark_ = journal_.records.size();
    for (auto& [uid, log] : logs_) log->Flush();
    if (between != nullptr) between();
    for (auto& [uid, log] : logs_) {
      for (int i = 0; i < 1000 && !log->flushed(); ++i) {
        if (log->flush_waits()) log->Flush();
        Turn();
      }
      ASSERT_TRUE(log->flushed()) << uid;
    }
    for (auto& [uid, log] : logs_) {
      std::string blob;
      log->EncodeCheckpoint(&blob);
      fresh_[uid] = blob;
    }
  }
  bool FinishCheckpoint() {
    synced_ = 0;
    store_->SyncAll(&sync_);
    for (int i = 0; i < 1000 && sync_.busy(); ++i) Turn();
    if (synced_ < 0) return false;
    store_->Recount();
    checkpoints_ = std::exchange(fresh_, {});
    journal_.records.erase(journal_.records.begin(), journal_.records.begin() + static_cast<ptrdiff_t>(journal_mark_));
    store_->OnCheckpointed(true);
    store_->Recount();
    return true;
  }

  // The process ends (kill -9): nothing but the disk, the checkpoint and the journal remain.
  // power: and what was not synced goes.
  void Restart(bool power = false, uint64_t seed = 1) {
    std::unique_ptr<SimDisk> next = disk_->Survivor(seed, power ? Survival::kSome : Survival::kEverything);
    CloseStore();
    disk_ = std::move(next);
    OpenStore();
    for (const auto& [uid, options] : stream_options_) {
      logs_[uid] = store_->Create(uid, options, journal_);
      const auto blob = checkpoints_.find(uid);
      if (blob != checkpoints_.end()) {
        const absl::Status status = logs_[uid]->Restore(blob->second);
        ASSERT_TRUE(status.ok()) << status;
      }
    }
    for (const RecordingJournal::Record& record : journal_.records) {
      const auto log = logs_.find(record.object);
      if (log != logs_.end()) log->second->Replay(record.kind, record.body);
    }
    store_->OnRecovered();
    store_->Recount();
  }

  SegmentStore& store() { return *store_; }
  SimDisk& disk() { return *disk_; }
  RecordingJournal& journal() { return journal_; }
  std::map<uint64_t, std::string>& checkpoints() { return checkpoints_; }
  // Index runs that were made anew from blocks although they were there, in all stores so far.
  uint64_t rebuilt_runs() const { return rebuilt_runs_ + store_->stats().rebuilt_runs; }
  std::vector<std::string> damage;

 private:
  void OpenStore() {
    options_.random += 77;
    auto opened = SegmentStore::Open(*disk_, options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = std::move(opened).value();
    if (!recovered_once_) store_->OnRecovered();
    recovered_once_ = true;
  }
  void CloseStore() {
    disk_->PullThePlug();
    logs_.clear();
    for (int i = 0; i < 1000 && store_ != nullptr && !store_->idle(); ++i) Turn();
    if (store_ != nullptr) rebuilt_runs_ += store_->stats().rebuilt_runs;
    store_.reset();
  }
  void OnSynced(const IoResult& result) { synced_ = result.value; }

  SegmentStoreOptions options_;
  RecordingJournal journal_;
  std::unique_ptr<SimDisk> disk_;
  std::unique_ptr<SegmentStore> store_;
  std::map<uint64_t, std::unique_ptr<StoredLog>> logs_;
  std::map<uint64_t, StreamLogOptions> stream_options_;
  std::map<uint64_t, std::string> checkpoints_;
  std::map<uint64_t, std::string> fresh_;
  size_t journal_mark_ = 0;
  uint64_t turns_ = 0;
  uint64_t rebuilt_runs_ = 0;
  int32_t synced_ = 0;
  bool recovered_once_ = false;
  Completion sync_;
};

}  // namespace millrace
