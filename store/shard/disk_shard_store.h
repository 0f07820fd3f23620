// SPDX-License-Identifier: Apache-2.0
// DiskShardStore: the ShardStore there is. shard_store.h says how it is used.
// Owner:  shard.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "store/shard/catalog.h"
#include "store/shard/checkpoint.h"
#include "store/shard/disk_reserve.h"
#include "store/shard/eraser.h"
#include "store/shard/shard_objects.h"
#include "store/shard/shard_store.h"
#include "store/log/write_ahead_log.h"

namespace millrace {

class DiskShardStore final : public ShardStore, private WalListener {
 public:
  DiskShardStore(Disk& disk, StoredLogs& logs, const ShardStoreOptions& options, std::unique_ptr<Catalog> catalog);
  ~DiskShardStore() override;
  absl::Status Recover();

  Recovered& recovered() override { return recovered_; }
  void set_listener(ShardStoreListener* listener) override { listener_ = listener; }
  void set_consumers(ConsumerStateSource* consumers) override;

  StreamLog* CreateStream(std::string_view config, const StreamLogOptions& options, Lsn* lsn) override;
  StreamLog* FindStream(uint64_t uid) override;
  void LetRest(uint64_t uid) override;
  Lsn UpdateStream(uint64_t uid, std::string_view config, const StreamLogOptions& options) override;
  Lsn DeleteStream(uint64_t uid) override;
  uint64_t CreateConsumer(uint64_t stream_uid, std::string_view config, Lsn* lsn) override;
  Lsn UpdateConsumer(uint64_t uid, std::string_view config) override;
  Lsn DeleteConsumer(uint64_t uid) override;
  Lsn PutConsumerState(uint64_t uid, std::string_view delta) override;
  void TouchConsumer(uint64_t uid) override;

  void EndTurn(Nanos now) override;
  void OnTick(Nanos now) override;
  Nanos NextTick() const override;
  bool HasWork() const override;

  Journal& journal() override { return wal_; }
  Lsn staged() const override { return wal_.staged(); }
  Lsn durable() const override { return wal_.durable(); }
  StorageState state() const override;
  bool accepting() const override { return wal_.accepting(); }
  bool writable() const override;
  bool Congested() const override { return wal_.Congested() || over_budget_; }

  uint64_t EraseFromDisk(uint64_t uid) override { return eraser_.Ask(uid); }
  uint64_t erased() const override { return eraser_.done(); }
  void StartCheckpoint() override { checkpoint_.Want(); }
  void StartClose() override;
  bool closed() const override;
  Stats stats() const override;
  // Between two calls: deletions are in the order of the log, and what is behind this store holds; cheap.
  void Invariant() const;
  void Recount() const override;

 private:
  struct Discard {
    Lsn lsn;
    uint64_t uid;
  };

  void OnWalDurable(Lsn durable) override;
  void OnWalState(WalState state, const std::string& why) override;
  void AwaitRest(uint64_t uid, StoredStream* stream);
  void LetMoreRest();
  void StepCheckpoint(Nanos now);
  bool CheckpointHelps() const;
  void StepReserve(Nanos now);
  void StepOldKeys(Nanos now);
  bool WantsCheckpoint(Nanos now);
  void LookIfQuiet(Nanos now);
  void SetThrift(Thrift thrift);
  void SetCatalogSlack();
  uint64_t checkpoint_bytes() const;
  uint64_t log_budget() const { return options_.wal_file_bytes * options_.wal_files; }
  uint64_t DiskInUse() const;
  uint64_t log_bytes() const { return wal_.written_bytes() - checkpoint_.written_at_last(); }
  Lsn DropConsumer(uint64_t uid);

  Disk& disk_;
  StoredLogs& logs_;
  const ShardStoreOptions options_;
  std::unique_ptr<Catalog> catalog_;
  WriteAheadLog wal_;
  DiskReserve reserve_;
  ShardObjects objects_;
  Checkpoint checkpoint_;
  Eraser eraser_;
  Recovered recovered_;
  ShardStoreListener* listener_ = nullptr;
  ConsumerStateSource* consumers_ = nullptr;
  std::deque<Discard> discards_;  // streams whose deletion is not durable yet, in the order of the log
  std::vector<uint64_t> unused_;   // streams that LetRest was told of, and whose logs a checkpoint still wants
  std::vector<uint64_t> resting_;  // the same, after a checkpoint
  Nanos now_{0};
  Nanos relief_at_{0};
  Nanos reserve_at_{0};                 // when to look whether the reserve can be made again
  Nanos starved_since_ = Nanos::max();
  Nanos quiet_at_ = Nanos::max();       // when it counts as quiet, if hardly anything is written until then
  uint64_t quiet_written_ = 0;         // wal_.written_bytes() at that
  bool quiet_ = false;
  Nanos quiet_checkpoint_at_{0};       // not before
  Thrift thrift_ = Thrift::kBusy;
  bool over_budget_ = false;           // more disk is in use than should be, and a checkpoint is about to change that
  Nanos scrub_at_{0};
  Nanos old_keys_at_ = Nanos::max();  // when to look what is left under old keys
  uint32_t old_keys_checkpoints_ = 0;  // made for that
  bool closing_ = false;
  uint64_t failures_at_close_ = 0;
  uint64_t count_at_close_ = 0;
};

}  // namespace millrace
