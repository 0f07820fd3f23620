// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/schedule_index.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {

void ScheduleIndex::Add(std::string_view subject, uint64_t seq, int64_t at_ns) {
  auto it = by_subject_.find(subject);
  if (it == by_subject_.end()) {
    it = by_subject_.emplace(std::string(subject), Entry{seq, at_ns}).first;
  } else {
    MR_CHECK(order_.erase({it->second.at_ns, &it->first}) == 1);
    it->second = Entry{seq, at_ns};
  }
  order_.insert({at_ns, &it->first});
  MR_DCHECK(order_.size() == by_subject_.size());
}

void ScheduleIndex::Move(std::string_view subject, int64_t at_ns) {
  const auto it = by_subject_.find(subject);
  if (it != by_subject_.end()) Add(subject, it->second.seq, at_ns);
}

void ScheduleIndex::Remove(std::string_view subject) {
  const auto it = by_subject_.find(subject);
  if (it != by_subject_.end()) Erase(it);
}

std::vector<ScheduleIndex::Due> ScheduleIndex::FindDue(int64_t now_ns, size_t max) const {
  std::vector<Due> due;
  for (const auto& [at_ns, subject] : order_) {
    if (at_ns > now_ns || due.size() == max) break;
    due.push_back(Due{by_subject_.find(*subject)->second.seq, at_ns, *subject});
  }
  std::sort(due.begin(), due.end(), [](const Due& a, const Due& b) { return a.seq < b.seq; });
  return due;
}

}  // namespace millrace
