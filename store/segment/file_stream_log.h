// SPDX-License-Identifier: Apache-2.0
// FileStreamLog: a stream whose messages are on disk: journalled when they come, written to segment files behind that.
// Owner:  shard. logs, store and journal outlive it.
// Memory: a stream that is not used is its directory of blocks (about 120 bytes each) and its live sequences; the index
//         by subject is made at first use, from the index runs on disk, and goes again when many other streams are used
//         instead. When there are no blocks either, all of it may go (StoredLog::hollow).
// Restart: Restore, then Replay, read nothing but what they are given. Whatever Replay is told again changes nothing.
// Proof:  tests/store/file_stream_log_test.cc: the twin, with restarts at any point.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/segment/block_log.h"
#include "store/segment/block_owner.h"
#include "store/segment/block_store.h"
#include "store/segment/log_table.h"
#include "store/segment/segment_file.h"
#include "store/segment/stored_runs.h"
#include "store/segment/stream_checkpoint.h"
#include "store/stored_log.h"

namespace millrace {

class FileStreamLog final : public BlockLog, public StoredLog, public BlockOwner, private ColdRuns {
 public:
  FileStreamLog(uint64_t uid, const StreamLogOptions& options, LogTable& logs, BlockStore& store, Journal& journal);
  ~FileStreamLog() override;

  // --- StoredLog
  StreamLog* log() override { return this; }
  absl::Status Restore(std::string_view checkpoint) override;
  void Replay(RecordKind kind, std::string_view body) override;
  bool dirty() const override { return dirty_; }
  void Flush() override;
  bool flushed() const override;
  bool at_work() const override { return flush_started_ || changing_ > 0 || (flush_wanted_ && working_ > 0); }
  bool flush_waits() const override { return flush_wanted_ && !flush_started_ && working_ == 0; }
  bool stuck() const override;
  void EncodeCheckpoint(std::string* out) override;
  bool hollow() const override {
    const bool told = state_.last_seq > 0 || state_.first_seq == 0;
    return told && blocks_.empty() && runs_.empty() && released.empty() && file == 0;
  }

  size_t memory_bytes() const override;
  void Invariant() const override;  // and bytes on disk are those of the blocks there

  // --- BlockOwner
  void OnBlobWritten(uint64_t tag, bool ok) override;
  void OnLoaded() override;

  // --- for those who keep house (segment_store.h)
  bool hydrated() const { return index_ != nullptr; }
  bool MayRest() const;
  void Dehydrate();
  bool TakeUsed() { return std::exchange(used_, false); }
  // Writes what lives of one block in this file elsewhere: how many bytes were read, 0: there is nothing left to move.
  // Not while it is working.
  uint64_t MoveOut(uint32_t file);
  bool working() const { return working_ > 0; }
  // For the scrub. The first block with a sequence of at least `seq` that is on disk and not known to be damaged.
  const Block* StoredBlockFrom(uint64_t seq) const;
  Block* StoredBlockAt(const Extent& extent, uint64_t first_seq);
  void OnBlockDamaged(Block* block);
  StoredRuns& runs() { return runs_; }
  void ForEachExtent(const std::function<void(const Extent&)>& visit) const;

 private:
  // --- BlockLog
  BlockBody* Fetch(Block* block, Wait wait, LoadStatus* why) override;
  bool Peek(Block* block, uint64_t seq, Wait wait, StoredMessage* message) override;
  void OnUsed(size_t index) override;
  void OnSealed(Block* block) override;
  void OnDropped(Block* block) override;
  void OnShrunk(Block* block, uint64_t record_bytes) override;
  void OnErased(Block* block) override;
  void OnRunsCleared() override;
  void OnRested() override;
  void BuildIndex() override;
  bool MayDropIndex() const override { return true; }

  // --- ColdRuns
  const SealedRun* LoadRun(const IndexRun& run) override;
  bool MayName(const IndexRun& run, std::string_view subject) override;
  void OnSealed(IndexRun* run) override;
  void OnDropped(const IndexRun& run) override;

  void DropDeadRuns();
  void RestRun(uint64_t key);
  void PutRun(uint64_t key, const SealedRun& form, uint32_t named, uint32_t through);
  void FlushNow();
  bool WantsOpenRun();
  void WriteOpenRun();
  // What blocks before the first that is not on disk contain, with all removals.
  StreamLogState Covered(size_t block_count, uint64_t* live_through) const;
  SegmentUuids FilesInUse();
  bool IndexFromRun(uint64_t key);               // false: it cannot be read
  bool DecodeStored(uint64_t key, SealedRun* form);
  void IndexBlocks(uint64_t from, uint64_t to);  // appends the live messages of these sequences to the index
  void RebuildRun(uint64_t key, SealedRun* form);
  // Calls on_message(const StoredMessage&) for the live messages of these sequences that can be read.
  template <typename F>
  void ForEachLive(uint64_t from, uint64_t to, F&& on_message);
  void MergeTail();

  LogTable& logs_;
  BlockStore& store_;
  StoredRuns runs_;
  uint64_t flush_seq_ = 0;     // Flush covers everything up to here
  bool flush_wanted_ = false;   // from Flush until it has been done
  bool flush_started_ = false;  // it is under way, and may be paused
  std::vector<uint64_t> resting_runs_;  // keys; written during such work, which may look at them in memory
  size_t used_index_ = 0;  // of the block that was read last
};

}  // namespace millrace
