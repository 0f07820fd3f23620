// SPDX-License-Identifier: Apache-2.0
// ClosedReason: why a connection ended, with the peer's words (C-48), as /connz?state=closed and debug lines show them.
// Owner:  immutable.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

enum class ClosedReason : uint8_t {
  kClientClosed,
  kAuthenticationTimeout,
  kAuthenticationViolation,
  kTlsHandshakeError,
  kSlowConsumerPendingBytes,
  kSlowConsumerWriteDeadline,
  kWriteError,
  kReadError,
  kParseError,
  kStaleConnection,
  kProtocolViolation,
  kBadClientProtocolVersion,
  kWrongPort,
  kMaxConnectionsExceeded,
  kMaxAccountConnectionsExceeded,
  kMaxPayloadExceeded,
  kMaxControlLineExceeded,
  kMaxSubscriptionsExceeded,
  kServerShutdown,
  kNoRespondersRequiresHeaders,
  kKicked,
};

constexpr std::string_view ClosedReasonText(ClosedReason reason) {
  switch (reason) {
    case ClosedReason::kClientClosed:
      return "Client Closed";
    case ClosedReason::kAuthenticationTimeout:
      return "Authentication Timeout";
    case ClosedReason::kAuthenticationViolation:
      return "Authentication Failure";
    case ClosedReason::kTlsHandshakeError:
      return "TLS Handshake Failure";
    case ClosedReason::kSlowConsumerPendingBytes:
      return "Slow Consumer (Pending Bytes)";
    case ClosedReason::kSlowConsumerWriteDeadline:
      return "Slow Consumer (Write Deadline)";
    case ClosedReason::kWriteError:
      return "Write Error";
    case ClosedReason::kReadError:
      return "Read Error";
    case ClosedReason::kParseError:
      return "Parse Error";
    case ClosedReason::kStaleConnection:
      return "Stale Connection";
    case ClosedReason::kProtocolViolation:
      return "Protocol Violation";
    case ClosedReason::kBadClientProtocolVersion:
      return "Bad Client Protocol Version";
    case ClosedReason::kWrongPort:
      return "Incorrect Port";
    case ClosedReason::kMaxConnectionsExceeded:
      return "Maximum Connections Exceeded";
    case ClosedReason::kMaxAccountConnectionsExceeded:
      return "Maximum Account Connections Exceeded";
    case ClosedReason::kMaxPayloadExceeded:
      return "Maximum Message Payload Exceeded";
    case ClosedReason::kMaxControlLineExceeded:
      return "Maximum Control Line Exceeded";
    case ClosedReason::kMaxSubscriptionsExceeded:
      return "Maximum Subscriptions Exceeded";
    case ClosedReason::kServerShutdown:
      return "Server Shutdown";
    case ClosedReason::kNoRespondersRequiresHeaders:
      return "No Responders Requires Headers";
    case ClosedReason::kKicked:
      return "Kicked";
  }
  return "Unknown State";
}

}  // namespace millrace
