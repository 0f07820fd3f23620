// SPDX-License-Identifier: Apache-2.0
// Goal: both ciphers are those of their documents, whoever computes them, and a changed bit anywhere does not open.
// Method: the vector of RFC 8439 section 2.8.2, test case 16 of the GCM specification (McGrew, Viega); both engines.
#include "store/keys/aead.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/hex.h"

namespace millrace {
namespace {

struct Vector {
  Cipher cipher;
  std::string key, nonce, position, plain, sealed, tag;
};

const uint8_t* Bytes(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::vector<Vector> Vectors() {
  return {
      {Cipher::kChaCha, FromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
       FromHex("070000004041424344454647"), FromHex("50515253c0c1c2c3c4c5c6c7"),
       "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be "
       "it.",
       FromHex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
               "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
               "3ff4def08e4b7a9de576d26586cec64b6116"),
       FromHex("1ae10b594f09e26a7e902ecbd0600691")},
      {Cipher::kAes, FromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
       FromHex("cafebabefacedbaddecaf888"), FromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
       FromHex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
               "b16aedf5aa0de657ba637b39"),
       FromHex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
               "c5f61e6393ba7a0abcc9f662"),
       FromHex("76fc6ece0f4e1768cddf8853bb2d551b")},
  };
}

TEST(AeadTest, BothEnginesGiveTheDocumentsBytes) {
  for (const Vector& vector : Vectors()) {
    for (const Aead::Engine engine : {Aead::Engine::kBest, Aead::Engine::kPortable}) {
      const Aead aead(vector.cipher, Bytes(vector.key), engine);
      std::string out = vector.plain;
      std::string tag(kAeadTagBytes, '\0');
      aead.Seal(Bytes(vector.nonce), vector.position, out.data(), out.size(), out.data(),
                reinterpret_cast<uint8_t*>(tag.data()));
      EXPECT_EQ(out, vector.sealed);
      EXPECT_EQ(tag, vector.tag);
      std::string back(out.size(), '\0');
      EXPECT_TRUE(aead.Open(Bytes(vector.nonce), vector.position, out.data(), out.size(), back.data(), Bytes(tag)));
      EXPECT_EQ(back, vector.plain);
    }
  }
}

TEST(AeadTest, NothingIsSealedAsWell) {
  for (const Vector& vector : Vectors()) {
    for (const Aead::Engine engine : {Aead::Engine::kBest, Aead::Engine::kPortable}) {
      const Aead aead(vector.cipher, Bytes(vector.key), engine);
      uint8_t tag[kAeadTagBytes];
      char nothing = 0;
      aead.Seal(Bytes(vector.nonce), "here", nullptr, 0, &nothing, tag);
      EXPECT_TRUE(aead.Open(Bytes(vector.nonce), "here", &nothing, 0, &nothing, tag));
      EXPECT_FALSE(aead.Open(Bytes(vector.nonce), "there", &nothing, 0, &nothing, tag));
    }
  }
}

TEST(AeadTest, AChangedBitDoesNotOpen) {
  for (const Vector& vector : Vectors()) {
    for (const Aead::Engine engine : {Aead::Engine::kBest, Aead::Engine::kPortable}) {
      const Aead aead(vector.cipher, Bytes(vector.key), engine);
      for (int part = 0; part < 4; ++part) {
        Vector changed = vector;
        std::string& at = part == 0   ? changed.sealed
                          : part == 1 ? changed.tag
                          : part == 2 ? changed.nonce
                                      : changed.position;
        for (size_t bit = 0; bit < at.size() * 8; ++bit) {
          at[bit / 8] = static_cast<char>(at[bit / 8] ^ 1 << (bit % 8));
          std::string out(vector.sealed.size(), '\0');
          EXPECT_FALSE(aead.Open(Bytes(changed.nonce), changed.position, changed.sealed.data(), changed.sealed.size(),
                                 out.data(), Bytes(changed.tag)));
          at[bit / 8] = static_cast<char>(at[bit / 8] ^ 1 << (bit % 8));
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
