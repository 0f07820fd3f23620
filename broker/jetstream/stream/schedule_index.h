// SPDX-License-Identifier: Apache-2.0
// ScheduleIndex: when the schedules of a stream fire next: one schedule a subject, its message is in the stream.
// Owner:  shard.  Memory: follows the subjects with schedules; entries whose message has gone otherwise stay until they
//         are due, or until WantsSweep says that they may be half of all.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/base/check.h"

namespace millrace {

class ScheduleIndex {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  struct Due {
    uint64_t seq;
    int64_t at_ns;  // when it should have fired
    std::string subject;
  };

  // A newer schedule takes the place of the subject's older one.
  void Add(std::string_view subject, uint64_t seq, int64_t at_ns);
  // The subject's schedule, if it has one, fires at another time.
  void Move(std::string_view subject, int64_t at_ns);
  void Remove(std::string_view subject);
  // When the first one is due; kNever: there is none.
  int64_t next_ns() const { return order_.empty() ? kNever : order_.begin()->first; }
  // What is due, at most `max` (the earliest), in the order of sequences. It stays due until it is moved or removed.
  std::vector<Due> FindDue(int64_t now_ns, size_t max) const;

  bool WantsSweep() const { return by_subject_.size() > sweep_at_; }
  template <class IsLive>
  void Sweep(IsLive&& is_live) {
    for (auto it = by_subject_.begin(); it != by_subject_.end();) {
      const auto next = std::next(it);
      if (!is_live(it->second.seq)) Erase(it);
      it = next;
    }
    sweep_at_ = 2 * by_subject_.size() + kSlack;
  }
  size_t size() const { return by_subject_.size(); }
  void Clear() {
    order_.clear();
    by_subject_.clear();
  }

 private:
  static constexpr size_t kSlack = 1024;
  struct Entry {
    uint64_t seq;
    int64_t at_ns;
  };
  using BySubject = std::map<std::string, Entry, std::less<>>;
  void Erase(BySubject::iterator it) {
    MR_CHECK(order_.erase({it->second.at_ns, &it->first}) == 1);
    by_subject_.erase(it);
  }

  BySubject by_subject_;                               // its nodes stay where they are
  std::set<std::pair<int64_t, const std::string*>> order_;
  size_t sweep_at_ = kSlack;
};

}  // namespace millrace
