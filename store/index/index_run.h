// SPDX-License-Identifier: Apache-2.0
// IndexRun: the messages of 65,536 sequences by the number of their subject (message_index.h).
// Owner:  shard.  Positions are the low 16 bits of sequences. Messages that have been removed may still be named.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "store/index/live_set.h"
#include "store/pace.h"
#include "store/index/subject_table.h"

namespace millrace {

// Subject numbers ascending, each with its positions ascending: positions[starts[i]] to positions[starts[i + 1] - 1].
// One subject without positions: it has every live message of the run.
struct SealedRun {
  std::vector<uint32_t> numbers;
  std::vector<uint32_t> starts;
  std::vector<uint16_t> positions;

  bool single() const { return positions.empty(); }
  size_t memory_bytes() const {
    return sizeof(SealedRun) + 4 * (numbers.capacity() + starts.capacity()) + 2 * positions.capacity();
  }
};

struct IndexRun {
  uint64_t key = 0;       // sequence >> LiveSet::kChunkBits
  uint32_t appended = 0;  // messages that ever came
  uint32_t named = 0;     // messages that it names, live or not
  bool open = true;

  // Open: one entry per message, in order.
  std::vector<uint32_t> numbers;
  std::vector<uint16_t> before;     // ordinal of the message before of the same subject; itself when it is the first
  std::vector<uint16_t> positions;  // empty while the messages have no gaps
  uint16_t first_position = 0;

  // Sealed, and in memory.
  std::unique_ptr<SealedRun> sealed;

  static constexpr int kNone = -1;

  void Append(uint16_t position, uint32_t number, SubjectTable::Entry* entry);
  // The sealed form of an open run, of its live messages.
  std::unique_ptr<SealedRun> Sorted(const LiveSet& live, uint32_t* count, Pace* pace) const;
  void Seal(const LiveSet& live, Pace* pace);
  void DropRemoved(const LiveSet& live);  // sealed: names only live messages afterwards

  // The first live message at or behind position with this number, the last one up to it. kNone: none.
  int Next(const SealedRun* form, const LiveSet& live, uint32_t number, const SubjectTable::Entry& entry,
           uint32_t position) const;
  int Previous(const SealedRun* form, const LiveSet& live, uint32_t number, const SubjectTable::Entry& entry,
               uint32_t position) const;
  uint32_t Count(const SealedRun* form, const LiveSet& live, uint32_t number, uint32_t position) const;
  // The number of the message at this position, 0 when the run does not name it.
  uint32_t NumberAt(const SealedRun* form, uint16_t position) const;

  uint16_t PositionOf(uint32_t ordinal) const {
    return positions.empty() ? static_cast<uint16_t>(first_position + ordinal) : positions[ordinal];
  }
  uint32_t OrdinalAtOrAfter(uint32_t position) const;
  size_t memory_bytes() const;

 private:
  bool Live(const LiveSet& live, uint32_t position) const {
    return live.Contains((key << LiveSet::kChunkBits) + position);
  }
};

// Where sealed runs come from that are not in memory (file streams).
class ColdRuns {
 public:
  virtual ~ColdRuns() = default;
  // The sealed form of this run, valid until the next call; nullptr: there is none (the run has no live message).
  virtual const SealedRun* LoadRun(const IndexRun& run) = 0;
  // False: the run surely does not name this subject.
  virtual bool MayName(const IndexRun& run, std::string_view subject) = 0;
  // A run has been sealed: the form may be written away, and run.sealed dropped, then or later.
  virtual void OnSealed(IndexRun* run) = 0;
  // A run names nothing that lives any more.
  virtual void OnDropped(const IndexRun& run) = 0;
};

}  // namespace millrace
