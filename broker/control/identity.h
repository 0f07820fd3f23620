// SPDX-License-Identifier: Apache-2.0
// Identity: the server id and the exchange key that INFO shows, in the form of the peer's nkeys.
// Owner:  process (made once at start).
#pragma once

#include <string>

namespace millrace {

// A fresh public key in nkey form: prefix byte, 32 random bytes, CRC-16, base32; 56 characters.
std::string NewServerId();
std::string NewExchangeKey();

}  // namespace millrace
