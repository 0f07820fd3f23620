// SPDX-License-Identifier: Apache-2.0
// Encoder: writes what the broker says to clients. The hot functions write to memory that the caller has sized.
// Owner:  caller (pure).  Bounds: MsgHeaderBytesMax bytes of room; nothing is written beyond the returned pointer.
// Source: spec C-13 (MSG, HMSG), C-28 (no responders).  Proof: encoder_test.cc against snprintf.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr std::string_view kCrLf = "\r\n";
inline constexpr std::string_view kOkLine = "+OK\r\n";
inline constexpr std::string_view kPingLine = "PING\r\n";
inline constexpr std::string_view kPongLine = "PONG\r\n";
inline constexpr size_t kDecimalBytesMax = 20;

inline constexpr char kDigitPairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

inline unsigned DecimalBytes(uint64_t value) {
  unsigned digits = 1;
  while (value >= 10000) {
    value /= 10000;
    digits += 4;
  }
  return digits + (value >= 10) + (value >= 100) + (value >= 1000);
}

// Writes value in decimal without leading zeros; at most kDecimalBytesMax bytes.
inline char* AppendDecimal(char* out, uint64_t value) {
  const unsigned digits = DecimalBytes(value);
  char* at = out + digits;
  while (value >= 100) {
    at -= 2;
    std::memcpy(at, kDigitPairs + 2 * (value % 100), 2);
    value /= 100;
  }
  if (value >= 10) {
    std::memcpy(out, kDigitPairs + 2 * value, 2);
  } else {
    *out = static_cast<char>('0' + value);
  }
  return out + digits;
}

// Copies text without calling memcpy for the lengths that subjects and sids have: overlapping fixed-size moves.
inline char* AppendBytes(char* out, std::string_view text) {
  const size_t n = text.size();
  const char* from = text.data();
  if (n <= 32) {
    if (n >= 16) {
      std::memcpy(out, from, 16);
      std::memcpy(out + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
      std::memcpy(out, from, 8);
      std::memcpy(out + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
      std::memcpy(out, from, 4);
      std::memcpy(out + n - 4, from + n - 4, 4);
    } else {
      for (size_t i = 0; i < n; ++i) out[i] = from[i];
    }
  } else {
    std::memcpy(out, from, n);
  }
  return out + n;
}

// Room that AppendMsgHeader or AppendHmsgHeader may use with these arguments.
inline constexpr size_t MsgHeaderBytesMax(std::string_view subject, std::string_view sid,
                                          std::string_view reply) {
  return 5 + subject.size() + 1 + sid.size() + 1 + reply.size() + 1 + kDecimalBytesMax + 1 +
         kDecimalBytesMax + 2;
}

// MSG subject sid [reply] payload_bytes CRLF. An empty reply is left out.
inline char* AppendMsgHeader(char* out, std::string_view subject, std::string_view sid,
                             std::string_view reply, size_t payload_bytes) {
  std::memcpy(out, "MSG ", 4);
  out = AppendBytes(out + 4, subject);
  *out++ = ' ';
  out = AppendBytes(out, sid);
  *out++ = ' ';
  if (!reply.empty()) {
    out = AppendBytes(out, reply);
    *out++ = ' ';
  }
  out = AppendDecimal(out, payload_bytes);
  std::memcpy(out, "\r\n", 2);
  return out + 2;
}

// HMSG subject sid [reply] header_bytes total_bytes CRLF.
inline char* AppendHmsgHeader(char* out, std::string_view subject, std::string_view sid,
                              std::string_view reply, size_t header_bytes, size_t total_bytes) {
  std::memcpy(out, "HMSG ", 5);
  out = AppendBytes(out + 5, subject);
  *out++ = ' ';
  out = AppendBytes(out, sid);
  *out++ = ' ';
  if (!reply.empty()) {
    out = AppendBytes(out, reply);
    *out++ = ' ';
  }
  out = AppendDecimal(out, header_bytes);
  *out++ = ' ';
  out = AppendDecimal(out, total_bytes);
  std::memcpy(out, "\r\n", 2);
  return out + 2;
}

// Cold ones grow a string.

// -ERR 'text' CRLF
void AppendErr(std::string* out, std::string_view text);

// The whole message that tells a requester that nobody listens: HMSG with status 503 and Nats-Subject.
void AppendNoResponders(std::string* out, std::string_view reply, std::string_view sid,
                        std::string_view subject);

}  // namespace millrace
