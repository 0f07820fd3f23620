// SPDX-License-Identifier: Apache-2.0
// FromHex: the bytes of a text of hexadecimal digits, as recorded data and published vectors hold them.
// Owner:  caller (the test).
#pragma once

#include <string>
#include <string_view>

namespace millrace {

inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

}  // namespace millrace
