// SPDX-License-Identifier: Apache-2.0
#include "broker/account/secret.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "proto/base/check.h"

namespace millrace {
namespace {

// In front of each sealed text.
constexpr size_t kCounterBytes = sizeof(uint64_t);

using Nonce = std::array<unsigned char, crypto_secretbox_NONCEBYTES>;

Nonce NonceOf(const char* counter) {
  Nonce nonce{};
  std::memcpy(nonce.data(), counter, kCounterBytes);
  return nonce;
}

unsigned char* Bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }
const unsigned char* Bytes(const char* text) { return reinterpret_cast<const unsigned char*>(text); }

}  // namespace

void Secret::Set(std::string_view bytes) {
  std::unique_ptr<char[]> next = bytes.empty() ? nullptr : std::make_unique_for_overwrite<char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), next.get());
  Wipe();
  bytes_ = std::move(next);
  size_ = bytes.size();
}

void Secret::Wipe() {
  if (size_ > 0) sodium_memzero(bytes_.get(), size_);
  bytes_.reset();
  size_ = 0;
}

void Wipe(std::string* text) {
  text->resize(text->capacity());  // also what stood behind its end
  sodium_memzero(text->data(), text->size());
  text->clear();
}

// Not inlined: no caller's compiler may find a shorter way.
[[gnu::noinline]] bool SameSecret(std::string_view expected, std::string_view said) {
  unsigned char difference = expected.size() == said.size() ? 0 : 1;
  for (size_t i = 0; i < said.size(); ++i) {
    const char other = i < expected.size() ? expected[i] : '\0';
    difference = static_cast<unsigned char>(difference | (said[i] ^ other));
  }
  return difference == 0;
}

SealingKey::~SealingKey() { sodium_memzero(key_.data(), key_.size()); }

void SealingKey::Draw(const Entropy& entropy) {
  if (std::exchange(drawn_, true)) return;
  static_assert(crypto_secretbox_KEYBYTES == sizeof key_);
  MR_CHECK(sodium_init() >= 0);
  entropy(reinterpret_cast<char*>(key_.data()), key_.size());
}

std::string SealingKey::Seal(std::string_view clear, const Entropy& entropy) {
  Draw(entropy);
  std::string sealed(kCounterBytes + crypto_secretbox_MACBYTES + clear.size(), '\0');
  const uint64_t counter = sealed_++;
  std::memcpy(sealed.data(), &counter, kCounterBytes);
  crypto_secretbox_easy(Bytes(sealed.data() + kCounterBytes), Bytes(clear.data()), clear.size(),
                        NonceOf(sealed.data()).data(), key_.data());
  return sealed;
}

Secret SealingKey::Open(std::string_view sealed) const {
  MR_CHECK(drawn_ && sealed.size() >= kCounterBytes + crypto_secretbox_MACBYTES);
  const std::string_view box = sealed.substr(kCounterBytes);
  std::string clear(box.size() - crypto_secretbox_MACBYTES, '\0');
  MR_CHECK(crypto_secretbox_open_easy(Bytes(clear.data()), Bytes(box.data()), box.size(),
                                      NonceOf(sealed.data()).data(), key_.data()) == 0);
  Secret opened(clear);
  Wipe(&clear);
  return opened;
}

SealingKey::Fingerprint SealingKey::FingerprintOf(std::string_view text, const Entropy& entropy) {
  Draw(entropy);
  Fingerprint print;
  static_assert(crypto_generichash_BYTES_MIN <= sizeof print);
  crypto_generichash(print.data(), print.size(), Bytes(text.data()), text.size(), key_.data(), key_.size());
  return print;
}

}  // namespace millrace
