// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/secrets.h"

#include "broker/account/nkey.h"

namespace millrace::config {

bool IsBcrypt(std::string_view password) {
  // $2a$NN$...
  if (password.size() < 7 || !password.starts_with("$2")) return false;
  const auto digit = [&](size_t i) { return password[i] >= '0' && password[i] <= '9'; };
  return std::string_view("abxy").find(password[2]) != std::string_view::npos &&
         password[3] == '$' && digit(4) && digit(5) && password[6] == '$';
}

bool IsPublicUserKey(std::string_view key) { return DecodeNkey(NkeyPrefix::kUser, key).has_value(); }

}  // namespace millrace::config
