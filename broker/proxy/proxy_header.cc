// SPDX-License-Identifier: Apache-2.0
#include "broker/proxy/proxy_header.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

constexpr std::string_view kLinePrefix = "PROXY ";
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kDetectBytes = 6, kBinaryHeadBytes = 16;
constexpr size_t kAddresses4Bytes = 12, kAddresses6Bytes = 36;
constexpr std::string_view kInvalid = "invalid PROXY protocol header";
constexpr std::string_view kUnsupported = "unsupported PROXY protocol feature";

unsigned ByteAt(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
unsigned WordAt(std::string_view bytes, size_t at) { return ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1); }

std::vector<std::string_view> Fields(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  std::vector<std::string_view> fields;
  for (size_t at = line.find_first_not_of(kBlanks); at != std::string_view::npos;
       at = line.find_first_not_of(kBlanks, at)) {
    const size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = end;
  }
  return fields;
}

// The address as 4 or 16 bytes; empty when it is none.
std::string ParseAddress(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return {};
  const int family = text.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
  std::string bytes(family == AF_INET ? 4 : 16, '\0');
  if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1) return {};
  return bytes;
}

// Nothing, or the error as Go words it.
std::string ParsePort(std::string_view text, uint16_t* port) {
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, *port);
  if (parsed.ptr == end && parsed.ec == std::errc()) return {};
  const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return absl::StrFormat("strconv.ParseUint: parsing %s: %s", Quoted(text),
                         digits ? "value out of range" : "invalid syntax");
}

}  // namespace

std::string AddressText(std::string_view bytes) {
  MR_CHECK(bytes.size() == 4 || bytes.size() == 16);
  constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
  if (bytes.starts_with(kMapped) && bytes.size() == 16) bytes.remove_prefix(kMapped.size());
  if (bytes.size() == 4)
    return absl::StrFormat("%d.%d.%d.%d", ByteAt(bytes, 0), ByteAt(bytes, 1), ByteAt(bytes, 2), ByteAt(bytes, 3));
  // The longest run of zero words, two at least, becomes "::"; the first of several.
  size_t run_at = 8, run_words = 1;
  for (size_t word = 0; word < 8; ++word) {
    size_t end = word;
    while (end < 8 && WordAt(bytes, 2 * end) == 0) ++end;
    if (end - word > run_words) run_at = word, run_words = end - word;
  }
  std::string text;
  for (size_t word = 0; word < 8; ++word) {
    if (word == run_at) {
      text += "::";
      word += run_words - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    text += absl::StrFormat("%x", WordAt(bytes, 2 * word));
  }
  return text;
}

ProxyHeaderParser::Status ProxyHeaderParser::Fail(std::string error) {
  error_ = std::move(error);
  return Status::kError;
}

ProxyHeaderParser::Status ProxyHeaderParser::Next(std::string_view* in) {
  while (!ending_) {
    if (in->empty()) return Status::kNeedMore;
    MR_CHECK_OP(held_bytes_, <, held_.size());
    held_[held_bytes_++] = in->front();
    in->remove_prefix(1);
    if (const Status status = OnByte(); status != Status::kNeedMore) return status;
  }
  const size_t skipped = std::min(skipped_bytes_, in->size());
  in->remove_prefix(skipped);
  skipped_bytes_ -= skipped;
  return skipped_bytes_ == 0 ? Status::kDone : Status::kNeedMore;
}

// One more byte is held. kNeedMore with ending_ set: the rest is skipped.
ProxyHeaderParser::Status ProxyHeaderParser::OnByte() {
  if (held_bytes_ < kDetectBytes) return Status::kNeedMore;
  const std::string_view bytes = held();
  if (bytes.starts_with(kLinePrefix)) {
    const std::string_view line = bytes.substr(kLinePrefix.size());
    if (line.ends_with("\r\n")) return OnLine(line.substr(0, line.size() - 2));
    return held_bytes_ == kProxyLineBytesMax ? Fail(absl::StrFormat("%s: v1 line too long", kInvalid))
                                             : Status::kNeedMore;
  }
  if (!bytes.starts_with(kSignature.substr(0, kDetectBytes))) return Status::kNone;
  if (held_bytes_ == kSignature.size() && bytes != kSignature)
    return Fail(absl::StrFormat("%s: invalid signature", kInvalid));
  if (held_bytes_ == kBinaryHeadBytes) return OnBinaryHead();
  if (held_bytes_ > kBinaryHeadBytes && held_bytes_ == kBinaryHeadBytes + address_bytes_) return OnBinaryAddress();
  return Status::kNeedMore;
}

ProxyHeaderParser::Status ProxyHeaderParser::OnLine(std::string_view line) {
  const std::vector<std::string_view> fields = Fields(line);
  if (!fields.empty() && fields[0] == "UNKNOWN") return Status::kDone;
  if (fields.size() != 5) return Fail(absl::StrFormat("%s: invalid v1 format", kInvalid));
  const std::string source = ParseAddress(fields[1]);
  if (source.empty() || ParseAddress(fields[2]).empty())
    return Fail(absl::StrFormat("%s: invalid address", kInvalid));
  uint16_t port = 0, other_port = 0;
  if (const std::string error = ParsePort(fields[3], &port); !error.empty())
    return Fail("invalid source port: " + error);
  if (const std::string error = ParsePort(fields[4], &other_port); !error.empty())
    return Fail("invalid dest port: " + error);
  // The text decides what an address is: IPv4 in IPv6 (::ffff:192.0.2.1) is IPv6.
  const bool source6 = fields[1].find(':') != std::string_view::npos;
  const bool other6 = fields[2].find(':') != std::string_view::npos;
  if (fields[0] == "TCP4") {
    if (source6 || other6) return Fail(absl::StrFormat("%s: TCP4 with IPv6 address", kInvalid));
  } else if (fields[0] == "TCP6") {
    if (!source6 || !other6) return Fail(absl::StrFormat("%s: TCP6 with IPv4 address", kInvalid));
  } else {
    return Fail(absl::StrFormat("%s: invalid protocol %s", kInvalid, fields[0]));
  }
  source_ = ProxiedAddress{AddressText(source), port};
  return Status::kDone;
}

ProxyHeaderParser::Status ProxyHeaderParser::OnBinaryHead() {
  const unsigned version = ByteAt(held(), 12) & 0xf0, command = ByteAt(held(), 12) & 0x0f;
  const unsigned family = ByteAt(held(), 13) & 0xf0, transport = ByteAt(held(), 13) & 0x0f;
  const size_t bytes = WordAt(held(), 14);
  constexpr unsigned kLocal = 0, kProxy = 1, kStream = 1, kUnspecified = 0, kInet = 0x10, kInet6 = 0x20;
  if (version != 0x20) return Fail(absl::StrFormat("%s: invalid version 0x%02x", kInvalid, version));
  if (command != kLocal) {
    if (command != kProxy) return Fail(absl::StrFormat("unknown PROXY protocol command: 0x%02x", command));
    if (transport != kStream) return Fail(absl::StrFormat("%s: only STREAM protocol supported", kUnsupported));
    if (family == kInet || family == kInet6) {
      address_bytes_ = family == kInet ? kAddresses4Bytes : kAddresses6Bytes;
      if (bytes < address_bytes_)
        return Fail(absl::StrFormat("IPv%d address data too short: %d bytes", family == kInet ? 4 : 6, bytes));
    } else if (family != kUnspecified) {
      return Fail(absl::StrFormat("%s: unsupported address family 0x%02x", kUnsupported, family));
    }
  }
  skipped_bytes_ = bytes - address_bytes_;
  ending_ = address_bytes_ == 0;
  return Status::kNeedMore;
}

ProxyHeaderParser::Status ProxyHeaderParser::OnBinaryAddress() {
  const std::string_view addresses = held().substr(kBinaryHeadBytes);
  const size_t size = address_bytes_ == kAddresses4Bytes ? 4 : 16;
  source_ = ProxiedAddress{AddressText(addresses.substr(0, size)), static_cast<uint16_t>(WordAt(addresses, 2 * size))};
  ending_ = true;
  return Status::kNeedMore;
}

}  // namespace millrace
