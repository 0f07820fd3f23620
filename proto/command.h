// SPDX-License-Identifier: Apache-2.0
// Command: one verb a client sent, as views into the bytes it arrived in.
// Owner:  caller (pure).  Lifetime: views are valid until the buffer that was parsed moves or is recycled.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

enum class Verb : uint8_t { kConnect, kInfo, kPub, kHpub, kSub, kUnsub, kPing, kPong, kOk, kErr };

struct Command {
  Verb verb = Verb::kPing;
  std::string_view args;     // the control line after the verb, trimmed: CONNECT's JSON, trace lines, error texts
  std::string_view subject;  // PUB HPUB SUB
  std::string_view reply;    // PUB HPUB; empty when absent
  std::string_view queue;    // SUB; empty when absent
  std::string_view sid;      // SUB UNSUB
  int64_t max = -1;          // UNSUB: deliveries after which the subscription ends; -1 when absent
  uint32_t header_bytes = 0; // HPUB: how many bytes of payload are header
  // PUB HPUB: zeros the client wrote in front of its sizes; the peer repeats sizes as they were written.
  uint8_t header_zeros = 0;
  uint8_t size_zeros = 0;
  std::string_view payload;  // PUB HPUB: header and body, without the final CRLF
  // PUB HPUB: everything behind the subject and its blank, to the final CRLF ("reply 5 CRLF hello CRLF"): what MSG and
  // HMSG say behind the sid. Empty when the client wrote it in a way of its own (tabs, bare LF, zeros, more blanks),
  // and for a header of no bytes, which leaves as a MSG.
  std::string_view tail;
};

}  // namespace millrace
