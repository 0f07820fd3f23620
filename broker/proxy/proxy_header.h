// SPDX-License-Identifier: Apache-2.0
// ProxyHeader: what a proxy says in front of a connection's bytes, PROXY protocol 1 (a line) and 2 (binary): whose
//              connection it is.
// Owner:  shard, one per connection until it is done.
// Input:  any split of the stream.
// Bounds: kProxyLineBytesMax are kept; what is behind the addresses, 64 KiB at most as the format has it, is skipped.
// Errors: Status::kError with the peer's text. A stream that begins otherwise is kNone, and held() its beginning.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr size_t kProxyLineBytesMax = 107;  // with CRLF

struct ProxiedAddress {
  std::string host;  // as the peer prints addresses
  uint16_t port = 0;

  friend bool operator==(const ProxiedAddress&, const ProxiedAddress&) = default;
};

class ProxyHeaderParser {
 public:
  enum class Status : uint8_t { kNeedMore, kDone, kNone, kError };

  // Takes what belongs to the header from the front of *in. Not called again once it gave anything but kNeedMore.
  Status Next(std::string_view* in);

  // After kDone: of the client; nothing for a check of the proxy's own (LOCAL, UNKNOWN).
  const std::optional<ProxiedAddress>& source() const { return source_; }
  // After kNone: bytes that came and belong to whoever is next.
  std::string_view held() const { return {held_.data(), held_bytes_}; }
  // After kError.
  const std::string& error() const { return error_; }

 private:
  Status Fail(std::string error);
  Status OnByte();
  Status OnLine(std::string_view line);
  Status OnBinaryHead();
  Status OnBinaryAddress();

  std::array<char, kProxyLineBytesMax> held_ = {};
  size_t held_bytes_ = 0;
  size_t address_bytes_ = 0;  // of version 2, to be kept behind its head
  size_t skipped_bytes_ = 0;  // of version 2, still to be skipped
  bool ending_ = false;       // nothing but skipped bytes is to come
  std::optional<ProxiedAddress> source_;
  std::string error_;
};

// `bytes`: 4 or 16. As Go prints addresses: IPv4 in IPv6 as IPv4.
std::string AddressText(std::string_view bytes);

}  // namespace millrace
