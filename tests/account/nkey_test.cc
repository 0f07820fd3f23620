// SPDX-License-Identifier: Apache-2.0
// Goal: nkeys are read, written and checked as the nkeys library does.
// Method: vectors made by tests/interop/nkeys.py from the seed 00 01 .. 1f; every single-character
//       change must be noticed.
#include "broker/account/nkey.h"

#include <gtest/gtest.h>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr std::string_view kUser = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";
constexpr NkeyBytes kKey = {0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe, 0x1d, 0x70, 0xdd,
                            0x18, 0xe7, 0x4b, 0xc0, 0x99, 0x67, 0xe4, 0xd6, 0x30, 0x9b, 0xa5,
                            0x0d, 0x5f, 0x1d, 0xdc, 0x86, 0x64, 0x12, 0x55, 0x31, 0xb8};
constexpr std::string_view kNonce = "nonce-of-15-chr";
constexpr std::string_view kSignature =
    "ud1L7KBjLRJPfnDgPAA_8KY456RRbB7ZSe3o5XWZ3thqMv0VKwBmoSnxHT5WjpZXdu-Em2zD7IwaQh8exwZbBg";

TEST(Nkey, EveryKindHasItsLetter) {
  const std::pair<NkeyPrefix, std::string_view> cases[] = {
      {NkeyPrefix::kUser, kUser},
      {NkeyPrefix::kServer, "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB"},
      {NkeyPrefix::kAccount, "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV"},
      {NkeyPrefix::kOperator, "OAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZVT"},
      {NkeyPrefix::kCurve, "XAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QAJY"},
  };
  for (const auto& [prefix, text] : cases) {
    EXPECT_EQ(EncodeNkey(prefix, kKey), text);
    EXPECT_EQ(DecodeNkey(prefix, text), kKey);
    EXPECT_EQ(DecodeNkey(NkeyPrefix::kUser, text).has_value(), prefix == NkeyPrefix::kUser) << text;
  }
}

TEST(Nkey, AnyKeySurvivesTheRoundTrip) {
  SeededRandom random(1);
  for (size_t round = 0; round < Rounds(20'000); ++round) {
    NkeyBytes key;
    for (uint8_t& byte : key) byte = static_cast<uint8_t>(random.Next());
    const std::string text = EncodeNkey(NkeyPrefix::kUser, key);
    ASSERT_EQ(text.size(), 56u);
    ASSERT_EQ(text[0], 'U');
    ASSERT_EQ(DecodeNkey(NkeyPrefix::kUser, text), key);
  }
}

TEST(Nkey, AnyChangedCharacterIsNoticed) {
  for (size_t at = 0; at < kUser.size(); ++at) {
    for (const char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=0189 abu\0", 43)) {
      std::string text(kUser);
      if (text[at] == c) continue;
      text[at] = c;
      EXPECT_FALSE(DecodeNkey(NkeyPrefix::kUser, text).has_value()) << text;
    }
  }
  for (size_t size = 0; size < kUser.size(); ++size) {
    EXPECT_FALSE(DecodeNkey(NkeyPrefix::kUser, kUser.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(DecodeNkey(NkeyPrefix::kUser, std::string(kUser) + "A").has_value());
}

TEST(Nkey, ASignatureIsCheckedInBothAlphabets) {
  struct Case {
    std::string_view name;
    std::string_view message;
    std::string_view signature;
    bool good;
  };
  const Case cases[] = {
      {"URL alphabet", kNonce, kSignature, true},
      {"standard alphabet with padding", kNonce,
       "ud1L7KBjLRJPfnDgPAA/8KY456RRbB7ZSe3o5XWZ3thqMv0VKwBmoSnxHT5WjpZXdu+Em2zD7IwaQh8exwZbBg==", true},
      {"no message", "", "nKU1eVMGVNXD33cInvRe2mE-L-32cOlr7axGOVBOWEXvS5XVeTB3Iz3RaBeyUy6cVSWHKnOkrXS3WTaangXBAg",
       true},
      {"another message", "nonce-of-15-chR", kSignature, false},
      {"no signature", kNonce, "", false},
      {"half a signature", kNonce, kSignature.substr(0, 43), false},
      {"not base64", kNonce, "!!!!", false},
      {"both alphabets at once", kNonce,
       "ud1L7KBjLRJPfnDgPAA/8KY456RRbB7ZSe3o5XWZ3thqMv0VKwBmoSnxHT5WjpZXdu-Em2zD7IwaQh8exwZbBg", false},
  };
  for (const Case& c : cases) EXPECT_EQ(VerifyNkeySignature(kKey, c.message, c.signature), c.good) << c.name;
  NkeyBytes other = kKey;
  other[5] ^= 1;
  EXPECT_FALSE(VerifyNkeySignature(other, kNonce, kSignature));
}

TEST(Nkey, AnyChangedCharacterSpoilsASignature) {
  for (size_t at = 0; at < kSignature.size(); ++at) {
    std::string text(kSignature);
    text[at] = text[at] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(VerifyNkeySignature(kKey, kNonce, text)) << at;
  }
}

TEST(Nkey, ANonceIsUrlSafeText) {
  EXPECT_EQ(EncodeNonce(std::string_view("\xff\xfe\xfd\x00\x01\x02\x03\x04\x05\x06\x07", 11)), "__79AAECAwQFBgc");
  EXPECT_EQ(EncodeNonce(""), "");
}

}  // namespace
}  // namespace millrace
