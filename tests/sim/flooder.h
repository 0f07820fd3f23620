// SPDX-License-Identifier: Apache-2.0
// Flooder: a client that gives a server which is told to stop as much as possible to bring to an end: interest by the
//          thousand, publishes for other shards, requests to JetStream, messages to store; some do not read.
// Owner:  the simulating thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tests/sim/random.h"
#include "tests/sim/sim_io.h"

namespace millrace::sim {

class Flooder {
 public:
  Flooder(SimKernel& kernel, std::shared_ptr<Socket> socket, uint32_t index);

  bool CanMove() const;
  void Move();
  // Nothing can come from here any more.
  bool closed() const { return closed_; }
  // By stream, the last message whose confirmation was read.
  const std::map<std::string, uint64_t>& confirmed() const { return confirmed_; }

 private:
  void Refill();
  void Publish(std::string_view subject, std::string_view body);
  void Request(const std::string& api, std::string_view body);
  void Parse();

  SimKernel& kernel_;
  Random& random_;
  std::shared_ptr<Socket> socket_;
  const uint32_t index_;
  const bool reads_;
  const uint64_t subscriptions_max_;
  uint64_t subscriptions_ = 0;
  uint64_t unsubscribed_ = 0;
  uint64_t requests_ = 0;
  std::string out_;
  std::string in_;
  std::map<std::string, uint64_t> confirmed_;
  bool closed_ = false;
};

}  // namespace millrace::sim
