// SPDX-License-Identifier: Apache-2.0
// StoreKeys: the keys of an encrypted store, and the seal on everything that it writes.
// Owner:  shard. One per store; nullptr stands for a store without encryption.
// Keys:   the server's key (a text) → Argon2id with a salt → opens DIR/keys/current, which holds the data keys, each
//         drawn at random and named by a number. A data key and the random name of this process's session give the key
//         that seals; its nonce is a counter. So no nonce comes twice under one key, whatever is written again where.
// Seal:   kSealBytes behind the sealed bytes: session, count, tag. What position the bytes have is authenticated with
//         them: at another place they do not open.
// Old keys: what was written under another cipher, or before there was a key, stays readable until it has been written
//         anew (converting()); then Finish() forgets those keys, and plain bytes are refused from there on.
// Errors: a wrong key is an error of Open, and changes nothing on disk.
// Format: FORMAT.md.  Proof: tests/store/encryption_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "store/disk.h"
#include "store/keys/aead.h"

namespace millrace {

// Names a data key. 0: plain bytes.
using KeyId = uint32_t;

inline constexpr size_t kSessionBytes = 16;
inline constexpr size_t kSealBytes = kSessionBytes + 8 + kAeadTagBytes;

struct KeyOptions {
  std::string key;       // the server's; empty: no encryption
  std::string prev_key;  // opens the store when `key` does not; then `key` is the one that does
  Cipher cipher = Cipher::kChaCha;
  std::function<void(uint8_t* to, size_t bytes)> random;  // unpredictable bytes
  // Of Argon2id, for a new salt; keys/current remembers them.
  uint32_t kdf_passes = 2;
  uint32_t kdf_memory_kib = 19 << 10;
};

class StoreKeys {
 public:
  // Blocking. nullptr: no encryption is asked for, and the store has none. `sealed_with`: the key that what is stored
  // names, 0 where it is plain; std::nullopt: nothing is stored (OpenStoreKeys in shard/shard_store.h has looked).
  static absl::StatusOr<std::unique_ptr<StoreKeys>> Open(Disk& disk, const KeyOptions& options,
                                                         std::optional<KeyId> sealed_with);
  ~StoreKeys();
  StoreKeys(const StoreKeys&) = delete;
  StoreKeys& operator=(const StoreKeys&) = delete;

  KeyId current() const { return current_; }
  Cipher cipher() const;
  bool Knows(KeyId id) const { return id == 0 ? plain_ : data_.contains(id); }
  bool created() const { return created_; }
  bool rotated() const { return rotated_; }  // it was prev_key that opened the store
  // Something on disk may be under another key than current(), or under none.
  bool converting() const { return plain_ || data_.size() > 1; }
  bool has_plain() const { return plain_; }
  // Nothing of the kind is left. Blocking: two small writes.
  absl::Status Finish();

  // Writes bytes + kSealBytes to `out`, which may be `in`. Under current().
  void Seal(std::string_view position, const char* in, size_t bytes, char* out);
  // `bytes` with the seal; bytes - kSealBytes go to `out`, which may be `in`. False: not what was sealed there.
  bool Open(KeyId id, std::string_view position, const char* in, size_t bytes, char* out);

 private:
  struct DataKey {
    ~DataKey();
    Cipher cipher{};
    uint8_t key[kAeadKeyBytes] = {};
  };
  using Session = std::array<uint8_t, kSessionBytes>;

  StoreKeys(Disk& disk, const KeyOptions& options) : disk_(disk), options_(options) {}
  absl::Status Create(bool plain);
  absl::Status Read(std::string_view block);
  absl::StatusOr<bool> Unwrap(std::string_view block, const std::string& key);  // false: another key opens it
  absl::Status Write();
  void Prefer(Cipher cipher);
  std::unique_ptr<Aead> KeyOf(KeyId id, const Session& session) const;
  const Aead& ReaderOf(KeyId id, const Session& session);

  Disk& disk_;
  const KeyOptions options_;
  std::map<KeyId, DataKey> data_;
  KeyId current_ = 0;
  bool plain_ = false;  // plain bytes are taken
  bool created_ = false;
  bool rotated_ = false;

  std::unique_ptr<Aead> writer_;
  Session session_{};
  uint64_t count_ = 0;  // of this session's seals
  // Of the sessions that were read last; a restart makes a new one.
  std::map<std::pair<KeyId, Session>, std::unique_ptr<Aead>> readers_;
};

// The same questions where there may be no encryption: keys is nullptr then.
inline size_t SealBytes(const StoreKeys* keys) { return keys == nullptr ? 0 : kSealBytes; }
inline KeyId CurrentKey(const StoreKeys* keys) { return keys == nullptr ? 0 : keys->current(); }
inline bool KnowsKey(const StoreKeys* keys, KeyId id) { return keys == nullptr ? id == 0 : keys->Knows(id); }

}  // namespace millrace
