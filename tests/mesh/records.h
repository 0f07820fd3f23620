// SPDX-License-Identifier: Apache-2.0
// Records: mail bodies whose every byte follows from their number, so that a reader can tell any mix-up.
// Owner:  caller (pure).
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "tests/proto/seeded.h"

namespace millrace {

// A body is the record's number, then bytes that count up from it.
inline void FillBody(char* body, size_t bytes, uint64_t number) {
  std::memcpy(body, &number, sizeof number);
  for (size_t i = sizeof number; i < bytes; ++i) body[i] = static_cast<char>(number + i);
}

// True when the body is that of `number`; `bytes` may include alignment behind what was filled.
inline bool BodyIs(const char* body, size_t bytes, uint64_t number) {
  uint64_t found = 0;
  std::memcpy(&found, body, sizeof found);
  bool same = found == number;
  for (size_t i = sizeof number; i < bytes; ++i) same &= body[i] == static_cast<char>(number + i);
  return same;
}

// Sizes that records have: mostly small, sometimes up to `max`.
inline size_t DrawBodyBytes(SeededRandom* random, size_t max) {
  const uint64_t scale = random->Below(8);
  return 8 + random->Below(scale == 0  ? max - 7
                           : scale < 3 ? std::min<size_t>(max, 600) - 7
                                       : std::min<size_t>(max, 72) - 7);
}

}  // namespace millrace
