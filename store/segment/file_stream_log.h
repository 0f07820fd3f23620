// SPDX-License-Identifier: Apache-2.0
// FileStreamLog: a stream whose messages are on disk: journalled when they come, written to segment files behind that.
// Owner:  shard. segments and journal outlive it.
// Memory: a stream that is not used is its directory of blocks (about 120 bytes each) and its live sequences; the index
//         by subject is made at first use, from the index runs on disk, and goes again when many other streams are used
//         instead. When there are no blocks either, all of it may go (StoredLog::hollow).
// Restart: Restore, then Replay, read nothing but what they are given. Whatever Replay is told again changes nothing.
// Proof:  tests/store/file_stream_log_test.cc: the twin, with restarts at any point.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/segment/block_log.h"
#include "store/index/run_codec.h"
#include "store/segment/segment_file.h"
#include "store/stored_log.h"

namespace millrace {

class SegmentStore;

class FileStreamLog final : public BlockLog, public StoredLog, private ColdRuns {
 public:
  FileStreamLog(uint64_t uid, const StreamLogOptions& options, SegmentStore& segments, Journal& journal);
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
    return told && blocks_.empty() && cold_.empty() && released_.empty() && file == 0;
  }

  size_t memory_bytes() const override;
  void Invariant() const override;  // and index runs ascend, and bytes on disk are those of the blocks there

  // --- for SegmentStore
  void OnBlockWritten(Block* block);
  void OnBlockFailed(Block*) {}  // it stays in memory; Flush tries again
  void OnBlobWritten(uint64_t tag, bool ok);
  void OnLoaded();
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
  // The first run with a key of at least *key; *key then goes on behind it.
  bool StoredRunFrom(uint64_t* key, Extent* extent) const;
  bool HasRunAt(const Extent& extent) const;
  void OnRunDamaged(const Extent& extent);
  void ForEachExtent(const std::function<void(const Extent&)>& visit) const;
  uint64_t disk_bytes() const { return disk_bytes_; }
  void OnReleased(const FreedExtent& freed) { released_.push_back(freed); }
  const std::vector<FreedExtent>& released() const { return released_; }
  std::vector<FreedExtent> TakeReleased() { return std::exchange(released_, {}); }
  uint32_t file = 0;  // its own that takes appends; 0: none

 private:
  // One index run on disk, or on its way there.
  struct ColdRun {
    uint64_t key = 0;
    uint64_t tag = 0;      // of the write that is under way
    Extent extent;
    uint32_t named = 0;
    uint32_t through = 0;  // positions below are named: kChunkSpan when the run is complete
    bool written = false;
    bool bad = false;      // its bytes are damaged: made anew from the blocks when wanted
    SubjectFilter filter;  // empty until the index is made
    bool IsAt(const Extent& place) const { return extent.file == place.file && extent.offset == place.offset; }
  };

  // --- BlockLog
  BlockBody* Fetch(Block* block, Wait wait, LoadStatus* why) override;
  bool Peek(Block* block, uint64_t seq, Wait wait, StoredMessage* message) override;
  void OnUsed(Block* block) override;
  void OnSealed(Block* block) override;
  void OnDropped(Block* block) override;
  void OnThinned(Block* block) override {}
  void OnShrunk(Block* block, uint64_t record_bytes) override;
  void OnErased(Block* block) override;
  void OnRunsCleared() override;
  void OnRested() override;
  void BuildIndex() override;
  bool MayDropIndex() const override { return true; }

  // --- ColdRuns
  void StartBlob(ColdRun* cold, std::string_view bytes);
  SealedRun* Cache(uint64_t key, SealedRun form);
  void PruneCold();
  void RestRun(uint64_t key);
  void PutCold(uint64_t key, const SealedRun& form, uint32_t named, uint32_t through);
  const SealedRun* LoadRun(const Run& run) override;
  bool MayName(const Run& run, std::string_view subject) override;
  void OnSealed(Run* run) override;
  void OnDropped(const Run& run) override;

  size_t ColdAtOrAfter(uint64_t key) const;
  void ReleaseCold(size_t index);
  void FlushNow();
  bool WantsOpenRun() const;
  void WriteOpenRun();
  bool IndexFromRun(size_t index);               // of cold_; false: it cannot be read
  void IndexBlocks(uint64_t from, uint64_t to);  // appends the live messages of these sequences to the index
  void RebuildRun(uint64_t key, SealedRun* form);
  // Calls on_message(const StoredMessage&) for the live messages of these sequences that can be read.
  template <typename F>
  void ForEachLive(uint64_t from, uint64_t to, F&& on_message);
  void MergeTail();

  SegmentStore& segments_;
  std::vector<ColdRun> cold_;  // by key
  struct CachedRun {
    uint64_t key;
    SealedRun form;
  };
  std::vector<std::unique_ptr<CachedRun>> cached_runs_;  // used last first
  uint64_t flush_seq_ = 0;     // Flush covers everything up to here
  bool flush_wanted_ = false;   // from Flush until it has been done
  bool flush_started_ = false;  // it is under way, and may be paused
  std::vector<uint64_t> resting_runs_;  // keys; written during such work, which may look at them in memory
  uint64_t disk_bytes_ = 0;    // of blocks that live
  std::vector<FreedExtent> released_;  // since the last EncodeCheckpoint
  uint64_t next_tag_ = 1;
  size_t used_index_ = 0;  // of the block that was read last
};

}  // namespace millrace
