// SPDX-License-Identifier: Apache-2.0
// Secrets: what counts as a hash and as a key in a configuration.
// Owner:  caller (pure).
#pragma once

#include <string_view>

namespace millrace::config {

// A bcrypt hash ("$2a$", "$2b$", "$2x$", "$2y$"), not a plain password (row A-02).
bool IsBcrypt(std::string_view password);

// "U" and 55 base32 digits with the right prefix and CRC-16 (row A-06).
bool IsPublicUserKey(std::string_view key);

}  // namespace millrace::config
