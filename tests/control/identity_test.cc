// SPDX-License-Identifier: Apache-2.0
// Goal: what a server shows of itself are public keys of pairs that it has, and no other server has.
// Method: signatures are verified, and boxes opened, with what INFO shows.
#include "broker/control/identity.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <random>

#include "broker/account/nkey.h"

namespace millrace {
namespace {

const SealingKey::Entropy kEntropy = [](char* to, size_t bytes) {
  static std::mt19937 random(1);
  for (size_t i = 0; i < bytes; ++i) to[i] = static_cast<char>(random());
};

TEST(Identity, AServerIdVerifiesWhatItsServerSigns) {
  for (int i = 0; i < 20; ++i) {  // half of all random bytes are no point of the curve
    const SigningKey key(kEntropy);
    ASSERT_EQ(key.public_key().size(), 56u);
    EXPECT_EQ(key.public_key().front(), 'N');
    const std::optional<NkeyBytes> bytes = DecodeNkey(NkeyPrefix::kServer, key.public_key());
    ASSERT_TRUE(bytes.has_value());
    EXPECT_EQ(crypto_core_ed25519_is_valid_point(bytes->data()), 1);
    EXPECT_TRUE(VerifyNkeySignature(*bytes, "message", EncodeNonce(key.Sign("message"))));
    EXPECT_FALSE(VerifyNkeySignature(*bytes, "another", EncodeNonce(key.Sign("message"))));
    EXPECT_NE(SigningKey(kEntropy).public_key(), key.public_key());
  }
}

TEST(Identity, WhatIsSealedForAnXkeyItsServerOpens) {
  const ExchangeKey key(kEntropy);
  ASSERT_EQ(key.public_key().size(), 56u);
  EXPECT_EQ(key.public_key().front(), 'X');
  const std::optional<NkeyBytes> bytes = DecodeNkey(NkeyPrefix::kCurve, key.public_key());
  ASSERT_TRUE(bytes.has_value());
  unsigned char sender_public[crypto_box_PUBLICKEYBYTES];
  unsigned char sender_secret[crypto_box_SECRETKEYBYTES];
  crypto_box_keypair(sender_public, sender_secret);
  const unsigned char nonce[crypto_box_NONCEBYTES] = {7};
  const std::string_view message = "who may this be?";
  std::string box(message.size() + crypto_box_MACBYTES, '\0');
  const auto at = [](std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); };
  ASSERT_EQ(crypto_box_easy(at(box), reinterpret_cast<const unsigned char*>(message.data()), message.size(), nonce,
                            bytes->data(), sender_secret),
            0);
  std::string opened(message.size(), '\0');
  ASSERT_EQ(crypto_box_open_easy(at(opened), at(box), box.size(), nonce, sender_public,
                                 reinterpret_cast<const unsigned char*>(key.secret().view().data())),
            0);
  EXPECT_EQ(opened, message);
}

}  // namespace
}  // namespace millrace
