// SPDX-License-Identifier: Apache-2.0
#include "broker/account/password_hash.h"

#include <crypt.h>
#include <sodium.h>

#include <memory>
#include <string>

namespace millrace {
namespace {

constexpr size_t kHashBytes = 60;
constexpr size_t kVersionBytes = 3;  // "$2a"

}  // namespace

bool MatchesHash(std::string_view hash, const Secret& secret) {
  if (hash.size() < kHashBytes) return false;
  // libcrypt would cut the secret at a NUL byte.
  if (secret.view().find('\0') != std::string_view::npos) return false;
  const std::string expected = "$2b" + std::string(hash.substr(kVersionBytes, kHashBytes - kVersionBytes));
  std::string clear(secret.view());
  const auto scratch = std::make_unique<crypt_data>();
  const char* computed = crypt_r(clear.c_str(), expected.c_str(), scratch.get());
  const bool same = computed != nullptr && SameSecret(expected, computed);
  Wipe(&clear);
  sodium_memzero(scratch.get(), sizeof *scratch);
  return same;
}

}  // namespace millrace
