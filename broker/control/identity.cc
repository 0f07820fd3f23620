// SPDX-License-Identifier: Apache-2.0
#include "broker/control/identity.h"

#include <sodium.h>

#include "broker/account/nkey.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

static_assert(crypto_sign_PUBLICKEYBYTES == std::tuple_size_v<NkeyBytes>);
static_assert(crypto_scalarmult_BYTES == std::tuple_size_v<NkeyBytes>);

Secret Draw(size_t bytes, const SealingKey::Entropy& entropy) {
  MR_CHECK(sodium_init() >= 0);
  std::string drawn(bytes, '\0');
  entropy(drawn.data(), drawn.size());
  Secret secret(drawn);
  Wipe(&drawn);
  return secret;
}

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

SigningKey::SigningKey(const SealingKey::Entropy& entropy) {
  const Secret seed = Draw(crypto_sign_SEEDBYTES, entropy);
  NkeyBytes key;
  unsigned char pair[crypto_sign_SECRETKEYBYTES];
  MR_CHECK(crypto_sign_seed_keypair(key.data(), pair, Bytes(seed.view())) == 0);
  secret_ = std::string_view(reinterpret_cast<const char*>(pair), sizeof pair);
  sodium_memzero(pair, sizeof pair);
  public_key_ = EncodeNkey(NkeyPrefix::kServer, key);
}

std::string SigningKey::Sign(std::string_view message) const {
  std::string signature(crypto_sign_BYTES, '\0');
  MR_CHECK(crypto_sign_detached(reinterpret_cast<unsigned char*>(signature.data()), nullptr, Bytes(message),
                                message.size(), Bytes(secret_.view())) == 0);
  return signature;
}

ExchangeKey::ExchangeKey(const SealingKey::Entropy& entropy) : secret_(Draw(crypto_scalarmult_SCALARBYTES, entropy)) {
  NkeyBytes key;
  MR_CHECK(crypto_scalarmult_base(key.data(), Bytes(secret_.view())) == 0);
  public_key_ = EncodeNkey(NkeyPrefix::kCurve, key);
}

}  // namespace millrace
