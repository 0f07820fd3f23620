// SPDX-License-Identifier: Apache-2.0
// BlockLog: StreamLog over blocks: what memory and file streams have in common, which is all but where blocks live.
// Owner:  shard.
// Hooks:  a derived class says what becomes of blocks: sealed, dropped, thinned out, or wanted but not in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/index/live_set.h"
#include "store/index/message_index.h"
#include "store/journal.h"
#include "store/pace.h"
#include "store/segment/block.h"
#include "store/segment/block_directory.h"
#include "store/segment/block_reader.h"
#include "store/segment/counted_state.h"
#include "store/segment/stream_records.h"
#include "store/stream_log.h"

namespace millrace {

class BlockLog : public StreamLog, protected BlockSource {
 public:
  ~BlockLog() override;

  uint64_t uid() const final { return uid_; }
  const StreamLogState& state() const final {
    if (state_stale_ && changing_ == 0) [[unlikely]] const_cast<BlockLog*>(this)->SettleState();
    return state_;
  }
  const StreamLogOptions& options() const final { return options_; }
  void set_options(const StreamLogOptions& options) final;
  void set_listener(StreamLogListener* listener) final { listener_ = listener; }
  void set_bytes_sum(BytesSum* sum) final { state_.set_bytes_sum(sum); }
  void set_pace(Pace* pace) final {
    pace_ = pace;
    if (index_ != nullptr) index_->set_pace(pace);
  }
  bool NeedsPrepare() const final {
    return index_ == nullptr ? blocks_.size() > kFewBlocks : index_->WantsSeal(state_.last_seq + 1);
  }
  void Prepare() final;
  bool IsLarge() const final { return index_ == nullptr ? blocks_.size() > kFewBlocks : index_->IsLarge(); }
  void Dissolve() final;

  Lsn Append(const StoredMessage& message) final;
  Lsn SkipTo(uint64_t seq) final;
  Lsn Remove(uint64_t seq, Erase erase) final;
  Lsn RemoveMany(const std::vector<uint64_t>& seqs) final;
  Lsn TrimBelow(uint64_t seq) final;
  Lsn Purge() final;

  LoadStatus Load(uint64_t seq, StoredMessage* message) final;
  LoadStatus LoadNow(uint64_t seq, StoredMessage* message) final;
  uint64_t Next(const Filters& filters, uint64_t from) final;
  uint64_t Previous(const Filters& filters, uint64_t from) final;
  uint64_t Count(const Filters& filters, uint64_t from, bool last_per_subject) final;
  std::optional<SubjectState> FindSubject(std::string_view subject) final;
  void ForEachSubject(const Filters& filters,
                      const std::function<bool(std::string_view subject, const SubjectState&)>& visit) final;
  std::vector<uint64_t> LastPerSubject(const Filters& filters, uint64_t up_to, size_t max) final;
  std::vector<uint64_t> OlderThanLast(uint64_t keep) final;
  uint64_t FirstWithin(uint64_t messages, uint64_t bytes) final;
  uint64_t FirstAtOrAfter(int64_t time_ns) final;
  std::vector<uint64_t> Deleted(size_t max) final;

  // User space held, for figures and tests.
  virtual size_t memory_bytes() const;
  // Unless a change is half done: blocks ascend, and what is kept of them twice (ends, live sequences, counts, bytes,
  // subjects) agrees.
  virtual void Invariant() const;

 protected:
  // journal may be nullptr (memory).
  BlockLog(uint64_t uid, const StreamLogOptions& options, Journal* journal)
      : uid_(uid), options_(options), journal_(journal, uid), reader_(blocks_, *this) {}

  friend class LogWork;
  friend class LogChange;

  // --- hooks
  virtual void OnSealed(Block* block) = 0;   // takes no more appends
  virtual void OnDropped(Block* block) = 0;  // leaves the directory; its body, if any, is given up
  virtual void OnThinned(Block* block) {}    // sealed, and less than half of it lives
  // The index; a file stream makes it at first use.
  virtual void BuildIndex() = 0;
  virtual bool MayDropIndex() const { return false; }
  virtual void OnErased(Block* block) {}     // on disk, and one of its messages must become unreadable there
  virtual void OnShrunk(Block* block, uint64_t record_bytes) {}  // one of its messages is removed
  virtual void OnRunsCleared() {}            // purged: nothing that the index has on disk is wanted

  // Nobody works with it any more (LogWork).
  virtual void OnRested() {}

  MessageIndex& index() {
    used_ = true;
    if (index_ == nullptr) [[unlikely]] BuildIndex();
    return *index_;
  }

  // --- changes without the journal; the public ones are these and a record.
  void DoAppend(const StoredMessage& message);
  void DoSkipTo(uint64_t seq);
  void DoRemove(uint64_t seq, Erase erase);
  void DoTrimBelow(uint64_t seq);
  void DoPurge();

  // --- blocks
  void SealOpenBlock();
  void DropBlocks(size_t first, size_t end);
  void SealRunBefore(uint64_t seq);
  void DropBlocksBelow(uint64_t seq);
  size_t DropSomeBelow(uint64_t seq);
  // Replaces blocks [first, last] by one with their live messages. False: one of them cannot be read.
  bool Rewrite(size_t first, size_t last);
  void SettleState();
  // What a change returns that was just journalled.
  Lsn Staged(Lsn lsn) const { return options_.async ? 0 : lsn; }

  const uint64_t uid_;
  StreamLogOptions options_;
  StreamJournal journal_;
  StreamLogListener* listener_ = nullptr;
  CountedState state_;
  bool state_stale_ = false;  // first_time_ns has to be read
  bool subjects_stale_ = false;  // changed while there was no index
  bool bytes_guessed_ = false;   // a message that could not be read was removed: sums of bytes are estimates
  bool dirty_ = false;
  bool wipe_ = false;  // what is dropped now must become unreadable
  bool used_ = false;  // the index was, since somebody looked
  LiveSet live_;
  BlockDirectory blocks_;
  BlockReader reader_;
  std::unique_ptr<MessageIndex> index_;
  Pace* pace_ = nullptr;
  uint32_t working_ = 0;
  uint32_t changing_ = 0;

 private:
  static constexpr size_t kFewBlocks = 1;  // the index of so many is made in no time
  void AccountRemoved(uint64_t seq, uint64_t bytes);
};

inline LoadStatus BlockLog::Load(uint64_t seq, StoredMessage* message) {
  return live_.Contains(seq) ? reader_.Load(seq, message) : LoadStatus::kAbsent;
}

inline LoadStatus BlockLog::LoadNow(uint64_t seq, StoredMessage* message) {
  return live_.Contains(seq) ? reader_.LoadNow(seq, message) : LoadStatus::kAbsent;
}

// While one lives, a call is under way that may be paused: what it works with stays where it is.
class LogWork {
 public:
  explicit LogWork(BlockLog& log) : log_(log) { ++log_.working_; }
  ~LogWork() {
    MR_CHECK(log_.working_ > 0);
    if (--log_.working_ == 0) log_.OnRested();
  }
  LogWork(const LogWork&) = delete;
  LogWork& operator=(const LogWork&) = delete;

 private:
  BlockLog& log_;
};

// The same, and messages are half removed: no state that ever was. For a journal it is one change.
class LogChange : public LogWork {
 public:
  explicit LogChange(BlockLog& log) : LogWork(log), log_(log) { ++log_.changing_; }
  ~LogChange() {
    MR_CHECK(log_.changing_ > 0);
    --log_.changing_;
  }

 private:
  BlockLog& log_;
};

}  // namespace millrace
