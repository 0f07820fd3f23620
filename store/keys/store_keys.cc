// SPDX-License-Identifier: Apache-2.0
#include "store/keys/store_keys.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/base/status.h"
#include "store/hash.h"

namespace millrace {
namespace {

constexpr char kDirectory[] = "keys";
constexpr char kPath[] = "keys/current";
constexpr char kNextPath[] = "keys/next";
constexpr uint32_t kMagic = 0x594b524d;  // "MRKY"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kPlainTaken = 1;      // flag of KeyList
constexpr uint32_t kPassesMax = 64;
constexpr uint32_t kMemoryKibMax = 1 << 20;
constexpr size_t kKeysMax = 16;
constexpr size_t kReadersMax = 64;
constexpr std::string_view kSessionLabel = "millrace session";

struct KeyHeader {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  uint64_t check = 0;  // of all this with the check 0, and of the wrapped bytes
  uint32_t passes = 0;
  uint32_t memory_kib = 0;
  uint8_t salt[crypto_pwhash_argon2id_SALTBYTES] = {};
  uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {};
  uint32_t wrapped_bytes = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(KeyHeader) == 72);
constexpr size_t kPositionAt = offsetof(KeyHeader, passes);
constexpr size_t kPositionBytes = offsetof(KeyHeader, nonce) - kPositionAt;  // of what is authenticated with the keys

struct KeyList {
  uint32_t flags = 0;
  KeyId current = 0;
  uint32_t keys = 0;
  uint32_t reserved = 0;
};
struct KeyEntry {
  KeyId id = 0;
  uint32_t cipher = 0;
  uint8_t key[kAeadKeyBytes] = {};
};
static_assert(sizeof(KeyList) == 16 && sizeof(KeyEntry) == 40);

const uint8_t* Bytes(const char* at) { return reinterpret_cast<const uint8_t*>(at); }
uint8_t* Bytes(char* at) { return reinterpret_cast<uint8_t*>(at); }

uint64_t CheckOf(std::string_view block, uint32_t wrapped_bytes) {
  std::string checked(block.substr(0, sizeof(KeyHeader) + wrapped_bytes));
  std::memset(checked.data() + offsetof(KeyHeader, check), 0, sizeof(KeyHeader::check));
  return Hash64(checked, kMagic);
}

bool Intact(std::string_view block) {
  if (block.size() < sizeof(KeyHeader)) return false;
  KeyHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  return header.magic == kMagic && header.wrapped_bytes <= block.size() - sizeof header &&
         header.check == CheckOf(block, header.wrapped_bytes);
}

// The key that wraps, from a text that people choose.
absl::Status DeriveKey(const KeyHeader& header, const std::string& text, uint8_t* key) {
  if (crypto_pwhash(key, kAeadKeyBytes, text.data(), text.size(), header.salt, header.passes,
                    size_t{header.memory_kib} << 10, crypto_pwhash_ALG_ARGON2ID13) == 0) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrFormat("no memory for the key: %d KiB are needed for a moment", header.memory_kib));
}

absl::StatusOr<std::optional<std::string>> ReadFile(Disk& disk) {
  const absl::StatusOr<Disk::File> file = disk.Open(kPath, FileUse::kRead, false);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  MR_RETURN_IF_ERROR(file.status());
  std::string bytes(2 * kDiskAlignment, '\0');
  const absl::StatusOr<size_t> got = disk.ReadNow(*file, 0, bytes.data(), bytes.size());
  disk.Close(*file);
  MR_RETURN_IF_ERROR(got.status());
  bytes.resize(*got);
  return bytes;
}

absl::StatusOr<bool> AnyFile(Disk& disk, std::string_view directory) {
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk.List(directory));
  return !names.empty();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreKeys>> StoreKeys::Open(Disk& disk, const KeyOptions& options,
                                                           std::optional<KeyId> sealed_with) {
  MR_CHECK(sodium_init() >= 0);
  MR_ASSIGN_OR_RETURN(const std::optional<std::string> file, ReadFile(disk));
  if (options.key.empty()) {
    if (!file.has_value() && sealed_with.value_or(0) == 0) return nullptr;
    return absl::FailedPreconditionError("the store is encrypted, and no key is configured");
  }
  std::unique_ptr<StoreKeys> keys(new StoreKeys(disk, options));
  if (!file.has_value()) {
    if (sealed_with.value_or(0) != 0) {
      return absl::DataLossError(absl::StrFormat("the store is encrypted, and %s is missing: put it back", kPath));
    }
    MR_ASSIGN_OR_RETURN(const bool logged, AnyFile(disk, "wal"));
    MR_RETURN_IF_ERROR(keys->Create(sealed_with.has_value() || logged));
  } else {
    // Two copies in one file: a sector that goes bad does not take the store with it.
    const std::string_view bytes = *file;
    std::string_view block = bytes.substr(0, std::min(bytes.size(), kDiskAlignment));
    if (!Intact(block)) block = bytes.substr(block.size());
    MR_RETURN_IF_ERROR(keys->Read(block));
  }
  options.random(keys->session_.data(), keys->session_.size());
  keys->writer_ = keys->KeyOf(keys->current_, keys->session_);
  return keys;
}

StoreKeys::DataKey::~DataKey() { sodium_memzero(key, sizeof key); }

StoreKeys::~StoreKeys() = default;

Cipher StoreKeys::cipher() const { return data_.at(current_).cipher; }

absl::Status StoreKeys::Create(bool plain) {
  plain_ = plain;
  created_ = true;
  Prefer(options_.cipher);
  return Write();
}

// What is written from now on has this cipher.
void StoreKeys::Prefer(Cipher cipher) {
  for (const auto& [id, key] : data_) {
    if (key.cipher != cipher) continue;
    current_ = id;
    return;
  }
  KeyId id = 0;
  while (id == 0 || data_.contains(id)) options_.random(reinterpret_cast<uint8_t*>(&id), sizeof id);
  DataKey& key = data_[id];
  key.cipher = cipher;
  options_.random(key.key, sizeof key.key);
  current_ = id;
}

absl::Status StoreKeys::Read(std::string_view block) {
  if (!Intact(block)) {
    return absl::DataLossError(absl::StrFormat("%s is damaged: put a copy of it back", kPath));
  }
  KeyHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  if (header.version != kVersion || header.passes > kPassesMax || header.memory_kib > kMemoryKibMax) {
    return absl::FailedPreconditionError(absl::StrFormat("%s is of a version that we do not know", kPath));
  }
  MR_ASSIGN_OR_RETURN(const bool opened, Unwrap(block, options_.key));
  if (!opened) {
    if (!options_.prev_key.empty()) {
      MR_ASSIGN_OR_RETURN(rotated_, Unwrap(block, options_.prev_key));
    }
    if (!rotated_) {
      return absl::FailedPreconditionError(
          options_.prev_key.empty() ? "the store is encrypted with another key"
                                    : "the store is encrypted with another key: neither key nor prev_key opens it");
    }
  }
  const KeyId before = current_;
  Prefer(options_.cipher);
  return rotated_ || current_ != before ? Write() : absl::OkStatus();
}

absl::StatusOr<bool> StoreKeys::Unwrap(std::string_view block, const std::string& key) {
  KeyHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  uint8_t wrapping[kAeadKeyBytes];
  MR_RETURN_IF_ERROR(DeriveKey(header, key, wrapping));
  std::string list(header.wrapped_bytes, '\0');
  unsigned long long bytes = 0;
  const bool opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
                          Bytes(list.data()), &bytes, nullptr, Bytes(block.data() + sizeof header),
                          header.wrapped_bytes, Bytes(block.data() + kPositionAt), kPositionBytes, header.nonce,
                          wrapping) == 0;
  sodium_memzero(wrapping, sizeof wrapping);
  if (!opened) return false;
  KeyList head;
  MR_CHECK(bytes >= sizeof head);  // whoever wrote it had the key
  std::memcpy(&head, list.data(), sizeof head);
  MR_CHECK(bytes >= sizeof head + head.keys * sizeof(KeyEntry));
  for (uint32_t i = 0; i < head.keys; ++i) {
    KeyEntry entry;
    std::memcpy(&entry, list.data() + sizeof head + i * sizeof entry, sizeof entry);
    DataKey& data = data_[entry.id];
    data.cipher = static_cast<Cipher>(entry.cipher);
    std::memcpy(data.key, entry.key, sizeof data.key);
    sodium_memzero(&entry, sizeof entry);
  }
  sodium_memzero(list.data(), list.size());
  current_ = head.current;
  plain_ = (head.flags & kPlainTaken) != 0;
  MR_CHECK(data_.contains(current_));
  return true;
}

// Under another name first: what can be seen is whole, and it is the old keys or the new ones.
absl::Status StoreKeys::Write() {
  MR_CHECK_OP(data_.size(), <=, kKeysMax);
  std::string list(sizeof(KeyList) + data_.size() * sizeof(KeyEntry), '\0');
  const KeyList head{plain_ ? kPlainTaken : 0, current_, static_cast<uint32_t>(data_.size()), 0};
  std::memcpy(list.data(), &head, sizeof head);
  char* to = list.data() + sizeof head;
  for (const auto& [id, key] : data_) {
    KeyEntry entry{id, static_cast<uint32_t>(key.cipher), {}};
    std::memcpy(entry.key, key.key, sizeof entry.key);
    std::memcpy(to, &entry, sizeof entry);
    sodium_memzero(&entry, sizeof entry);
    to += sizeof entry;
  }
  KeyHeader header;
  header.passes = options_.kdf_passes;
  header.memory_kib = options_.kdf_memory_kib;
  options_.random(header.salt, sizeof header.salt);
  options_.random(header.nonce, sizeof header.nonce);
  header.wrapped_bytes = static_cast<uint32_t>(list.size() + crypto_aead_xchacha20poly1305_ietf_ABYTES);
  uint8_t wrapping[kAeadKeyBytes];
  MR_RETURN_IF_ERROR(DeriveKey(header, options_.key, wrapping));
  std::string block(kDiskAlignment, '\0');
  std::memcpy(block.data(), &header, sizeof header);
  (void)crypto_aead_xchacha20poly1305_ietf_encrypt(Bytes(block.data() + sizeof header), nullptr, Bytes(list.data()),
                                                   list.size(), Bytes(block.data() + kPositionAt), kPositionBytes,
                                                   nullptr, header.nonce, wrapping);
  sodium_memzero(wrapping, sizeof wrapping);
  sodium_memzero(list.data(), list.size());
  const uint64_t check = CheckOf(block, header.wrapped_bytes);
  std::memcpy(block.data() + offsetof(KeyHeader, check), &check, sizeof check);

  MR_RETURN_IF_ERROR(disk_.MakeDirectory(kDirectory));
  MR_RETURN_IF_ERROR(disk_.Remove(kNextPath));
  MR_ASSIGN_OR_RETURN(const Disk::File file, disk_.Open(kNextPath, FileUse::kWrite, true));
  absl::Status written = disk_.WriteNow(file, 0, block + block);
  if (written.ok()) written = disk_.SyncNow(file);
  disk_.Close(file);
  MR_RETURN_IF_ERROR(written);
  MR_RETURN_IF_ERROR(disk_.Rename(kNextPath, kPath));
  return disk_.SyncDirectory(kDirectory);
}

absl::Status StoreKeys::Finish() {
  MR_CHECK(converting());
  std::erase_if(data_, [this](const auto& entry) { return entry.first != current_; });
  readers_.clear();
  plain_ = false;
  return Write();
}

// --- sealing

std::unique_ptr<Aead> StoreKeys::KeyOf(KeyId id, const Session& session) const {
  const DataKey& data = data_.at(id);
  uint8_t key[kAeadKeyBytes];
  std::string message(kSessionLabel);
  message.append(reinterpret_cast<const char*>(session.data()), session.size());
  MR_CHECK(crypto_generichash(key, sizeof key, Bytes(message.data()), message.size(), data.key, sizeof data.key) == 0);
  auto aead = std::make_unique<Aead>(data.cipher, key);
  sodium_memzero(key, sizeof key);
  return aead;
}

const Aead& StoreKeys::ReaderOf(KeyId id, const Session& session) {
  if (id == current_ && session == session_) return *writer_;
  if (readers_.size() >= kReadersMax) readers_.clear();
  std::unique_ptr<Aead>& reader = readers_[{id, session}];
  if (reader == nullptr) reader = KeyOf(id, session);
  return *reader;
}

void StoreKeys::Seal(std::string_view position, const char* in, size_t bytes, char* out) {
  uint8_t nonce[kAeadNonceBytes] = {};
  MR_CHECK(writer_ != nullptr && count_ < UINT64_MAX);  // no nonce comes twice
  ++count_;
  std::memcpy(nonce, &count_, sizeof count_);
  uint8_t tag[kAeadTagBytes];
  writer_->Seal(nonce, position, in, bytes, out, tag);
  char* seal = out + bytes;
  std::memcpy(seal, session_.data(), kSessionBytes);
  std::memcpy(seal + kSessionBytes, &count_, sizeof count_);
  std::memcpy(seal + kSessionBytes + sizeof count_, tag, sizeof tag);
}

bool StoreKeys::Open(KeyId id, std::string_view position, const char* in, size_t bytes, char* out) {
  if (bytes < kSealBytes || !data_.contains(id)) return false;
  const char* seal = in + bytes - kSealBytes;
  Session session;
  std::memcpy(session.data(), seal, kSessionBytes);
  uint8_t nonce[kAeadNonceBytes] = {};
  std::memcpy(nonce, seal + kSessionBytes, sizeof count_);
  uint8_t tag[kAeadTagBytes];
  std::memcpy(tag, seal + kSessionBytes + sizeof count_, sizeof tag);
  return ReaderOf(id, session).Open(nonce, position, in, bytes - kSealBytes, out, tag);
}

}  // namespace millrace
