// SPDX-License-Identifier: Apache-2.0
// MessageShape: what every message of a run looks like, as published (PUB, HPUB) and as delivered (MSG, HMSG).
// Owner:  immutable after construction.
// All lines of a run have one length: subjects vary only in six fixed digits, payloads only in an 8-byte tag at
// their start. That is what lets one core stamp and check every message of a server that fills another core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace millrace::bench {

// The first eight bytes of every payload: who published it and as which of its messages.
struct MessageTag {
  static constexpr size_t kBytes = 8;
  static constexpr unsigned kSequenceBits = 48;

  uint16_t publisher = 0;
  uint64_t sequence = 0;  // from 0; wraps never (2^48)

  uint64_t Pack() const { return (uint64_t{publisher} << kSequenceBits) | sequence; }
  static MessageTag Unpack(uint64_t bits) {
    return {static_cast<uint16_t>(bits >> kSequenceBits),
            bits & ((uint64_t{1} << kSequenceBits) - 1)};
  }
};

// A line with everything in place but the varying bytes, and where those are.
struct LineTemplate {
  static constexpr size_t kNone = ~size_t{0};

  std::string bytes;
  size_t line_bytes = 0;             // the control line with its CRLF; what follows is header, body, CRLF
  size_t tag_offset = 0;             // of the MessageTag
  size_t subject_digits = kNone;     // of the six digits, when there are several subjects
  // Of the control line, these bytes differ from message to message (the digits, or a reply subject's tail).
  size_t varying_from = 0;
  size_t varying_bytes = 0;
};

class MessageShape {
 public:
  struct Options {
    std::string subject = "bench";
    uint64_t subjects = 1;     // more than one: "bench.000000" … in turn
    std::string reply;
    size_t payload_bytes = 128;  // the body; at least MessageTag::kBytes
    bool headers = false;        // adds one small header block
  };
  static constexpr size_t kSubjectDigits = 6;
  static constexpr uint64_t kSubjectsMax = 1'000'000;

  explicit MessageShape(Options options);

  const Options& options() const { return options_; }
  std::string SubjectAt(uint64_t index) const;
  std::string Wildcard() const { return options_.subject + ".*"; }

  LineTemplate PublishLine() const;
  LineTemplate DeliveredFrame(std::string_view sid) const;

 private:
  LineTemplate Build(std::string_view verb, std::string_view sid) const;

  Options options_;
};

// Writes `value` as six decimal digits.
void StampDigits(char* at, uint64_t value);

inline uint64_t LoadTag(const char* at) {
  uint64_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}
inline void StoreTag(char* at, uint64_t bits) { std::memcpy(at, &bits, sizeof bits); }

}  // namespace millrace::bench
