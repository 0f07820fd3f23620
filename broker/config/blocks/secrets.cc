// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/secrets.h"

#include <cstdint>
#include <string>

namespace millrace::config {

bool IsBcrypt(std::string_view password) {
  // $2a$NN$...
  if (password.size() < 7 || !password.starts_with("$2")) return false;
  const auto digit = [&](size_t i) { return password[i] >= '0' && password[i] <= '9'; };
  return std::string_view("abxy").find(password[2]) != std::string_view::npos &&
         password[3] == '$' && digit(4) && digit(5) && password[6] == '$';
}

bool IsPublicUserKey(std::string_view key) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  constexpr unsigned char kUserPrefix = 20 << 3;
  constexpr size_t kKeyBytes = 1 + 32 + 2;  // prefix, public key, checksum
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (char c : key) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return false;
    bits = (bits << 5) | static_cast<uint32_t>(digit);
    count += 5;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>((bits >> count) & 0xFF));
    }
  }
  if (bytes.size() != kKeyBytes) return false;
  if (static_cast<unsigned char>(bytes[0]) != kUserPrefix) return false;
  uint16_t crc = 0;  // CCITT, polynomial 0x1021, start 0
  for (size_t i = 0; i < kKeyBytes - 2; ++i) {
    crc = static_cast<uint16_t>(crc ^ (static_cast<unsigned char>(bytes[i]) << 8));
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
  }
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  return crc == (byte(kKeyBytes - 2) | (byte(kKeyBytes - 1) << 8));
}

}  // namespace millrace::config
