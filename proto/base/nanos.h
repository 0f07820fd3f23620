// SPDX-License-Identifier: Apache-2.0
// Nanos: spans of time, and monotonic time as one turn of a shard sees it (read once per turn, not once per message).
// Owner:  caller (pure).
#pragma once

#include <chrono>

namespace millrace {

using Nanos = std::chrono::nanoseconds;

// When something happened that never did: every interval since has passed, and subtracting it overflows in no lifetime.
// 0 would not do: it is the moment at which the machine started.
inline constexpr Nanos kLongAgo = Nanos::min() / 2;

// A deadline `delay` after `now`, never after the end of time: delays come from clients and configurations.
constexpr Nanos After(Nanos now, Nanos delay) { return delay > Nanos::max() - now ? Nanos::max() : now + delay; }

}  // namespace millrace
