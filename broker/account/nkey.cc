// SPDX-License-Identifier: Apache-2.0
#include "broker/account/nkey.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/ed25519.h>

#include <algorithm>

namespace millrace {
namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kKeyBytes = 35;

uint16_t Crc16(const uint8_t* bytes, size_t count) {
  uint16_t crc = 0;
  for (size_t i = 0; i < count; ++i) {
    crc = static_cast<uint16_t>(crc ^ (bytes[i] << 8));
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
  }
  return crc;
}

// Unpacks text of `bits` bits a character; nullopt on a character outside the alphabet or left-over bits not zero.
std::optional<std::string> Unpack(std::string_view text, std::string_view alphabet, int bits) {
  std::string out;
  uint32_t pending = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    pending = pending << bits | static_cast<uint32_t>(value);
    count += bits;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(pending >> count);
    pending &= (1u << count) - 1;
  }
  if (count >= bits || pending != 0) return std::nullopt;
  return out;
}

std::string Pack(std::string_view bytes, std::string_view alphabet, int bits) {
  std::string out;
  uint32_t pending = 0;
  int count = 0;
  for (const char c : bytes) {
    pending = pending << 8 | static_cast<unsigned char>(c);
    count += 8;
    while (count >= bits) {
      count -= bits;
      out += alphabet[pending >> count & ((1u << bits) - 1)];
    }
    pending &= (1u << count) - 1;
  }
  if (count > 0) out += alphabet[pending << (bits - count) & ((1u << bits) - 1)];
  return out;
}

}  // namespace

std::string EncodeNkey(NkeyPrefix prefix, const NkeyBytes& key) {
  uint8_t raw[kKeyBytes];
  raw[0] = static_cast<uint8_t>(prefix);
  std::copy(key.begin(), key.end(), raw + 1);
  const uint16_t crc = Crc16(raw, kKeyBytes - 2);
  raw[kKeyBytes - 2] = static_cast<uint8_t>(crc);
  raw[kKeyBytes - 1] = static_cast<uint8_t>(crc >> 8);
  return Pack({reinterpret_cast<const char*>(raw), kKeyBytes}, kBase32, 5);
}

std::optional<NkeyBytes> DecodeNkey(NkeyPrefix prefix, std::string_view text) {
  const std::optional<std::string> raw = Unpack(text, kBase32, 5);
  if (!raw.has_value() || raw->size() != kKeyBytes) return std::nullopt;
  const auto* bytes = reinterpret_cast<const uint8_t*>(raw->data());
  const auto crc = static_cast<uint16_t>(bytes[kKeyBytes - 2] | bytes[kKeyBytes - 1] << 8);
  if (bytes[0] != static_cast<uint8_t>(prefix) || Crc16(bytes, kKeyBytes - 2) != crc) return std::nullopt;
  NkeyBytes key;
  std::copy(bytes + 1, bytes + 1 + key.size(), key.begin());
  return key;
}

bool VerifyNkeySignature(const NkeyBytes& key, std::string_view message, std::string_view signature) {
  std::optional<std::string> raw = Unpack(signature, kBase64Url, 6);
  if (!raw.has_value()) {
    while (signature.ends_with('=')) signature.remove_suffix(1);
    raw = Unpack(signature, kBase64, 6);
  }
  if (!raw.has_value() || raw->size() != ED25519_SIG_SIZE) return false;
  ed25519_key public_key;
  if (wc_ed25519_init(&public_key) != 0) return false;
  int verified = 0;
  const bool ok = wc_ed25519_import_public(key.data(), static_cast<word32>(key.size()), &public_key) == 0 &&
                  wc_ed25519_verify_msg(reinterpret_cast<const byte*>(raw->data()), static_cast<word32>(raw->size()),
                                        reinterpret_cast<const byte*>(message.data()),
                                        static_cast<word32>(message.size()), &verified, &public_key) == 0;
  wc_ed25519_free(&public_key);
  return ok && verified == 1;
}

std::string EncodeNonce(std::string_view bytes) { return Pack(bytes, kBase64Url, 6); }

}  // namespace millrace
