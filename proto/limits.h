// SPDX-License-Identifier: Apache-2.0
// Limits: what the parser refuses. Defaults are the peer's (const.go); the session changes them with CONNECT.
// Owner:  immutable (a value type; copied into each Parser).
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

inline constexpr uint32_t kControlLineBytesMax = 4096;
inline constexpr int64_t kPayloadBytesMax = 1 << 20;
inline constexpr int64_t kPayloadUnlimited = -1;
inline constexpr int kSizeDigitsMax = 9;  // the peer refuses longer size fields, leading zeros included

struct ParserLimits {
  uint32_t control_line_bytes_max = kControlLineBytesMax;  // counts the arguments, not verb and blanks
  int64_t payload_bytes_max = kPayloadBytesMax;            // header and body; kPayloadUnlimited for none
  bool headers = true;         // HPUB allowed: the server offers headers and the client's CONNECT asked for them
  bool connect_first = false;  // authentication pending: any first byte but that of CONNECT is a violation

  // A whole control line that does not end within this many bytes is refused: the longest verb, as many blanks as
  // the arguments may have bytes, the arguments, CRLF. Callers that buffer a cut line need room for this much.
  constexpr size_t line_bytes_max() const { return 7 + 2 * size_t{control_line_bytes_max} + 2; }

  friend bool operator==(const ParserLimits&, const ParserLimits&) = default;
};

}  // namespace millrace
