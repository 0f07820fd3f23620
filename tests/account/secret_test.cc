// SPDX-License-Identifier: Apache-2.0
// Goal: secrets are gone when they go, compare as they should, and what is sealed comes back, and tells nothing before.
// Method: memory is looked at where it is still ours; hashes made by Python's crypt. Go's bcrypt, the peer's, computes
//         all versions alike.
#include "broker/account/secret.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "broker/account/password_hash.h"

namespace millrace {
namespace {

constexpr std::string_view kHash = "$2b$04$abcdefghijklmnopqrstuu1hXAFcmr2CPLqjljXPlXLPQpFji6.EW";
constexpr std::string_view kHashed = "s3cr\xC3\xA9t pass";

const SealingKey::Entropy kEntropy = [](char* to, size_t bytes) { std::memset(to, 7, bytes); };

TEST(Secret, IsMovedWithoutACopy) {
  Secret first("p4ss");
  const char* at = first.view().data();
  Secret second(std::move(first));
  EXPECT_EQ(second.view().data(), at);
  EXPECT_EQ(second.view(), "p4ss");
  EXPECT_TRUE(first.empty());
  Secret third;
  third = second;
  EXPECT_NE(third.view().data(), at);
  EXPECT_EQ(third.view(), second.view());
  third = std::string_view("other");
  EXPECT_EQ(third.view(), "other");
  third.Wipe();
  EXPECT_TRUE(third.empty());
}

TEST(Secret, AStringIsWipedToTheEndOfItsRoom) {
  std::string text = "a secret of some length, on the heap";
  const char* at = text.data();
  text.resize(5);
  Wipe(&text);
  EXPECT_TRUE(text.empty());
  ASSERT_EQ(text.data(), at);
  for (size_t i = 0; i < text.capacity(); ++i) EXPECT_EQ(at[i], 0) << i;
}

TEST(Secret, OnlyTheSameIsTheSame) {
  const std::string_view all[] = {"", "a", "b", "ab", "abc", "abd", "Abc"};
  for (const std::string_view one : all) {
    for (const std::string_view other : all) EXPECT_EQ(SameSecret(one, other), one == other) << one << " " << other;
  }
}

TEST(SealingKey, WhatIsSealedComesBackAndIsNeverSeen) {
  SealingKey key;
  std::set<std::string> boxes;
  for (int i = 0; i < 3; ++i) boxes.insert(key.Seal("open sesame", kEntropy));
  EXPECT_EQ(boxes.size(), 3u);
  for (const std::string& box : boxes) {
    EXPECT_EQ(box.find("sesame"), std::string::npos);
    EXPECT_EQ(key.Open(box).view(), "open sesame");
  }
  EXPECT_TRUE(key.Open(key.Seal("", kEntropy)).empty());
}

TEST(SealingKey, AFingerprintIsOfTheTextAndTheKey) {
  SealingKey key;
  EXPECT_EQ(key.FingerprintOf("a", kEntropy), key.FingerprintOf("a", kEntropy));
  EXPECT_NE(key.FingerprintOf("a", kEntropy), key.FingerprintOf("b", kEntropy));
  SealingKey other;
  EXPECT_NE(other.FingerprintOf("a", [](char* to, size_t bytes) { std::memset(to, 8, bytes); }),
            key.FingerprintOf("a", kEntropy));
}

TEST(PasswordHash, AllVersionsAreComputedAlike) {
  for (const std::string_view kind : {"$2a$", "$2b$", "$2x$", "$2y$"}) {
    std::string hash(kHash);
    hash.replace(0, 4, kind);
    EXPECT_TRUE(MatchesHash(hash, Secret(kHashed))) << kind;
    EXPECT_TRUE(MatchesHash(hash + "behind it", Secret(kHashed))) << kind;
    EXPECT_FALSE(MatchesHash(hash, Secret("s3cret pass")));
    EXPECT_FALSE(MatchesHash(hash, Secret()));
    EXPECT_FALSE(MatchesHash(hash, Secret(std::string(kHashed) + std::string(1, '\0'))));
  }
  EXPECT_FALSE(MatchesHash("not a hash", Secret("x")));
  EXPECT_FALSE(MatchesHash("", Secret()));
  EXPECT_TRUE(MatchesHash("$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq", Secret()));
}

}  // namespace
}  // namespace millrace
