// SPDX-License-Identifier: Apache-2.0
// ConsumerSnapshot: a consumer as it stands in a backup, in the peer's JSON: its configuration, what it has delivered.
// Owner:  caller (pure).  Format: {"config":{…},"state":{"delivered":{"consumer_seq","stream_seq"},"ack_floor":{…},
//         "pending":{"<seq>":{"Sequence":<consumer seq>,"Timestamp":<ns>}},"redelivered":{"<seq>":<redeliveries>}}}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "broker/jetstream/api/consumer_config.h"

namespace millrace {

struct ConsumerSnapshot {
  struct Pending {
    uint64_t consumer_seq = 0;
    int64_t time_ns = 0;
    bool operator==(const Pending&) const = default;
  };
  ConsumerConfig config;
  uint64_t delivered_consumer = 0;
  uint64_t delivered_stream = 0;
  uint64_t floor_consumer = 0;
  uint64_t floor_stream = 0;
  std::map<uint64_t, Pending> pending;
  std::map<uint64_t, uint64_t> redelivered;

  bool operator==(const ConsumerSnapshot&) const = default;
};

std::string PrintConsumerSnapshot(const ConsumerSnapshot& snapshot);
// Empty, or what is wrong.
std::string ParseConsumerSnapshot(std::string_view json, ConsumerSnapshot* snapshot);

}  // namespace millrace
