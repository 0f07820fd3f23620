// SPDX-License-Identifier: Apache-2.0
// Where a new consumer begins (spec J-47).
#include <algorithm>

#include "broker/jetstream/consumer/consumer.h"
#include "proto/base/check.h"

namespace millrace {

void Consumer::SelectStart() {
  MR_CHECK(!began_ && skip_list_ == nullptr);
  const StreamLogState& log = log_.state();
  next_seq_ = config_.opt_start_seq != 0 ? config_.opt_start_seq : StartByPolicy();
  if (log.first_seq == 0 && config_.opt_start_seq == 0) {
    next_seq_ = 1;  // nothing was ever stored
  } else if (next_seq_ > log.last_seq && config_.opt_start_seq == 0) {
    next_seq_ = log.last_seq + 1;
  } else if (next_seq_ < log.first_seq) {
    next_seq_ = log.first_seq;
  }
  next_seq_ = std::max<uint64_t>(next_seq_, 1);
  // Only a client that names a sequence may begin beyond what is there and its successor.
  MR_CHECK(config_.opt_start_seq != 0 || next_seq_ <= log.last_seq + 1);
}

uint64_t Consumer::StartByPolicy() {
  const StreamLogState& log = log_.state();
  switch (config_.deliver_policy) {
    case DeliverPolicy::kAll:
      return log.first_seq;
    case DeliverPolicy::kLast:
      return filters_.empty() ? log.last_seq : log_.Previous(filters_, log.last_seq);
    case DeliverPolicy::kLastPerSubject: {
      // With one message a subject every message is the last one.
      if (host_.max_messages_per_subject() == 1) return log.first_seq;
      skip_list_ = std::make_unique<SkipList>();
      skip_list_->resume = log.last_seq;
      skip_list_->seqs = log_.LastPerSubject(filters_, 0, SIZE_MAX - 1);
      MR_CHECK(std::is_sorted(skip_list_->seqs.begin(), skip_list_->seqs.end()));
      if (!skip_list_->seqs.empty()) return skip_list_->seqs.front();
      skip_list_.reset();
      return log.last_seq;
    }
    case DeliverPolicy::kByStartTime: {
      if (!config_.opt_start_time_ns.has_value()) break;
      const uint64_t start = log_.FirstAtOrAfter(*config_.opt_start_time_ns);
      if (filters_.empty()) return start;
      const uint64_t next = log_.Next(filters_, start);
      return next != 0 && next < log.last_seq ? next : start;
    }
    case DeliverPolicy::kByStartSequence:
    case DeliverPolicy::kNew:
      break;
  }
  return log.last_seq + 1;
}

}  // namespace millrace
