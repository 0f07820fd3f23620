// SPDX-License-Identifier: Apache-2.0
#include "store/keys/aead.h"

#include <sodium.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>

#include <cstring>

#include "proto/base/check.h"

namespace millrace {
namespace {

const uint8_t* Bytes(const char* at) { return reinterpret_cast<const uint8_t*>(at); }
uint8_t* Bytes(char* at) { return reinterpret_cast<uint8_t*>(at); }

}  // namespace

// The expanded key, of one of the two.
struct Aead::AesKeys {
  bool fast = false;
  crypto_aead_aes256gcm_state sodium;
  ::Aes wolf;
};

Aead::Aead(Cipher cipher, const uint8_t* key, Engine engine) : cipher_(cipher) {
  MR_CHECK(sodium_init() >= 0);
  std::memcpy(key_, key, sizeof key_);
  if (cipher != Cipher::kAes) return;
  aes_ = std::make_unique<AesKeys>();
  aes_->fast = engine == Engine::kBest && crypto_aead_aes256gcm_is_available() != 0;
  if (aes_->fast) {
    crypto_aead_aes256gcm_beforenm(&aes_->sodium, key);
    return;
  }
  MR_CHECK(wc_AesInit(&aes_->wolf, nullptr, INVALID_DEVID) == 0);
  MR_CHECK(wc_AesGcmSetKey(&aes_->wolf, key, kAeadKeyBytes) == 0);
}

Aead::~Aead() {
  if (aes_ != nullptr && !aes_->fast) wc_AesFree(&aes_->wolf);
  if (aes_ != nullptr) sodium_memzero(aes_.get(), sizeof *aes_);
  sodium_memzero(key_, sizeof key_);
}

void Aead::Seal(const uint8_t* nonce, std::string_view position, const char* in, size_t bytes, char* out,
                uint8_t* tag) const {
  int failed = 0;
  if (aes_ == nullptr) {
    failed = crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        Bytes(out), tag, nullptr, Bytes(in), bytes, Bytes(position.data()), position.size(), nullptr, nonce, key_);
  } else if (aes_->fast) {
    failed = crypto_aead_aes256gcm_encrypt_detached_afternm(Bytes(out), tag, nullptr, Bytes(in), bytes,
                                                            Bytes(position.data()), position.size(), nullptr, nonce,
                                                            &aes_->sodium);
  } else {
    failed = wc_AesGcmEncrypt(&aes_->wolf, Bytes(out), Bytes(in), static_cast<word32>(bytes), nonce, kAeadNonceBytes,
                              tag, kAeadTagBytes, Bytes(position.data()), static_cast<word32>(position.size()));
  }
  MR_CHECK(failed == 0);
}

bool Aead::Open(const uint8_t* nonce, std::string_view position, const char* in, size_t bytes, char* out,
                const uint8_t* tag) const {
  if (aes_ == nullptr) {
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(Bytes(out), nullptr, Bytes(in), bytes, tag,
                                                              Bytes(position.data()), position.size(), nonce,
                                                              key_) == 0;
  }
  if (aes_->fast) {
    return crypto_aead_aes256gcm_decrypt_detached_afternm(Bytes(out), nullptr, Bytes(in), bytes, tag,
                                                          Bytes(position.data()), position.size(), nonce,
                                                          &aes_->sodium) == 0;
  }
  return wc_AesGcmDecrypt(&aes_->wolf, Bytes(out), Bytes(in), static_cast<word32>(bytes), nonce, kAeadNonceBytes, tag,
                          kAeadTagBytes, Bytes(position.data()), static_cast<word32>(position.size())) == 0;
}

}  // namespace millrace
