// SPDX-License-Identifier: Apache-2.0
// Publisher: sends `total` messages, as many at a time as its scenario allows.
// Owner:  caller, as Client.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bench/load/client.h"
#include "bench/load/publish_block.h"

namespace millrace::bench {

class Publisher : public QuietClient {
 public:
  Publisher(Ring* ring, const Target& target, const MessageShape& shape, uint16_t id,
            size_t block_bytes)
      : QuietClient(ring, target), block_(shape, id, block_bytes) {}

  // Sends more if nothing is in flight: up to message number `limit` (exclusive) in all. A part of a block leaves
  // only with kSend, else it waits until a quarter of one fits: small sends would cost both sides.
  enum class Partial { kWait, kSend };
  void Pump(uint64_t limit, Partial partial) {
    if (sending() || limit <= sent_) return;
    const uint64_t count = std::min<uint64_t>(limit - sent_, block_.capacity());
    if (partial == Partial::kWait && count < (block_.capacity() + 3) / 4) return;
    SendBlock(block_.Fill(sent_, static_cast<size_t>(count)));
    sent_ += count;
  }

  uint64_t sent() const { return sent_; }

 private:
  PublishBlock block_;
  uint64_t sent_ = 0;
};

}  // namespace millrace::bench
