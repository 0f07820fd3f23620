// SPDX-License-Identifier: Apache-2.0
// ClockStart: the monotonic time at which a test's world begins. MR_TEST_CLOCK_S, in seconds, decides over what the
// test itself would take: what holds an hour after the machine has started holds at its first moment, and after a year.
// Owner:  caller (pure).
#pragma once

#include <cstdlib>

#include "proto/base/nanos.h"

namespace millrace {

inline Nanos ClockStart(Nanos otherwise) {
  const char* seconds = std::getenv("MR_TEST_CLOCK_S");
  return seconds == nullptr ? otherwise : Nanos{std::chrono::seconds(std::atoll(seconds))};
}

}  // namespace millrace
