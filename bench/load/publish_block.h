// SPDX-License-Identifier: Apache-2.0
// PublishBlock: a run of PUB or HPUB lines built once; before each send only tags and subject digits are stamped.
// Owner:  caller.  The bytes Fill() returns are valid until the next Fill().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench/load/message_shape.h"

namespace millrace::bench {

class PublishBlock {
 public:
  // At least one line, else as many as fit in `bytes_max`.
  PublishBlock(const MessageShape& shape, uint16_t publisher, size_t bytes_max)
      : line_(shape.PublishLine()), publisher_(publisher), subjects_(shape.options().subjects) {
    capacity_ = bytes_max / line_.bytes.size();
    if (capacity_ == 0) capacity_ = 1;
    block_.reserve(capacity_ * line_.bytes.size());
    for (size_t i = 0; i < capacity_; ++i) block_ += line_.bytes;
  }

  size_t capacity() const { return capacity_; }  // in messages
  size_t line_bytes() const { return line_.bytes.size(); }

  // The messages first … first + count - 1 of this publisher; count ≤ capacity().
  std::string_view Fill(uint64_t first, size_t count) {
    uint64_t tag = MessageTag{publisher_, first}.Pack();
    const size_t step = line_.bytes.size();
    char* at = block_.data();
    if (line_.subject_digits == LineTemplate::kNone) {
      for (size_t i = 0; i < count; ++i, at += step) StoreTag(at + line_.tag_offset, tag++);
    } else {
      uint64_t subject = first % subjects_;
      for (size_t i = 0; i < count; ++i, at += step) {
        StoreTag(at + line_.tag_offset, tag++);
        StampDigits(at + line_.subject_digits, subject);
        if (++subject == subjects_) subject = 0;
      }
    }
    return {block_.data(), count * step};
  }

 private:
  const LineTemplate line_;
  const uint16_t publisher_;
  const uint64_t subjects_;
  size_t capacity_ = 0;
  std::string block_;
};

}  // namespace millrace::bench
