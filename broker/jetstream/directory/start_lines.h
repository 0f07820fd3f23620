// SPDX-License-Identifier: Apache-2.0
// Start lines: what the log says, INF, of streams and consumers that were found on the disk, word for word the peer's.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

// For each stream.
std::string RestoreStartsLine(std::string_view account, std::string_view stream);
std::string RestoredLine(std::string_view account, std::string_view stream, uint64_t messages, int64_t took_ns);
// Then its consumers, if any.
std::string ConsumersRecoverLine(std::string_view account, std::string_view stream, uint64_t consumers);

// "1,234,567".
std::string WithCommas(uint64_t number);

}  // namespace millrace
