// SPDX-License-Identifier: Apache-2.0
// StreamIdentity: what a stream is by among those that have had its name: the peer's hash of when it was made. Readers
// of a stream ask by it, so that they notice that another one has taken its place (spec J-3i).
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "broker/jetstream/api/go_time.h"
#include "broker/jetstream/api/stream_check.h"

namespace millrace {

// Of a request for a consumer: what it is to be, where it is not empty; of the answer: what it is.
inline constexpr std::string_view kStreamIdentityHeader = "Nats-Stream-Identity";

inline std::string StreamIdentity(int64_t created_ns) { return ShortHash(FormatGoTime(created_ns)); }

// A header block that says nothing else.
inline std::string StreamIdentityBlock(std::string_view identity) {
  std::string block("NATS/1.0\r\n");
  block.append(kStreamIdentityHeader).append(": ").append(identity).append("\r\n\r\n");
  return block;
}

}  // namespace millrace
