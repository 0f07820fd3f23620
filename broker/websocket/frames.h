// SPDX-License-Identifier: Apache-2.0
// Frames: WebSocket's frames (RFC 6455) as a server reads and writes them. FrameParser: bytes to pieces of messages and
//         whole control frames. The functions: frame headers, close frames and the codes in them.
// Owner:  FrameParser: shard, one per connection. The functions: caller (pure).
// Input:  any split of the stream; control frames may come between the fragments of a message.
// Bounds: 14 bytes of a header and the payload of one control frame are kept; data of messages is never.
// Errors: FrameParser::Status::kError with the peer's text; the parser is of no more use then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/closed_reason.h"

namespace millrace {

enum class FrameOpcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

inline constexpr size_t kFrameHeaderBytesMax = 14;  // two bytes, eight of length, four of the mask
inline constexpr size_t kControlPayloadBytesMax = 125;

// Codes of a close frame (RFC 6455, 7.4.1), as far as this server says them.
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kInvalidPayload = 1007,
  kPolicyViolation = 1008,
  kMessageTooBig = 1009,
  kInternalError = 1011,
  kTlsHandshake = 1015,
};

class FrameParser {
 public:
  struct Rules {
    bool compression = false;  // permessage-deflate is agreed on: a message's first frame may have RSV1
    bool masked = true;        // each frame has to be masked; without it the mask bit has no meaning, as at the peer
  };
  enum class Status : uint8_t { kNeedMore, kData, kControl, kError };

  explicit FrameParser(Rules rules) : rules_(rules) {}

  // Takes from the front of *in what makes the next step. kNeedMore: *in is empty. kData: AppendData has a piece of a
  // message. kControl: opcode() and control().
  Status Next(std::string_view* in);

  // After kData, until the next call and while the input lives. Unmasks on the way.
  void AppendData(std::string* out) const;
  size_t data_bytes() const { return data_.size(); }
  bool compressed() const { return compressed_; }                             // the message that the piece is of
  bool message_ends() const { return !in_message_ && payload_left_ == 0; }  // with this piece
  // After kControl.
  FrameOpcode opcode() const { return opcode_; }
  std::string_view control() const { return {control_.data(), control_bytes_}; }
  // After kError.
  const std::string& error() const { return error_; }

 private:
  enum class State : uint8_t { kHeader, kPayload };

  Status Fail(std::string error);
  // What can be said of the header's bytes so far; false: an error.
  bool CheckFirstByte();
  bool CheckSecondByte();
  size_t header_bytes_needed() const;
  bool OnHeader();
  Status NextData(std::string_view* in);
  Status NextControl(std::string_view* in);

  const Rules rules_;
  State state_ = State::kHeader;
  bool in_message_ = false;  // a frame without the final bit came last
  bool compressed_ = false;
  bool failed_ = false;
  FrameOpcode opcode_ = FrameOpcode::kContinuation;
  uint8_t header_bytes_ = 0;
  uint8_t control_bytes_ = 0;
  uint8_t mask_at_ = 0;  // where in the mask the next byte of the payload is
  uint8_t data_mask_at_ = 0;
  std::array<uint8_t, kFrameHeaderBytesMax> header_ = {};
  std::array<uint8_t, 4> mask_ = {};
  uint64_t payload_left_ = 0;
  std::string_view data_;
  std::array<char, kControlPayloadBytesMax> control_ = {};
  std::string error_;
};

// XOR with a mask that begins at its byte `at`.
void UnmaskBytes(const std::array<uint8_t, 4>& mask, size_t at, char* bytes, size_t size);

struct FrameHead {
  FrameOpcode opcode = FrameOpcode::kBinary;  // kContinuation behind the first
  bool final = true;
  bool compressed = false;
  uint64_t payload_bytes = 0;
};

// A server masks nothing. How many bytes of *out were written, 10 at most.
size_t WriteFrameHead(const FrameHead& head, std::array<char, 10>* out);
// A whole control frame; a payload is at most kControlPayloadBytesMax.
std::string ControlFrame(FrameOpcode opcode, std::string_view payload);
// The payload of a close frame; a text too long for it is cut and ends in "...".
std::string ClosePayload(uint16_t code, std::string_view text);
CloseCode CloseCodeOf(ClosedReason reason);

// What a client's close frame is answered with.
struct CloseAnswer {
  std::string payload;  // of our close frame
  std::string error;    // the frame broke the protocol: the peer's text
};
CloseAnswer AnswerClose(std::string_view payload);

}  // namespace millrace
