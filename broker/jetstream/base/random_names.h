// SPDX-License-Identifier: Apache-2.0
// Random names: of events, and of consumers that their client did not name.
// Owner:  shard.
#pragma once

#include <cstddef>
#include <string>

#include "broker/jetstream/base/port.h"
#include "proto/base/base62.h"

namespace millrace {

// Of base 62.
inline std::string RandomDigits(JetStreamPort& port, size_t count) {
  return RandomBase62(count, [&port] { return port.Random(); });
}

// Looks like a NUID.
inline std::string NewEventId(JetStreamPort& port) { return RandomDigits(port, kNuidDigits); }

}  // namespace millrace
