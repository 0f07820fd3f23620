// SPDX-License-Identifier: Apache-2.0
// Nkey: Ed25519 keys in the peer's text form: base32 of a prefix byte, 32 bytes of key and a CRC-16.
// Owner:  caller (pure).  Source: the nkeys specification; signatures are checked by wolfSSL.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

enum class NkeyPrefix : uint8_t {
  kServer = 13 << 3,    // N
  kAccount = 0,         // A
  kOperator = 14 << 3,  // O
  kUser = 20 << 3,      // U
  kCurve = 23 << 3,     // X
};

using NkeyBytes = std::array<uint8_t, 32>;

std::string EncodeNkey(NkeyPrefix prefix, const NkeyBytes& key);
// The key, when the text is well formed, has this prefix and its checksum is right.
std::optional<NkeyBytes> DecodeNkey(NkeyPrefix prefix, std::string_view text);

// `signature` is base64: URL alphabet without padding, or the standard one with it.
bool VerifyNkeySignature(const NkeyBytes& key, std::string_view message, std::string_view signature);

// Bytes as base64 with the URL alphabet, unpadded: a nonce for INFO.
std::string EncodeNonce(std::string_view bytes);

}  // namespace millrace
