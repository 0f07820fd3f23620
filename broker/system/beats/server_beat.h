// SPDX-License-Identifier: Apache-2.0
// ServerBeat: when the server says how it is (E-04), at the times of the peer.
// Owner:  caller (pure; given the time).
#pragma once

#include <algorithm>
#include <chrono>

#include "proto/base/nanos.h"

namespace millrace {

// Soon after the start, and less and less often until it is kInterval.
class ServerBeat {
 public:
  static constexpr Nanos kFirst = std::chrono::milliseconds(250);
  static constexpr Nanos kSecond = std::chrono::seconds(1);
  static constexpr Nanos kInterval = std::chrono::seconds(10);

  explicit ServerBeat(Nanos start) : next_(start + kFirst) {}

  Nanos next() const { return next_; }
  // True: it is time now.
  bool Take(Nanos now) {
    if (now < next_) return false;
    next_ = now + pause_;
    pause_ = std::min(pause_ * 2, kInterval);
    return true;
  }

 private:
  Nanos next_;
  Nanos pause_ = kSecond;
};

}  // namespace millrace
