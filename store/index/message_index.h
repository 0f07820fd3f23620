// SPDX-License-Identifier: Apache-2.0
// MessageIndex: which messages of a stream have which subject.
// Owner:  shard (one per stream). It follows the stream's LiveSet: the log adds and removes there first, then here.
// Form:   the subject table says for each subject how many live messages it has and where the first and last are. Runs
//         of
//         65,536 sequences say where the others are: the open run has each message's subject number and a chain from a
//         message to the one before it of the same subject; a sealed run has the numbers sorted, each with its
//         positions.
// Cost:   6 bytes per message in the open run, 2 in sealed ones and 8 per subject in a run, none if there is one
//         subject.
// Stale:  runs go on naming messages that are removed; every answer is checked against the LiveSet, and a run is
//         rebuilt
//         when three quarters of what it names is gone.
// Proof:  the tests of both stream logs, beside a naive twin (tests/store/stream_log_twin.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "store/index/filter_view.h"
#include "store/index/live_set.h"
#include "store/index/index_run.h"
#include "store/stream_log.h"
#include "store/index/subject_table.h"

namespace millrace {

class MessageIndex {
 public:
  // live outlives the index. cold may be nullptr: then every run stays in memory.
  MessageIndex(const LiveSet& live, uint64_t seed, ColdRuns* cold = nullptr) : live_(live), cold_(cold), table_(seed) {}
  MessageIndex(const MessageIndex&) = delete;
  MessageIndex& operator=(const MessageIndex&) = delete;

  void Append(uint64_t seq, std::string_view subject);
  void Remove(uint64_t seq, std::string_view subject);
  // The same when the message cannot be read: its subject is looked up here.
  void RemoveUnread(uint64_t seq);
  enum class Runs : uint8_t { kGo, kStay };  // on disk
  void Clear(Runs runs = Runs::kGo);
  void set_pace(Pace* pace) { pace_ = pace; }
  bool IsLarge() const { return runs_.size() > 1 || table_.count() > kManyMessages; }
  // Appending this sequence would first seal a run, in which there may be much to sort; Seal does it now.
  bool SealsBefore(uint64_t seq) const {
    return !runs_.empty() && runs_.back().key != seq >> LiveSet::kChunkBits && runs_.back().open;
  }
  bool WantsSeal(uint64_t seq) const { return SealsBefore(seq) && runs_.back().appended > kManyMessages; }
  void Seal() { SealLast(); }

  // --- making the index of a file stream, in ascending order of runs; Append in between for what no run names.
  // A sealed run that is on disk, and what it says of its subjects: at least one live message each.
  void AddCold(uint64_t key, uint32_t named);
  void NoteCold(std::string_view subject, uint32_t messages, uint64_t first_seq, uint64_t last_seq);
  IndexRun* FindRun(uint64_t key);
  const IndexRun* open_run() const { return runs_.empty() || !runs_.back().open ? nullptr : &runs_.back(); }

  uint64_t subject_count() const { return table_.count(); }
  // Runs ascend, only the last is open, and each names no more than came into it.
  void Invariant() const;
  size_t memory_bytes() const;

  // As in StreamLog.
  uint64_t Next(const Filters& filters, uint64_t from);
  uint64_t Previous(const Filters& filters, uint64_t from);
  uint64_t Count(const Filters& filters, uint64_t from, bool last_per_subject);
  std::optional<SubjectState> FindSubject(std::string_view subject);
  void ForEachSubject(const Filters& filters,
                      const std::function<bool(std::string_view subject, const SubjectState&)>& visit);
  std::vector<uint64_t> LastPerSubject(const Filters& filters, uint64_t up_to, size_t max);

  std::vector<uint64_t> OlderThanLast(uint64_t keep);

  const SubjectTable& table() const { return table_; }

 private:
  static constexpr size_t kFewSubjects = 8;  // up to here each one is asked instead of a bitmap
  static constexpr size_t kViewsMax = 64;
  static constexpr size_t kViewBytesMax = 8 << 20;
  static constexpr uint32_t kManyMessages = 4096;

  static bool TakesAll(const Filters& filters);
  size_t RunAtOrAfter(uint64_t key) const;
  void RemoveNumber(uint64_t seq, uint32_t number);
  void SealLast();
  void Shrink(uint64_t key);
  // The run's sealed form, from the disk if need be; nullptr for the open run.
  const SealedRun* FormOf(const IndexRun& run) {
    if (run.open || run.sealed != nullptr) return run.sealed.get();
    return cold_->LoadRun(run);
  }
  uint64_t ExactFirst(uint32_t number);
  uint64_t ExactLast(uint32_t number);
  uint64_t NextOf(uint32_t number, uint64_t from);
  uint64_t PreviousOf(uint32_t number, uint64_t from);
  uint64_t CountOf(uint32_t number, uint64_t from);
  FilterView& ViewOf(const Filters& filters);
  void SortSequences(std::vector<uint64_t>* seqs) const;
  // Calls on_number(number) for the live subjects that match, until it says false.
  template <typename F>
  void ForEachMatch(const Filters& filters, F&& on_number);

  const LiveSet& live_;
  ColdRuns* const cold_;
  Pace* pace_ = nullptr;
  SubjectTable table_;
  std::vector<IndexRun> runs_;  // ascending keys; only the last may be open
  std::vector<uint32_t> created_;  // numbers in the order in which they came, while there are views
  std::vector<std::unique_ptr<FilterView>> views_;  // used last first
};

}  // namespace millrace
