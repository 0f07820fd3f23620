// SPDX-License-Identifier: Apache-2.0
// Errors: what the parser may object to, and every -ERR text of the client port, byte for byte as the peer sends them.
// Owner:  immutable.  Source: spec 01-core "-ERR texts"; checked against nats-server 2.15.2 by
//         tests/proto/peer_lines.py.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

// Every one of these closes the connection. Those whose ErrorText is empty close it without a word.
enum class ProtocolError : uint8_t {
  kNone,
  kUnknownOperation,        // a byte that no verb allows here, or a payload that does not end in CRLF
  kControlLineTooLong,      // arguments exceed ParserLimits::control_line_bytes_max
  kPayloadTooLarge,         // announced size exceeds ParserLimits::payload_bytes_max
  kAuthorizationViolation,  // ParserLimits::connect_first and the first byte is not that of CONNECT
  kParse,                   // silent: wrong number of arguments, bad or missing size
  kBadHeaderSize,           // silent: HPUB header size not a number, or larger than the total
  kHeadersNotSupported,     // silent: HPUB from a client that did not announce headers
};

namespace error_text {

// Closing.
inline constexpr std::string_view kUnknownOperation = "Unknown Protocol Operation";
inline constexpr std::string_view kControlLineTooLong = "maximum control line exceeded";
inline constexpr std::string_view kPayloadTooLarge = "Maximum Payload Violation";
inline constexpr std::string_view kAuthorizationViolation = "Authorization Violation";
inline constexpr std::string_view kAuthenticationTimeout = "Authentication Timeout";
inline constexpr std::string_view kUserAuthenticationExpired = "User Authentication Expired";
inline constexpr std::string_view kUserAuthenticationRevoked = "User Authentication Revoked";
inline constexpr std::string_view kAccountAuthenticationExpired = "Account Authentication Expired";
inline constexpr std::string_view kTooManyConnections = "maximum connections exceeded";
inline constexpr std::string_view kTooManyAccountConnections =
    "maximum account active connections exceeded";
inline constexpr std::string_view kFailedAccountRegistration = "Failed Account Registration";
inline constexpr std::string_view kInvalidClientProtocol = "invalid client protocol";
inline constexpr std::string_view kNoRespondersNeedsHeaders =
    "no responders requires headers support";
inline constexpr std::string_view kStaleConnection = "Stale Connection";
inline constexpr std::string_view kTlsRequired = "Secure Connection - TLS Required";
inline constexpr std::string_view kThrottled =
    "Connection throttling is active. Please try again later.";
inline constexpr std::string_view kRoutePort = "attempted to connect to route port";
inline constexpr std::string_view kGatewayPort = "attempted to connect to gateway port";
inline constexpr std::string_view kLeafPort = "attempted to connect to leaf node port";

// Not closing.
inline constexpr std::string_view kInvalidSubject = "Invalid Subject";
inline constexpr std::string_view kInvalidPublishSubject = "Invalid Publish Subject";
inline constexpr std::string_view kTooManySubscriptions = "maximum subscriptions exceeded";
// The following are completed with a quoted subject, and where it applies with the suffixes below.
inline constexpr std::string_view kPublishViolation = "Permissions Violation for Publish to ";
inline constexpr std::string_view kReplyViolation =
    "Permissions Violation for Publish with Reply of ";
inline constexpr std::string_view kSubscribeViolation =
    "Permissions Violation for Subscription to ";
inline constexpr std::string_view kUsingQueue = " using queue ";
inline constexpr std::string_view kTooManyTokens = ", too many tokens";

}  // namespace error_text

// The text between the quotes of -ERR '...'; empty when the peer closes silently.
constexpr std::string_view ErrorText(ProtocolError error) {
  switch (error) {
    case ProtocolError::kUnknownOperation:
      return error_text::kUnknownOperation;
    case ProtocolError::kControlLineTooLong:
      return error_text::kControlLineTooLong;
    case ProtocolError::kPayloadTooLarge:
      return error_text::kPayloadTooLarge;
    case ProtocolError::kAuthorizationViolation:
      return error_text::kAuthorizationViolation;
    case ProtocolError::kNone:
    case ProtocolError::kParse:
    case ProtocolError::kBadHeaderSize:
    case ProtocolError::kHeadersNotSupported:
      return {};
  }
  return {};
}

}  // namespace millrace
