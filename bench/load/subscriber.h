// SPDX-License-Identifier: Apache-2.0
// Subscriber: a client that reads frames into a ledger.
// Owner:  caller, as Client.  `total` is shared by all subscribers of a run and counts their deliveries.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "bench/load/client.h"
#include "bench/load/frame_reader.h"
#include "bench/load/message_shape.h"

namespace millrace::bench {

struct DeliveryTotal {
  uint64_t messages = 0;
  uint64_t bad_frames = 0;
};

template <typename Ledger>
class Subscriber : public Client {
 public:
  Subscriber(Ring* ring, const Target& target, uint64_t index, LineTemplate frame, Ledger ledger,
             DeliveryTotal* total)
      : Client(ring, target, index),
        ledger_(std::move(ledger)),
        total_(total),
        reader_(this, std::move(frame)) {}

  void OnBytes(const char* data, size_t bytes) override {
    const uint64_t before = ledger_.received();
    if constexpr (requires { ledger_.OnArrival(); }) ledger_.OnArrival();
    reader_.OnBytes(data, bytes);
    total_->messages += ledger_.received() - before;
  }

  void OnTag(uint64_t tag) { ledger_.OnTag(tag); }
  void OnBadFrame(std::string_view what) {
    if (total_->bad_frames++ == 0) {
      std::fprintf(stderr, "millrace-load: unexpected frame: %.*s\n", static_cast<int>(what.size()),
                   what.data());
    }
  }

  const Ledger& ledger() const { return ledger_; }
  Ledger& ledger() { return ledger_; }

 private:
  Ledger ledger_;
  DeliveryTotal* const total_;
  FrameReader<Subscriber> reader_;
};

}  // namespace millrace::bench
