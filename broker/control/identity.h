// SPDX-License-Identifier: Apache-2.0
// Identity: the server's key pairs, whose public halves are its server_id (Ed25519, it signs with it) and its xkey
//           (X25519, others seal for it), in the form of the peer's nkeys.
// Owner:  process (made once at start); the secret halves stay with the control thread.
#pragma once

#include <string>
#include <string_view>

#include "broker/account/secret.h"

namespace millrace {

class SigningKey {
 public:
  explicit SigningKey(const SealingKey::Entropy& entropy);

  // "N" and 55 characters.
  const std::string& public_key() const { return public_key_; }
  // 64 bytes that only the owner of that key can make of the message.
  std::string Sign(std::string_view message) const;

 private:
  std::string public_key_;
  Secret secret_;
};

class ExchangeKey {
 public:
  explicit ExchangeKey(const SealingKey::Entropy& entropy);

  // "X" and 55 characters.
  const std::string& public_key() const { return public_key_; }
  const Secret& secret() const { return secret_; }

 private:
  std::string public_key_;
  Secret secret_;
};

}  // namespace millrace
