// SPDX-License-Identifier: Apache-2.0
// XorShift64: xorshift64*, fast and even numbers that replay with their seed. Not for secrets.
// Owner:  caller.
#pragma once

#include <cstdint>

#include "proto/base/check.h"

namespace millrace {

class XorShift64 {
 public:
  explicit XorShift64(uint64_t seed) : state_(seed * 2 + 1) {}

  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull;
  }
  // 0 to below - 1.
  uint32_t Below(uint32_t below) {
    MR_DCHECK(below > 0);
    return static_cast<uint32_t>(((Next() >> 32) * below) >> 32);
  }

 private:
  uint64_t state_;  // never 0
};

}  // namespace millrace
