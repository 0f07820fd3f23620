// SPDX-License-Identifier: Apache-2.0
// Random: every choice of a simulated run is drawn from one of these (splitmix64), so a seed is a whole run.
// Owner:  caller (pure).
#pragma once

#include <cstdint>

namespace millrace::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x1234567) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
  }
  // 0 .. n - 1
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  // low .. high
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  bool Chance(uint64_t percent) { return Below(100) < percent; }
  template <class T, unsigned long N>
  T Pick(const T (&choices)[N]) {
    return choices[Below(N)];
  }

 private:
  uint64_t state_;
};

}  // namespace millrace::sim
