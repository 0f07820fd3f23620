// SPDX-License-Identifier: Apache-2.0
// Question: what a speaker has others find out for it, because it would block a shard; and what they find.
// Owner:  two shards: it goes from the speaker's shard to the control thread, and to a helper thread from there.
#pragma once

#include <cstdint>
#include <string>

#include "broker/account/secret.h"

namespace millrace {

// Whether `secret` is the one that the bcrypt `hash` was made of.
struct Question {
  std::string source;  // address of who caused it: sources have their turns
  std::string hash;
  Secret secret;
};

enum class Finding : uint8_t {
  kNo,
  kYes,
  kNoTime,  // too many wait
};

}  // namespace millrace
