// SPDX-License-Identifier: Apache-2.0
// The process's wall clock.
// Owner:  none (pure functions).
#pragma once

#include <time.h>

#include <cstdint>

namespace millrace {

inline int64_t WallClockNs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}
inline int64_t WallClockUs() { return WallClockNs() / 1000; }

}  // namespace millrace
