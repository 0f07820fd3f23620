// SPDX-License-Identifier: Apache-2.0
// CountedState: the counts of a log, whose bytes are at any time a part of a sum over logs, if there is one.
// Owner:  shard (BlockLog). The sum outlives it, or is taken from it before.
#pragma once

#include <algorithm>
#include <cstdint>

#include "proto/base/check.h"
#include "store/stream_log.h"

namespace millrace {

class CountedState : public StreamLogState {
 public:
  void set_bytes_sum(BytesSum* sum) {
    Invariant();
    if (bytes_sum_ != nullptr) bytes_sum_->Take(bytes);
    bytes_sum_ = sum;
    if (bytes_sum_ != nullptr) bytes_sum_->Add(bytes);
  }
  bool summed() const { return bytes_sum_ != nullptr; }
  void AddBytes(uint64_t more) {
    bytes += more;
    if (bytes_sum_ != nullptr) bytes_sum_->Add(more);
  }
  // At most what is there: sizes of damaged messages are guesses.
  void TakeBytes(uint64_t less) {
    less = std::min(less, bytes);
    Invariant();
    bytes -= less;
    if (bytes_sum_ != nullptr) bytes_sum_->Take(less);
  }
  // What a checkpoint says, of a log that counts nothing yet.
  void Restore(const StreamLogState& state) {
    MR_CHECK(bytes == 0 && !summed());
    StreamLogState::operator=(state);
  }
  void Invariant() const { MR_CHECK(bytes_sum_ == nullptr || bytes_sum_->bytes >= bytes); }

 private:
  BytesSum* bytes_sum_ = nullptr;
};

}  // namespace millrace
