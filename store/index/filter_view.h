// SPDX-License-Identifier: Apache-2.0
// FilterView: what is remembered of a set of filters with wildcards: which subjects match, and where their messages
//             are.
// Owner:  shard (MessageIndex keeps some). Made at first use from the whole subject table, then follows new subjects.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "store/index/index_run.h"
#include "store/stream_log.h"
#include "store/index/subject_table.h"

namespace millrace {

class FilterView {
 public:
  FilterView(const Filters& filters, const SubjectTable& table, size_t created_count, Pace* pace);

  const Filters& filters() const { return filters_; }
  // Takes note of subjects that came since.
  void Follow(const SubjectTable& table, const std::vector<uint32_t>& created);

  bool Matches(uint32_t number) const { return number < marks_.size() && marks_[number] == Mark::kYes; }
  // Numbers that match; some may be gone or have changed hands: ask Matches and the table.
  const std::vector<uint32_t>& numbers() const { return numbers_; }

  // False: the run's sealed form is wanted for what follows.
  bool Ready(const IndexRun& run) const;

  // The first live matching message of the run at or behind position, the last one up to it; IndexRun::kNone: none.
  int Next(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position);
  int Previous(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position);
  uint32_t Count(const IndexRun& run, const SealedRun* form, const LiveSet& live, uint32_t position);

  size_t memory_bytes() const { return marks_.capacity() + 4 * numbers_.capacity() + kSlots * sizeof(Bits::words); }

 private:
  // kWasYes: does not match any more (its number changed hands) but is still listed in numbers_.
  enum class Mark : uint8_t { kNo, kYes, kWasYes };
  static constexpr uint32_t kWords = LiveSet::kChunkSpan / 64;
  static constexpr size_t kSlots = 2;
  // The matching messages of one run, live or not, as bits by position.
  struct Bits {
    uint64_t key = UINT64_MAX;
    uint32_t built = 0;  // messages of the run that are taken into account
    bool sealed = false;
    std::array<uint64_t, kWords> words;
  };

  bool MatchesText(std::string_view subject) const;
  void Judge(const SubjectTable& table, uint32_t number);
  const Bits& BitsOf(const IndexRun& run, const SealedRun* form, const LiveSet& live);

  Filters filters_;
  std::vector<Mark> marks_;
  std::vector<uint32_t> numbers_;
  size_t followed_;  // as far as the log of new subjects has been read
  std::array<std::unique_ptr<Bits>, kSlots> slots_;
  size_t next_slot_ = 0;
};

}  // namespace millrace
