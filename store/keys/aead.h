// SPDX-License-Identifier: Apache-2.0
// Aead: authenticated encryption under one key: ChaCha20-Poly1305 (RFC 8439) or AES-256-GCM (SP 800-38D), both with a
//       nonce of 96 bits and a tag of 128.
// Owner:  caller.  A nonce is used once per key: StoreKeys counts.
// Speed:  libsodium's; its AES wants AES-NI, wolfSSL's stands in on processors that lack it (store/README.md).
// Proof:  tests/store/aead_test.cc has the documents' vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace millrace {

// Values are on disk.
enum class Cipher : uint8_t { kChaCha = 1, kAes = 2 };

inline constexpr size_t kAeadKeyBytes = 32;
inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr size_t kAeadTagBytes = 16;

class Aead {
 public:
  enum class Engine : uint8_t { kBest, kPortable };

  Aead(Cipher cipher, const uint8_t* key, Engine engine = Engine::kBest);
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  // `out` has room for `bytes`, and may be `in`.
  void Seal(const uint8_t* nonce, std::string_view position, const char* in, size_t bytes, char* out,
            uint8_t* tag) const;
  // False: these are not the bytes that were sealed with this key, nonce and position; `out` is then undefined.
  bool Open(const uint8_t* nonce, std::string_view position, const char* in, size_t bytes, char* out,
            const uint8_t* tag) const;

 private:
  struct AesKeys;

  const Cipher cipher_;
  uint8_t key_[kAeadKeyBytes];
  std::unique_ptr<AesKeys> aes_;
};

}  // namespace millrace
