// SPDX-License-Identifier: Apache-2.0
// SegmentStore: makes the logs of a shard's streams, and keeps what they share in order: files of blocks, the cache,
//               what checkpoints hold, compaction, the scrub, secure deletion.
// Owner:  shard (one per shard and directory).
// Parts:  segment_files.h (which files, how much of them), block_store.h (bytes on their way), block_cache.h,
//         compaction.h, segment_scrub.h, segment_sweep.h. A log (file_stream_log.h) knows the first three only.
// Damage: what fails its checksum is never served; its file is never removed, but moved to DIR/quarantine when nothing
//         else in it is wanted. on_damage says so once per block.
// Format: store/FORMAT.md.  Proof: tests/store/file_stream_log_test.cc, segment_store_test.cc.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/base/nanos.h"
#include "store/disk.h"
#include "store/segment/block_cache.h"
#include "store/segment/block_store.h"
#include "store/segment/compaction.h"
#include "store/segment/log_table.h"
#include "store/segment/segment_files.h"
#include "store/segment/segment_options.h"
#include "store/segment/segment_scrub.h"
#include "store/segment/segment_sweep.h"
#include "store/stored_log.h"

namespace millrace {

class SegmentStore final : public StoredLogs {
 public:
  // Blocking. disk outlives the store.
  static absl::StatusOr<std::unique_ptr<SegmentStore>> Open(Disk& disk, const SegmentStoreOptions& options);
  ~SegmentStore() override;

  // --- StoredLogs
  std::unique_ptr<StoredLog> Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) override;
  void Discard(uint64_t uid) override;
  void OnRecovered() override { files_.OnRecovered(keep_unknown_); }
  void KeepUnknown() override { keep_unknown_ = true; }
  void SyncAll(Completion* completion) override;
  void OnCheckpointed(bool durable) override;
  uint64_t freed_by_checkpoint() const override;
  void EndTurn() override;
  bool idle() const override;
  OldKeys old_keys() const override;
  Nanos StepScrub(Nanos now) override;
  void PrepareSweep() override;
  void StartSweep(const std::vector<uint64_t>& uids) override;
  bool Sweep() override;
  bool SweepFailed() const override;
  void EndSweep() override;
  DiskUse disk_use() const override { return files_.use(); }
  bool full() const override { return files_.full(); }
  void ForgetFull() override { files_.set_full(false); }
  void SetThrift(Thrift thrift) override { compaction_.SetThrift(thrift); }
  bool has_work() const override { return compaction_.has_work(); }
  // At any time: no sum is more than what it is a part of, and the cache's list has two ends or none.
  void Invariant() const override;
  // And each sum is counted again: over the files, the places that logs and checkpoints want, and the cache.
  void Recount() const override;

  struct Stats {
    uint64_t files = 0;
    uint64_t file_bytes = 0;      // on disk
    uint64_t live_bytes = 0;      // of them
    uint64_t cache_bytes = 0;     // in memory, could be given up
    uint64_t unwritten_bytes = 0; // in memory, must be kept
    uint64_t compacted_bytes = 0; // that compaction has read
    uint64_t damaged_blocks = 0;
    uint64_t rebuilt_runs = 0;    // index runs that were there and had to be made anew from blocks
    uint64_t streams = 0;
    uint64_t hydrated = 0;
  };
  Stats stats() const;

 private:
  struct FileSync;
  struct SyncOp;

  SegmentStore(Disk& disk, const SegmentStoreOptions& options);
  void StartSync(SyncOp* op, SegmentFile* file);
  void OnSynced(FileSync* sync, const IoResult& result);
  void LetIndexesRest();

  Disk& disk_;
  const SegmentStoreOptions options_;
  bool keep_unknown_ = false;
  SegmentFiles files_;
  BlockCache cache_;
  BlockStore blocks_;
  LogTable logs_;
  size_t hydrated_at_ = 0;  // in logs_.hydrated(), which are looked at in turn
  Compaction compaction_;
  std::unique_ptr<SegmentScrub> scrub_;  // nullptr: there is none
  std::unique_ptr<SegmentSweep> sweep_;  // nullptr: nobody erases
  std::vector<std::unique_ptr<SyncOp>> syncs_;
};

}  // namespace millrace
