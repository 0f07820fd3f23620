// SPDX-License-Identifier: Apache-2.0
#include "broker/websocket/frames.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/utf8.h"

namespace millrace {
namespace {

constexpr uint8_t kFinalBit = 0x80, kRsv1Bit = 0x40, kRsv23Bits = 0x30, kOpcodeBits = 0x0f;
constexpr uint8_t kMaskBit = 0x80, kLengthBits = 0x7f;
constexpr uint8_t kLengthIn2 = 126, kLengthIn8 = 127;

bool IsControl(uint8_t opcode) { return opcode >= static_cast<uint8_t>(FrameOpcode::kClose) && opcode <= 10; }

uint64_t BigEndian(const uint8_t* bytes, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | bytes[i];
  return value;
}

void AppendBigEndian(uint64_t value, size_t size, char* out) {
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(value >> (8 * (size - 1 - i)));
}

bool MayBeSent(unsigned code) {
  if (code == 1004 || code == 1005 || code == 1006 || code == 1015) return false;
  return code >= 1000 && code < 5000 && !(code >= 1016 && code <= 2999);
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = Utf8Bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

}  // namespace

void UnmaskBytes(const std::array<uint8_t, 4>& mask, size_t at, char* bytes, size_t size) {
  std::array<uint8_t, 8> twice;
  for (size_t i = 0; i < twice.size(); ++i) twice[i] = mask[(at + i) & 3];
  uint64_t word_mask;
  std::memcpy(&word_mask, twice.data(), sizeof word_mask);
  size_t done = 0;
  for (; done + sizeof word_mask <= size; done += sizeof word_mask) {
    uint64_t word;
    std::memcpy(&word, bytes + done, sizeof word);
    word ^= word_mask;
    std::memcpy(bytes + done, &word, sizeof word);
  }
  for (; done < size; ++done) bytes[done] = static_cast<char>(bytes[done] ^ static_cast<char>(twice[done & 7]));
}

FrameParser::Status FrameParser::Fail(std::string error) {
  failed_ = true;
  error_ = std::move(error);
  return Status::kError;
}

bool FrameParser::CheckFirstByte() {
  if ((header_[0] & kRsv23Bits) != 0) return Fail("RSV2 and RSV3 must be clear"), false;
  if ((header_[0] & kRsv1Bit) != 0 && !rules_.compression)
    return Fail("compressed frame received without negotiated permessage-deflate"), false;
  return true;
}

bool FrameParser::CheckSecondByte() {
  const uint8_t opcode = header_[0] & kOpcodeBits;
  const bool final = (header_[0] & kFinalBit) != 0, compressed = (header_[0] & kRsv1Bit) != 0;
  if (rules_.masked && (header_[1] & kMaskBit) == 0) return Fail("mask bit missing"), false;
  if (IsControl(opcode)) {
    if ((header_[1] & kLengthBits) > kControlPayloadBytesMax)
      return Fail("control frame length bigger than maximum allowed of 125 bytes"), false;
    if (!final) return Fail("control frame does not have final bit set"), false;
    if (compressed) return Fail("control frame must not be compressed"), false;
    return true;
  }
  switch (static_cast<FrameOpcode>(opcode)) {
    case FrameOpcode::kText:
    case FrameOpcode::kBinary:
      if (in_message_)
        return Fail("new message started before final frame for previous message was received"), false;
      return true;
    case FrameOpcode::kContinuation:
      if (!in_message_ || compressed) return Fail("invalid continuation frame"), false;
      return true;
    default:
      return Fail(absl::StrFormat("unknown opcode %d", opcode)), false;
  }
}

size_t FrameParser::header_bytes_needed() const {
  const uint8_t length = header_[1] & kLengthBits;
  return 2 + (length == kLengthIn2 ? 2 : length == kLengthIn8 ? 8 : 0) + (rules_.masked ? 4 : 0);
}

bool FrameParser::OnHeader() {
  const uint8_t length = header_[1] & kLengthBits;
  const size_t length_bytes = length == kLengthIn2 ? 2 : length == kLengthIn8 ? 8 : 0;
  payload_left_ = length_bytes == 0 ? length : BigEndian(header_.data() + 2, length_bytes);
  if (payload_left_ >> 63 != 0) return Fail("invalid 64-bit payload length"), false;
  if (rules_.masked) std::memcpy(mask_.data(), header_.data() + 2 + length_bytes, mask_.size());
  mask_at_ = 0;
  control_bytes_ = 0;
  opcode_ = static_cast<FrameOpcode>(header_[0] & kOpcodeBits);
  if (!IsControl(header_[0] & kOpcodeBits)) {
    in_message_ = (header_[0] & kFinalBit) == 0;
    if (opcode_ != FrameOpcode::kContinuation) compressed_ = (header_[0] & kRsv1Bit) != 0;
  }
  header_bytes_ = 0;
  state_ = State::kPayload;
  return true;
}

FrameParser::Status FrameParser::Next(std::string_view* in) {
  if (failed_) return Status::kError;
  while (state_ == State::kHeader) {
    if (in->empty()) return Status::kNeedMore;
    header_[header_bytes_++] = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    if (header_bytes_ == 1 && !CheckFirstByte()) return Status::kError;
    if (header_bytes_ == 2 && !CheckSecondByte()) return Status::kError;
    if (header_bytes_ >= 2 && header_bytes_ == header_bytes_needed() && !OnHeader()) return Status::kError;
  }
  return IsControl(static_cast<uint8_t>(opcode_)) ? NextControl(in) : NextData(in);
}

FrameParser::Status FrameParser::NextData(std::string_view* in) {
  if (in->empty() && payload_left_ > 0) return Status::kNeedMore;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(payload_left_, in->size()));
  data_ = in->substr(0, taken);
  in->remove_prefix(taken);
  payload_left_ -= taken;
  data_mask_at_ = mask_at_;
  mask_at_ = static_cast<uint8_t>((mask_at_ + taken) & 3);
  if (payload_left_ == 0) state_ = State::kHeader;
  return Status::kData;
}

FrameParser::Status FrameParser::NextControl(std::string_view* in) {
  MR_DCHECK(control_bytes_ + payload_left_ <= kControlPayloadBytesMax);
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(payload_left_, in->size()));
  std::copy_n(in->data(), taken, control_.data() + control_bytes_);
  in->remove_prefix(taken);
  control_bytes_ = static_cast<uint8_t>(control_bytes_ + taken);
  payload_left_ -= taken;
  if (payload_left_ > 0) return Status::kNeedMore;
  if (rules_.masked) UnmaskBytes(mask_, 0, control_.data(), control_bytes_);
  state_ = State::kHeader;
  return Status::kControl;
}

void FrameParser::AppendData(std::string* out) const {
  const size_t at = out->size();
  out->append(data_);
  if (rules_.masked) UnmaskBytes(mask_, data_mask_at_, out->data() + at, data_.size());
}

size_t WriteFrameHead(const FrameHead& head, std::array<char, 10>* out) {
  (*out)[0] = static_cast<char>(static_cast<uint8_t>(head.opcode) | (head.final ? kFinalBit : 0) |
                                (head.compressed ? kRsv1Bit : 0));
  if (head.payload_bytes < kLengthIn2) {
    (*out)[1] = static_cast<char>(head.payload_bytes);
    return 2;
  }
  const size_t length_bytes = head.payload_bytes < 65536 ? 2 : 8;
  (*out)[1] = static_cast<char>(length_bytes == 2 ? kLengthIn2 : kLengthIn8);
  AppendBigEndian(head.payload_bytes, length_bytes, out->data() + 2);
  return 2 + length_bytes;
}

std::string ControlFrame(FrameOpcode opcode, std::string_view payload) {
  MR_CHECK(IsControl(static_cast<uint8_t>(opcode)));
  MR_CHECK_OP(payload.size(), <=, kControlPayloadBytesMax);
  std::array<char, 10> head;
  const size_t head_bytes = WriteFrameHead({.opcode = opcode, .payload_bytes = payload.size()}, &head);
  std::string frame(head.data(), head_bytes);
  frame += payload;
  return frame;
}

std::string ClosePayload(uint16_t code, std::string_view text) {
  std::string payload(2, '\0');
  AppendBigEndian(code, 2, payload.data());
  if (text.size() > kControlPayloadBytesMax - 2) {
    payload += text.substr(0, kControlPayloadBytesMax - 5);
    payload += "...";
  } else {
    payload += text;
  }
  return payload;
}

CloseCode CloseCodeOf(ClosedReason reason) {
  switch (reason) {
    case ClosedReason::kClientClosed:
      return CloseCode::kNormal;
    case ClosedReason::kAuthenticationTimeout:
    case ClosedReason::kAuthenticationViolation:
    case ClosedReason::kSlowConsumerPendingBytes:
    case ClosedReason::kSlowConsumerWriteDeadline:
    case ClosedReason::kMaxAccountConnectionsExceeded:
    case ClosedReason::kMaxConnectionsExceeded:
    case ClosedReason::kMaxControlLineExceeded:
    case ClosedReason::kMaxSubscriptionsExceeded:
      return CloseCode::kPolicyViolation;
    case ClosedReason::kTlsHandshakeError:
      return CloseCode::kTlsHandshake;
    case ClosedReason::kParseError:
    case ClosedReason::kProtocolViolation:
    case ClosedReason::kBadClientProtocolVersion:
      return CloseCode::kProtocolError;
    case ClosedReason::kMaxPayloadExceeded:
      return CloseCode::kMessageTooBig;
    case ClosedReason::kWriteError:
    case ClosedReason::kReadError:
    case ClosedReason::kStaleConnection:
    case ClosedReason::kServerShutdown:
      return CloseCode::kGoingAway;
    default:
      return CloseCode::kInternalError;
  }
}

CloseAnswer AnswerClose(std::string_view payload) {
  if (payload.empty()) return {};
  constexpr auto kProtocolError = static_cast<uint16_t>(CloseCode::kProtocolError);
  CloseAnswer answer;
  if (payload.size() == 1) {
    answer.error = "close frame payload cannot be 1 byte";
    answer.payload = ClosePayload(kProtocolError, answer.error);
    return answer;
  }
  const auto code = static_cast<uint16_t>(BigEndian(reinterpret_cast<const uint8_t*>(payload.data()), 2));
  if (!MayBeSent(code)) {
    answer.error = absl::StrFormat("invalid close status code %d", code);
    answer.payload = ClosePayload(kProtocolError, answer.error);
  } else if (const std::string_view text = payload.substr(2); !IsUtf8(text)) {
    answer.payload =
        ClosePayload(static_cast<uint16_t>(CloseCode::kInvalidPayload), "invalid utf8 body in close frame");
  } else {
    answer.payload = ClosePayload(code, text);
  }
  return answer;
}

}  // namespace millrace
