// SPDX-License-Identifier: Apache-2.0
// FastBatchReply: what the reply subject of a message of a fast batch says (spec 5h, ADR-50):
//         <inbox>.<id>.<flow>.<ok|fail>.<sequence>.<operation>.$FI
// Owner:  caller (pure).  Views into the reply.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

struct FastBatchReply {
  std::string_view id;
  uint64_t seq = 0;    // of the message in the batch, from 1
  uint16_t flow = 0;   // how many messages the publisher will send without an answer, at most
  bool gap_ok = false;
  bool commit = false;          // the batch ends here
  bool commit_without = false;  // and this message is not part of it
  bool ping = false;
};

inline bool IsFastBatchReply(std::string_view reply) { return reply.size() > 4 && reply.ends_with(".$FI"); }

// nullopt: kBatchPublishInvalidPattern
std::optional<FastBatchReply> ParseFastBatchReply(std::string_view reply);

}  // namespace millrace
