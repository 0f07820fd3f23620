// SPDX-License-Identifier: Apache-2.0
// WalFiles: the files of the write-ahead log: made ready in the background, taken into use, recycled.
// Owner:  shard.
// A file is ready when it is filled with written zeros and its name is on stable storage: a write into it then changes
// no metadata, which is what makes a flush one device command. One ready file is kept in reserve while there is
// traffic. `keep` files of `file_bytes` stay; what was made besides, because the log was in need, goes when it can.
// A nearly full disk: files are smaller then, a fourth of what is free. The last of it, floor_bytes, is for
// checkpoints. Files that may hold what somebody has erased (tainted) are taken last, and never removed but at once.
// Errors: a file that cannot be made is given up; full() tells a full disk, error() why in words. Nothing here loses a
// record.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/base/nanos.h"
#include "store/disk.h"
#include "store/journal.h"

namespace millrace {

struct WalFile {
  Disk::File file = -1;
  uint32_t number = 0;  // its name
  uint64_t bytes = 0;
  uint64_t end = 0;     // where the next batch goes
  uint32_t seq = 0;     // 0: not in use
  Lsn last_lsn = 0;     // of the last record in it
  bool bad = false;     // a write or flush failed: never written again, removed once nothing in it is needed
  bool stale = false;   // may hold bytes under an old key, or under none: the same
  uint64_t dirty = 0;   // bytes from the beginning that may be no zeros, besides those up to `end`
  bool tainted = false;  // may hold what was erased
};

class WalFiles {
 public:
  WalFiles(Disk& disk, uint64_t file_bytes, uint32_t keep, uint64_t floor_bytes);
  ~WalFiles();

  // Blocking: finds what is there. Recovery then says what is in use (seq, last_lsn of each of files()).
  absl::Status Open();
  const std::vector<std::unique_ptr<WalFile>>& files() const { return files_; }
  void set_next_seq(uint32_t seq) { next_seq_ = seq; }
  // After recovery: files not in use that are not of the size wanted (their making was cut short, perhaps) go.
  void DropUnfinished();
  // Blocking, at start: a file is ready, or the error says why not.
  absl::Status MakeReady();
  // All files that are there: nothing is written into them, and they are removed at once when they are not needed.
  void MarkStale();
  bool HasStale() const;

  // A ready file with room for `bytes`, or nullptr: Prepare one and come back.
  WalFile* Take(uint64_t bytes);
  // Begins to make a file for batches of at least `bytes`, unless that is going on. Not before retry_at() after a
  // failure, unless there is room that was not there then.
  void Prepare(uint64_t bytes, Nanos now);
  void RetryNow() { retry_at_ = Nanos::max(); }
  // Nothing up to `lsn` is needed any more: more than `keep` files do not stay. `current` does.
  void Retire(Lsn lsn, const WalFile* current);

  // --- secure deletion (eraser.h)
  // All that is in these files now may have to go: zeros are written over it as soon as a file is not in use.
  void Taint();
  // Goes on with that; true: nothing of it is left.
  bool Clean();
  bool cleaning() const { return cleaned_.busy(); }
  bool HasClean() const;      // a ready file that needs no zeros
  bool TaintedInUse() const;

  bool preparing() const { return making_ != nullptr; }
  bool HasReady() const;
  bool full() const { return full_; }            // the last try to make a file met a full disk
  bool failing() const { return failing_; }      // ... or another error
  const std::string& error() const { return error_; }
  Nanos retry_at() const { return retry_at_; }   // Nanos::max(): nothing to retry
  uint64_t bytes() const;                        // of all files, the one being made included
  size_t in_use() const;                         // that hold records which may be needed
  // From Start of the log on: the files agree with each other, and what is under way has a file to work on.
  void Invariant() const;

  static std::string PathOf(uint32_t number);

 private:
  enum class Step : uint8_t { kFill, kSync, kSyncDirectory };

  void OnStep(const IoResult& result);
  void NextStep();
  void GiveUp(const absl::Status& status, uint64_t bytes);
  void GiveUp(int error, uint64_t bytes);
  uint64_t SizeFor(uint64_t bytes) const;
  void Drop(size_t index);
  void OnCleaned(const IoResult& result);

  Disk& disk_;
  const uint64_t file_bytes_;
  const uint32_t keep_;
  const uint64_t floor_bytes_;
  std::vector<std::unique_ptr<WalFile>> files_;
  uint32_t next_number_ = 1;
  uint32_t next_seq_ = 1;
  Disk::File directory_ = -1;

  Completion completion_;
  Step step_ = Step::kFill;
  std::unique_ptr<WalFile> making_;
  uint64_t filled_ = 0;
  char* zeros_ = nullptr;  // never written: all pages are the kernel's zero page
  Nanos now_{0};
  Nanos retry_at_ = Nanos::max();
  uint64_t wanted_ = 0;
  bool full_ = false;
  bool failing_ = false;
  std::string error_;

  Completion cleaned_;
  WalFile* cleaning_ = nullptr;   // it cannot be taken meanwhile
  uint64_t clean_bytes_ = 0;      // of it
  bool names_unsynced_ = false;   // files were removed: their names are to be gone from stable storage
};

}  // namespace millrace
