// SPDX-License-Identifier: Apache-2.0
// SegmentStore: the files that hold the blocks of a shard's streams, and what of them is in memory.
// Owner:  shard (one per shard and directory).
// Files:  DIR/segments/NNNNNNNN.seg, only ever appended to. A busy stream has files of its own (64 MiB); small streams
//         share packs (32 MiB): 100,000 idle streams cost no file each. Where little is stored, files are smaller: an
//         eighth of it. A file goes when nothing in it is wanted, neither by a stream nor by a checkpoint that a
//         restart could begin with. When too much is dead between what lives (Thrift), what lives in the file that is
//         dead for the most part is written anew elsewhere, a little every turn.
// Memory: bodies of blocks that are on disk form a cache (least recently used goes first); those that are not yet on
//         disk are kept in any case.
// Damage: what fails its checksum is never served; its file is never removed, but moved to DIR/quarantine when nothing
//         else in it is wanted. on_damage says so once per block.
// Format: store/FORMAT.md.  Proof: tests/store/file_stream_log_test.cc, segment_store_test.cc.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "proto/base/nanos.h"
#include "store/segment/block.h"
#include "store/disk.h"
#include "store/segment/segment_file.h"
#include "store/keys/store_keys.h"
#include "store/stored_log.h"

namespace millrace {

class FileStreamLog;

struct SegmentStoreOptions {
  uint64_t random = 0;                     // from the caller's source of randomness: identity of new files
  uint64_t cache_bytes = 16 << 20;         // block bodies and index runs that could be read again
  uint64_t file_bytes = 64 << 20;          // of a stream's own file
  uint64_t pack_bytes = 32 << 20;
  uint64_t busy_bytes = 16 << 20;          // a stream with more than this gets files of its own
  // May be dead in any case; files are at least half as large. Not more than a part of the volume.
  uint64_t slack_bytes = 12 << 20;
  uint64_t compact_turn_bytes = 1 << 20;   // read by compaction in one turn
  uint32_t hydrated_max = 4096;            // streams whose index stays in memory while they are idle
  uint32_t open_files_max = 512;
  uint32_t writes_max = 32;                // in flight
  StoreKeys* keys = nullptr;               // that seal blocks and index runs; they outlive the store
  uint64_t scrub_bytes_per_second = 8 << 20;  // 0: nothing is read but on demand
  Nanos scrub_after = std::chrono::minutes(1);  // the first pass, after the start
  Nanos scrub_every = std::chrono::hours(24);   // from pass to pass, at least
  std::function<void(std::string_view what)> on_damage;
  std::function<void(uint64_t bytes, bool pass_done)> on_scrubbed;  // so much was read, and is good
};

class SegmentStore final : public StoredLogs {
 public:
  // Blocking. disk outlives the store.
  static absl::StatusOr<std::unique_ptr<SegmentStore>> Open(Disk& disk, const SegmentStoreOptions& options);
  ~SegmentStore() override;

  // --- StoredLogs
  std::unique_ptr<StoredLog> Create(uint64_t uid, const StreamLogOptions& options, Journal& journal) override;
  void Discard(uint64_t uid) override;
  void OnRecovered() override;
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
  DiskUse disk_use() const override { return use_; }
  bool full() const override { return full_; }
  void ForgetFull() override { full_ = false; }
  void SetThrift(Thrift thrift) override;
  bool has_work() const override;
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

  // --- for FileStreamLog
  void Register(FileStreamLog* log);
  void Unregister(FileStreamLog* log);  // its blocks stay on disk until Discard; operations in flight come to nothing
  // Writes the block, whose body stays where it is until then; afterwards the body is in the cache.
  void Write(FileStreamLog* log, Block* block);
  // The block leaves its stream: its place is given back once no checkpoint wants it. wipe: and overwritten then.
  void Release(FileStreamLog* log, Block* block, bool wipe);
  // Part of a block is dead now.
  void OnShrunk(const Block& block, uint64_t record_bytes);
  // The checkpoint that the log restored refers to this place.
  void Adopt(FileStreamLog* log, const Extent& extent, uint64_t live_bytes);
  void AdoptFile(uint32_t number, uint64_t uuid);
  uint64_t UuidOf(uint32_t number);
  // Reads and waits; nullptr: damaged.
  BlockBody* ReadNow(FileStreamLog* log, Block* block);
  // At once if the bytes are at hand (then *why is kFound and the body returned); else kPending or kDamaged.
  BlockBody* ReadSoon(FileStreamLog* log, Block* block, LoadStatus* why);
  void ReadAhead(FileStreamLog* log, Block* block);
  // One message, read without the rest of its block; the views are valid until the next call. False: the block has no
  // table of slices, is not in the page cache (unless `wait`), is damaged, or is asked for so often that it had better
  // be in memory.
  bool Peek(FileStreamLog* log, Block* block, uint64_t seq, bool wait, StoredMessage* message);
  void Touch(BlockBody* body);
  void Forget(BlockBody* body) { Remove(body); }  // out of the cache; it is the caller's

  // Blobs: index runs. Where the bytes go is known at once (file 0: nowhere); FileStreamLog::OnBlobWritten(tag) comes
  // when they are there, during recovery before this returns.
  Extent WriteBlob(FileStreamLog* log, uint64_t tag, std::string_view bytes);
  bool ReadBlob(const Extent& extent, std::string* bytes);  // false: damaged
  void ReleaseBlob(FileStreamLog* log, const Extent& extent);

  // What was released before the log's checkpoint was encoded waits for that checkpoint to become durable.
  void OnEncoded(FileStreamLog* log);
  void OnHydrated(FileStreamLog* log);
  void OnRebuiltRun() { ++rebuilt_runs_; }
  bool recovering() const { return recovering_; }
  void ReportDamage(std::string_view what, uint32_t file);
  const SegmentStoreOptions& options() const { return options_; }

 private:
  struct WriteOp;
  struct ReadOp;
  struct SyncOp;
  struct FileSync;
  struct Scrub;
  struct SweepState;

  SegmentStore(Disk& disk, const SegmentStoreOptions& options);
  absl::Status Start();

  SegmentFile* FileOf(uint32_t number);
  void SetEnd(SegmentFile* file, uint64_t end);
  void AddLive(SegmentFile* file, uint64_t bytes);
  void DropLive(SegmentFile* file, uint64_t bytes);
  absl::Status OpenFile(SegmentFile* file);  // and reads its header, if need be
  absl::StatusOr<SegmentFile*> NewFile(uint64_t uid);
  absl::StatusOr<SegmentFile*> FileFor(FileStreamLog* log, uint64_t bytes);
  void CloseSomeFiles();
  bool CloseOneFile();  // because there is no handle for another
  void Place(SegmentFile* file, uint64_t uid, uint64_t bytes, Extent* extent);
  void StartWrite(std::unique_ptr<WriteOp> op);
  void StartQueued();
  void OnWritten(WriteOp* op, int error);
  void OnRead(ReadOp* op, const IoResult& result);
  void OnSynced(FileSync* sync, const IoResult& result);
  BlockBody* TakeBody(FileStreamLog* log, Block* block, std::unique_ptr<BlockBody> body, size_t bytes);
  void Insert(BlockBody* body);
  void Remove(BlockBody* body);
  void Evict();
  void Free(const FreedExtent& freed);
  void StartZeros(SegmentFile* file, const Extent& extent);
  void RemoveIfUnwanted(uint32_t number);
  void StopAppends(SegmentFile* file);
  uint64_t SizeFor(uint64_t stored_bytes, uint64_t most) const;
  void Hold(SegmentFile* file, uint64_t bytes);
  uint64_t DeadBytes() const;
  uint64_t DeadBytesMax() const;
  SegmentFile* FindDeadFile();
  bool WaitsForCheckpoint() const;
  bool TakesTheLast(uint64_t bytes);
  bool OpenBlob(const Extent& extent, std::string* bytes);  // false: it is not what was written there
  void ReportBadBlock(FileStreamLog* log, const Block& block);
  void ReportBadRun(const Extent& extent);
  void Compact();
  void Dehydrate();

  Disk& disk_;
  const SegmentStoreOptions options_;
  Disk::File directory_ = -1;
  bool recovering_ = true;
  bool keep_unknown_ = false;
  uint32_t next_number_ = 1;
  uint32_t pack_ = 0;  // takes the blocks of small streams
  uint32_t open_files_ = 0;
  uint64_t turn_ = 0;
  std::map<uint32_t, std::unique_ptr<SegmentFile>> files_;
  absl::flat_hash_map<uint64_t, FileStreamLog*> logs_;
  absl::flat_hash_map<uint64_t, std::vector<FreedExtent>> left_behind_;  // by logs that are gone, until Discard

  std::vector<std::unique_ptr<WriteOp>> writes_;  // in flight
  std::deque<std::unique_ptr<WriteOp>> queued_;
  std::vector<std::unique_ptr<ReadOp>> reads_;
  std::vector<std::unique_ptr<SyncOp>> syncs_;
  std::vector<uint64_t> without_handle_;  // logs that wait for a read: no file handle was left for it
  std::string peek_room_;
  uint64_t peeks_ = 0;
  std::unique_ptr<Scrub> scrub_;  // nullptr: there is none
  std::unique_ptr<SweepState> sweep_;  // nullptr: nobody erases

  // What checkpoints still want: encoded since the last SyncAll; and synced, until OnCheckpointed. If that says no,
  // they are their log's again: the next checkpoint may leave it out.
  std::vector<EncodedExtent> freed_encoded_;
  std::vector<EncodedExtent> freed_synced_;

  BlockBody* newest_ = nullptr;
  BlockBody* oldest_ = nullptr;
  uint64_t cache_bytes_ = 0;

  std::vector<uint64_t> hydrated_;  // uids, oldest first
  size_t hydrated_at_ = 0;
  uint32_t compacting_ = 0;         // file; 0: none
  uint64_t next_look_ = 0;          // turn
  Thrift thrift_ = Thrift::kBusy;
  bool look_ = false;               // at once
  uint64_t looked_at_dead_ = 0;     // DeadBytes() when nothing was found
  std::vector<uint64_t> compacting_uids_;
  uint64_t compacted_bytes_ = 0;
  uint64_t damaged_blocks_ = 0;
  uint64_t rebuilt_runs_ = 0;
  DiskUse use_;        // sums over files_
  bool full_ = false;  // the last write met a full disk
};

}  // namespace millrace
