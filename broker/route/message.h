// SPDX-License-Identifier: Apache-2.0
// Message: a publish as it passes through a shard.
// Owner:  shard.  Its views are valid until the delivery returns: whoever needs it longer copies it.
#pragma once

#include <cstdint>
#include <string_view>

#include "broker/account/account_id.h"
#include "broker/mesh/mail.h"
#include "broker/route/trace.h"

namespace millrace {

struct Receiver;

struct Message {
  AccountId account = kNoAccount;
  std::string_view subject = {};
  std::string_view deliver_to = {};  // whose subscribers get it, when not those of `subject` (a consumer's deliveries)
  std::string_view reply = {};
  std::string_view payload = {};  // header block, if any, and body
  // What MSG or HMSG says behind the sid, payload and CRLF included; empty when not at hand.
  std::string_view tail = {};
  uint32_t header_bytes = 0;
  uint8_t header_zeros = 0;  // as the publisher wrote them in front of its sizes; repeated to subscribers
  uint8_t size_zeros = 0;
  Receiver* origin = nullptr;  // the publisher, when it lives on this shard
  ConnectionId origin_id = {};
  MessageTrace* trace = nullptr;    // set for the rare message whose way is recorded
  bool report_undelivered = false;  // the publisher wants to hear of a request that nobody took
  bool by_service = false;          // through a service import: no stream import takes it on
  bool sinks_later = false;         // what sinks do might take these bytes away: they get theirs in DeliverKept

  // Where the payload lies in a tail that ends with it and CRLF.
  static std::string_view PayloadOf(std::string_view tail, size_t payload_bytes) {
    return tail.substr(tail.size() - 2 - payload_bytes, payload_bytes);
  }
};

}  // namespace millrace
