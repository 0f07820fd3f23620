// SPDX-License-Identifier: Apache-2.0
// Catalog: what a checkpoint writes: one blob per key, in one file that grows and is compacted into another.
// Owner:  shard.
// A transaction is staged (Put, Remove), written (StartFlush, any number of times) and committed (StartCommit): frames,
// sync, then one of two alternating roots, sync. What no root speaks of does not exist. The blobs stay on disk: memory
// holds their places. Load reads the file once, front to back.
// Turns:  Start… begins, Step goes on, busy() ends; nothing waits. After a failure the file is not written again: the
//         next transaction begins with a compaction, which reads only what had been committed.
// Damage: every frame and every entry carries its checksum. A damaged entry takes no other with it, is reported, and
//         the file it stands in goes to quarantine/ when it is replaced.
// Format: FORMAT.md
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "store/disk.h"
#include "store/journal.h"
#include "store/keys/store_keys.h"

namespace millrace {

// Values are on disk.
enum class CatalogKind : uint8_t {
  kStreamConfig = 1,
  kStreamState = 2,
  kConsumerConfig = 3,
  kConsumerState = 4,
  kDeleted = 5,  // of either; an empty blob, `lsn` that of the deletion: for as long as the log may have lost that
};

struct CatalogDamage {
  CatalogKind kind{};  // with uid 0: not known whose it was
  uint64_t uid = 0;
  std::string what;
};

class Catalog {
 public:
  // Blocking. `identity` is that of a new store; an existing one has its own.
  // `keys` seal the blobs and the roots; nullptr: nobody does. They outlive it.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(Disk& disk, uint64_t identity, StoreKeys* keys = nullptr);
  ~Catalog();
  // Blocking: the key that the newest intact root names; std::nullopt: there is no catalog.
  static absl::StatusOr<std::optional<KeyId>> SealedWith(Disk& disk);

  uint64_t identity() const { return root_.identity; }
  Lsn replay_from() const { return root_.replay_from; }  // everything up to here is in the catalog
  uint64_t next_uid() const { return root_.next_uid; }
  bool created() const { return created_; }
  const std::vector<CatalogDamage>& damage() const { return damage_; }

  // Blocking: every live entry in the order of the file.
  using Visitor = std::function<void(CatalogKind kind, uint64_t uid, Lsn lsn, std::string_view blob)>;
  absl::Status Load(const Visitor& visit);

  // --- a transaction
  void Put(CatalogKind kind, uint64_t uid, Lsn lsn, std::string_view blob);
  void Remove(CatalogKind kind, uint64_t uid);
  void Drop();  // what was staged and not committed
  size_t staged_bytes() const { return out_.size() + frame_.size(); }
  void StartFlush();
  void StartCommit(Lsn replay_from, uint64_t next_uid);
  bool wants_compaction() const;  // between transactions
  // So much may be dead in any case.
  void set_slack_bytes(uint64_t bytes) { slack_bytes_ = bytes; }
  bool suspect() const { return suspect_; }  // compaction is a must
  bool stale() const { return stale_; }  // some of it is under an old key, or under none
  void StartCompaction();

  void Step();  // once per turn while busy()
  bool busy() const { return phase_ != Phase::kIdle; }
  bool needs_step() const { return phase_ == Phase::kCopy && !io_.busy(); }
  bool idle() const { return !io_.busy(); }
  bool failed() const { return failed_; }  // the last transaction or compaction; what it staged is dropped
  int error() const { return error_; }

  uint64_t file_bytes() const { return end_; }
  uint64_t live_bytes() const { return live_bytes_; }
  size_t entries() const { return index_.size(); }

  // After Open, between two calls: the phase agrees with what is in flight, and the file's end with its root.
  void Invariant() const;
  // And the entries with their sum and with the file; costs as much as there are entries.
  void Recount() const;

 private:
  struct Root {
    uint32_t magic = 0;
    uint32_t check = 0;
    uint64_t identity = 0;
    uint64_t generation = 0;
    uint64_t committed_bytes = 0;
    uint64_t replay_from = 0;
    uint64_t next_uid = 1;
  };
  // Behind a sealed root; zeros behind others.
  struct RootSeal {
    KeyId key_id = 0;
    uint32_t check = 0;  // of this and the root
    char seal[kSealBytes] = {};
  };
  struct FrameHeader {
    uint32_t magic = 0;
    uint32_t check = 0;
    uint64_t identity = 0;
    uint64_t offset = 0;  // of this frame: a misdirected write shows
    uint64_t replay_from = 0;
    uint64_t next_uid = 1;
    uint64_t payload_hash = 0;
    uint32_t payload_bytes = 0;
    uint32_t entries = 0;
    uint64_t reserved = 0;
  };
  static_assert(sizeof(FrameHeader) == 64);
  struct Key {
    CatalogKind kind;
    uint64_t uid;
    bool operator==(const Key&) const = default;
    template <class H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), static_cast<uint8_t>(key.kind), key.uid);
    }
  };
  struct Place {
    uint64_t offset = 0;  // of the entry
    uint32_t bytes = 0;   // with its header; 0: removed
  };
  enum class Phase : uint8_t { kIdle, kFlush, kFrames, kSync, kRoot, kCopy, kCopySync, kCopyRoot, kCopyName };

  Catalog(Disk& disk, StoreKeys* keys) : disk_(disk), keys_(keys) { io_.Bind<&Catalog::OnIo>(this); }
  absl::Status Create(uint64_t identity);
  absl::Status ReadIndex();
  absl::Status MakeStable();
  absl::Status ReadFrame(std::string_view payload, uint64_t offset, bool intact);
  static bool ReadRoot(std::string_view block, Root* root, RootSeal* seal);
  absl::StatusOr<bool> OpenRoot(std::string_view block, Root* root);  // false: it is not intact
  // The blob of an entry whose checksum is right. False: it is not what was sealed there.
  bool OpenEntry(std::string_view entry, uint64_t offset, std::string* room, std::string_view* blob) const;
  std::string RootBlock(const Root& root) const;
  void Apply(const Key& key, const Place& place);
  void StageEntry(CatalogKind kind, uint64_t uid, Lsn lsn, bool removed, std::string_view blob);
  void CloseFrame();
  void WriteOut(Phase phase);
  void OnIo(const IoResult& result);
  void CopySlice();
  void Replace();
  void Adopt();
  void Fail(int error);

  Disk& disk_;
  StoreKeys* const keys_;
  Disk::File file_ = -1;
  Disk::File directory_ = -1;
  Root root_;
  bool created_ = false;
  bool suspect_ = false;  // a write or sync of this file failed: it is read, and not written again
  bool stale_ = false;
  bool damaged_ = false;  // the file goes to quarantine when it is replaced
  std::vector<CatalogDamage> damage_;
  absl::flat_hash_map<Key, Place> index_;
  uint64_t live_bytes_ = 0;
  uint64_t slack_bytes_ = 1 << 20;
  uint64_t end_ = 0;  // where the next frame goes

  // the transaction
  std::string frame_;    // payload of the frame being filled
  uint32_t frame_entries_ = 0;
  std::string out_;      // whole frames that wait to be written
  std::string writing_;  // in flight
  std::string room_;     // for a blob that is opened
  uint64_t out_offset_ = 0;
  std::vector<std::pair<Key, Place>> changes_;
  Root next_root_;

  // the compaction
  Disk::File next_file_ = -1;
  std::vector<std::pair<Key, Place>> copy_;  // what is to be copied, in the order of the file
  size_t copied_ = 0;

  Completion io_;
  Phase phase_ = Phase::kIdle;
  bool failed_ = false;
  int error_ = 0;
};

}  // namespace millrace
