// SPDX-License-Identifier: Apache-2.0
// Random names: of events, and of consumers that their client did not name.
// Owner:  shard.
#pragma once

#include <cstddef>
#include <string>

#include "broker/jetstream/api/base62.h"
#include "broker/jetstream/base/port.h"

namespace millrace {

// Of base 62.
inline std::string RandomDigits(JetStreamPort& port, size_t count) {
  constexpr size_t kDigitsPerDraw = 8;
  std::string digits;
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i, bits /= kBase62Digits.size()) {
    if (i % kDigitsPerDraw == 0) bits = port.Random();
    digits += kBase62Digits[bits % kBase62Digits.size()];
  }
  return digits;
}

// Looks like a NUID.
inline std::string NewEventId(JetStreamPort& port) { return RandomDigits(port, 22); }

}  // namespace millrace
