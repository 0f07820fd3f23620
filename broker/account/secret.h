// SPDX-License-Identifier: Apache-2.0
// Secret: bytes that nobody else should come to know; wiped when they go. And what keeps them from being read in
//         memory, or from being guessed by how long a comparison takes.
// Owner:  caller (pure); a SealingKey belongs to the shard that made it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

// On the heap whatever its size, so that moving one leaves no copy behind.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view bytes) { Set(bytes); }
  Secret(const Secret& other) { Set(other.view()); }
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
  Secret& operator=(const Secret& other) {
    if (this != &other) Set(other.view());
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    return *this;
  }
  Secret& operator=(std::string_view bytes) {
    Set(bytes);
    return *this;
  }
  ~Secret() { Wipe(); }

  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {bytes_.get(), size_}; }
  void Wipe();

 private:
  void Set(std::string_view bytes);

  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
};

// For text that a library has put into a string of its own.
void Wipe(std::string* text);

// The time that it takes depends on the length of what is said alone.
bool SameSecret(std::string_view expected, std::string_view said);

// Keeps secrets out of sight: what it seals reads as noise, also in a core file's strings, and only it can open it. It
// does not stop who reads all of the process, its own bytes among them.
class SealingKey {
 public:
  using Entropy = std::function<void(char*, size_t)>;
  using Fingerprint = std::array<uint8_t, 16>;

  SealingKey() = default;
  ~SealingKey();
  SealingKey(const SealingKey&) = delete;
  SealingKey& operator=(const SealingKey&) = delete;

  // `entropy` is asked the first time.
  std::string Seal(std::string_view clear, const Entropy& entropy);
  // Of what this key has sealed.
  Secret Open(std::string_view sealed) const;
  // Equal for equal texts, and with this key only; says nothing of the text itself.
  Fingerprint FingerprintOf(std::string_view text, const Entropy& entropy);

 private:
  void Draw(const Entropy& entropy);

  bool drawn_ = false;
  std::array<uint8_t, 32> key_{};
  uint64_t sealed_ = 0;  // the nonce of the next one: none is used twice
};

}  // namespace millrace
