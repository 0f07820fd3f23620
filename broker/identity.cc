// SPDX-License-Identifier: Apache-2.0
#include "broker/identity.h"

#include <sys/random.h>

#include <array>
#include <cstdint>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr uint8_t kServerPrefix = 13 << 3;  // 'N'
constexpr uint8_t kCurvePrefix = 23 << 3;   // 'X'

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

std::string NewKey(uint8_t prefix) {
  std::array<uint8_t, 35> raw{};
  raw[0] = prefix;
  MR_CHECK_OP(getrandom(&raw[1], 32, 0), ==, 32);
  const uint16_t crc = Crc16(raw.data(), 33);
  raw[33] = static_cast<uint8_t>(crc);
  raw[34] = static_cast<uint8_t>(crc >> 8);
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : raw) {
    bits = bits << 8 | byte;
    count += 8;
    while (count >= 5) {
      out += kAlphabet[bits >> (count - 5) & 31];
      count -= 5;
    }
  }
  return out;
}

}  // namespace

std::string NewServerId() { return NewKey(kServerPrefix); }
std::string NewExchangeKey() { return NewKey(kCurvePrefix); }

}  // namespace millrace
