// SPDX-License-Identifier: Apache-2.0
// ClientEncoder: messages as MSG and HMSG lines in the outbox of a client (C-13, C-28).
// Owner:  shard (no state of its own).
#pragma once

#include <cstdint>

#include "broker/route/message_run.h"
#include "broker/route/subscription.h"

namespace millrace {

struct Encoded {
  uint64_t messages = 0;
  uint64_t payload_bytes = 0;  // header blocks included, as far as the receiver takes them
};

// Appends `message` as `sub`'s client gets it.
Encoded EncodeMessage(const Subscription& sub, const Message& message, Receiver* receiver);
// Appends all messages of `run` in their order; nothing but the bytes differs from EncodeMessage for each.
Encoded EncodeRun(const Subscription& sub, const MessageRun& run, Receiver* receiver);

}  // namespace millrace
