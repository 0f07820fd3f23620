// SPDX-License-Identifier: Apache-2.0
// Ledgers: what has arrived, and whether it is what was sent: nothing lost, nothing twice, in order.
// Owner:  caller.
// Limit:  a SequenceLedger counts a number it has passed as "duplicated" even if it merely came late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/load/message_shape.h"

namespace millrace::bench {

struct DeliveryCounts {
  uint64_t received = 0;
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t disordered = 0;
  uint64_t foreign = 0;  // tags of no publisher of this run

  bool clean() const { return lost == 0 && duplicated == 0 && disordered == 0 && foreign == 0; }
  void Add(const DeliveryCounts& other) {
    received += other.received;
    lost += other.lost;
    duplicated += other.duplicated;
    disordered += other.disordered;
    foreign += other.foreign;
  }
};

// One subscriber that is to see every message of every publisher in order.
class SequenceLedger {
 public:
  explicit SequenceLedger(size_t publishers) : next_(publishers) {}

  void OnTag(uint64_t bits) {
    const MessageTag tag = MessageTag::Unpack(bits);
    ++counts_.received;
    if (tag.publisher >= next_.size()) [[unlikely]] {
      ++counts_.foreign;
      return;
    }
    uint64_t& next = next_[tag.publisher];
    if (tag.sequence == next) [[likely]] {
      ++next;
    } else if (tag.sequence > next) {
      counts_.lost += tag.sequence - next;
      next = tag.sequence + 1;
    } else {
      ++counts_.duplicated;
    }
  }

  uint64_t received() const { return counts_.received; }
  uint64_t NextOf(size_t publisher) const { return next_[publisher]; }

  // `sent` messages of each publisher should be here by now.
  DeliveryCounts Close(const std::vector<uint64_t>& sent) const {
    DeliveryCounts counts = counts_;
    for (size_t i = 0; i < next_.size(); ++i) {
      if (sent[i] > next_[i]) counts.lost += sent[i] - next_[i];
    }
    return counts;
  }

 private:
  std::vector<uint64_t> next_;
  DeliveryCounts counts_;
};

// A queue group: all members together see every message exactly once; each member sees its share in order.
class GroupLedger {
 public:
  class Member {
   public:
    Member(GroupLedger* group, size_t publishers) : group_(group), next_(publishers) {}

    void OnTag(uint64_t bits) {
      const MessageTag tag = MessageTag::Unpack(bits);
      ++received_;
      if (tag.publisher >= next_.size()) {
        ++group_->counts_.foreign;
        return;
      }
      if (tag.sequence < next_[tag.publisher]) ++group_->counts_.disordered;
      next_[tag.publisher] = tag.sequence + 1;
      group_->Mark(tag);
    }
    uint64_t received() const { return received_; }

   private:
    GroupLedger* const group_;
    std::vector<uint64_t> next_;
    uint64_t received_ = 0;
  };

  GroupLedger(size_t publishers, uint64_t messages_each)
      : seen_(publishers, std::vector<uint64_t>(messages_each / 64 + 1)), unique_(publishers) {}

  uint64_t UniqueOf(size_t publisher) const { return unique_[publisher]; }

  DeliveryCounts Close(const std::vector<uint64_t>& sent) const {
    DeliveryCounts counts = counts_;
    for (size_t i = 0; i < unique_.size(); ++i) counts.lost += sent[i] - unique_[i];
    return counts;
  }

 private:
  void Mark(MessageTag tag) {
    ++counts_.received;
    std::vector<uint64_t>& seen = seen_[tag.publisher];
    const uint64_t bit = uint64_t{1} << (tag.sequence % 64);
    if (tag.sequence / 64 >= seen.size()) {
      ++counts_.foreign;
    } else if ((seen[tag.sequence / 64] & bit) != 0) {
      ++counts_.duplicated;
    } else {
      seen[tag.sequence / 64] |= bit;
      ++unique_[tag.publisher];
    }
  }

  std::vector<std::vector<uint64_t>> seen_;
  std::vector<uint64_t> unique_;
  DeliveryCounts counts_;
};

}  // namespace millrace::bench
