// SPDX-License-Identifier: Apache-2.0
// The reply subject of a delivered message, which is the subject of its acknowledgements (spec J-5a):
//   v1  $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
//   v2  $JS.ACK.<domain>.<account hash>.<stream>.<consumer>.<…the same five>[.<anything>]
// Owner:  caller (pure).  Both are read; v1 is written, as nats-server does by default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

struct AckSubject {
  std::string_view domain;        // empty in v1
  std::string_view account_hash;  // empty in v1
  std::string_view stream;
  std::string_view consumer;
  uint64_t deliveries = 0;
  uint64_t stream_seq = 0;
  uint64_t consumer_seq = 0;
  // Of no use to whom it comes back to: read when asked for.
  std::string_view time_text;
  std::string_view pending_text;

  int64_t time_ns() const;
  uint64_t pending() const;
};

// False: neither form. As in the peer a number that is none reads as all ones. Views point into `subject`.
bool ParseAckSubject(std::string_view subject, AckSubject* ack);

// Writes the reply subjects of one consumer. Successive messages differ in few digits, and only those are written anew.
class AckSubjectWriter {
 public:
  AckSubjectWriter(std::string_view stream, std::string_view consumer);

  // The view is valid until the next call.
  std::string_view Write(uint64_t deliveries, uint64_t stream_seq, uint64_t consumer_seq, int64_t time_ns,
                         uint64_t pending);

 private:
  std::string text_;  // "$JS.ACK.<stream>.<consumer>." and room for five numbers
  uint32_t prefix_bytes_;
  // Where numbers begin in text_, and what it shows.
  uint32_t consumer_at_ = 0;
  uint32_t time_at_ = 0;
  uint32_t pending_at_ = 0;
  uint32_t bytes_ = 0;
  uint64_t stream_seq_ = 0;  // 0: nothing yet, or not with one delivery
  uint64_t consumer_seq_ = 0;
  uint64_t pending_ = 0;
  int64_t time_s_ = -1;  // the shown time, rounded down to a second, in ns; -1: write all of it
};

}  // namespace millrace
