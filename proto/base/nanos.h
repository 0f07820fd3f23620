// SPDX-License-Identifier: Apache-2.0
// Nanos: spans of time, and monotonic time as one turn of a shard sees it (read once per turn, not once per message).
// Owner:  caller (pure).
#pragma once

#include <chrono>

namespace millrace {

using Nanos = std::chrono::nanoseconds;

}  // namespace millrace
