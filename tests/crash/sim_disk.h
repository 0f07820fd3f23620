// SPDX-License-Identifier: Apache-2.0
// SimDisk: a Disk in memory that knows which bytes are on stable storage, and which only look as if they were.
// Owner:  caller (a test).
// Model:  A write is visible at once and stable after a sync of its file that was asked for later and succeeded
//         (WriteDurable: that write alone). A change of a directory (create, rename, remove) is visible at once and
//         stable after a sync of the directory; what is not stable survives a crash as some prefix of the changes in
//         their order. Every 512-byte sector of a write that is not stable survives a crash or not, as the seed says.
//         After a failed sync the pages count as clean: a later sync does not make them stable (as Linux does it).
// Lock:   processes share the disk: the SimDisk itself is the first one's, Join() gives others theirs. Whoever reads or
//         changes anything while another process has a lock fails the run. A lock goes with its process, and in a
//         crash; its file is outside the model, for nothing rests on what it holds.
// Crash:  boundary() counts every point at which a crash would leave something else behind; on_boundary runs there and
//         may take a Survivor(): a new disk with what a crash at this point leaves.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "store/disk.h"

namespace millrace {

enum class Survival : uint8_t { kNothing, kEverything, kSome };

class SimDisk final : public Disk {
 public:
  explicit SimDisk(uint64_t seed) : random_(seed * 2 + 1) {}
  ~SimDisk() override;

  // Delivers the results of what was asked for before the call.
  void RunCompletions();
  bool busy() const { return !queue_.empty(); }
  // Another process on the same files; this outlives it. Its end, the Disk's, lets its locks go.
  std::unique_ptr<Disk> Join();

  // --- crash
  std::unique_ptr<SimDisk> Survivor(uint64_t seed, Survival survival, size_t sector_bytes = 512) const;
  uint64_t boundary() const { return boundary_; }
  std::function<void()> on_boundary;
  // From now on every operation fails and changes nothing: lets the owner of operations in flight be destroyed.
  void PullThePlug() { dead_ = true; }
  void PlugIn() { dead_ = false; }

  // --- faults; positions count from the next one, 0: the next
  void FailWrite(uint64_t skip, int error) { fail_write_[writes_ + skip] = error; }  // Write, WriteDurable, WriteNow
  void FailSync(uint64_t skip, int error) { fail_sync_[syncs_ + skip] = error; }     // Sync, WriteDurable, SyncNow
  void FailNothing() { fail_write_.clear(), fail_sync_.clear(); }  // of what was asked for and has not come
  void Misdirect(uint64_t skip, int64_t by) { misdirect_[writes_ + skip] = by; }
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }  // of all files
  void set_handles(bool on) { handles_ = on; }              // false: nothing more can be opened
  void set_quota_on(std::string_view prefix) { quota_on_ = prefix; }  // files there do not grow; "": none
  void set_short_reads(bool on) { short_reads_ = on; }      // TryRead gives less than asked, or nothing
  void FlipBit(std::string_view path, uint64_t offset, int bit);
  void Overwrite(std::string_view path, uint64_t offset, std::string_view bytes);

  // --- looking at it
  std::vector<std::string> Paths() const;
  std::string Content(std::string_view path) const;
  bool Has(std::string_view path) const { return names_.count(std::string(path)) != 0; }
  uint64_t used_bytes() const;
  uint64_t writes() const { return writes_; }
  uint64_t syncs() const { return syncs_; }

  // --- Disk
  absl::Status MakeDirectory(std::string_view path) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view directory) override;
  absl::StatusOr<File> Open(std::string_view path, FileUse use, bool create) override;
  void Close(File file) override;
  absl::StatusOr<uint64_t> Size(File file) override;
  absl::Status FillWithZeros(File file, uint64_t bytes) override;
  absl::Status Truncate(File file, uint64_t bytes) override;
  absl::Status Rename(std::string_view from, std::string_view to) override;
  absl::Status Remove(std::string_view path) override;
  absl::Status SyncDirectory(std::string_view path) override;
  absl::StatusOr<size_t> ReadNow(File file, uint64_t offset, char* to, size_t bytes) override;
  absl::Status WriteNow(File file, uint64_t offset, std::string_view bytes) override;
  absl::Status SyncNow(File file) override;
  absl::Status Allocate(File file, uint64_t bytes) override;
  absl::StatusOr<uint64_t> FreeBytes() override;
  absl::Status Lock(std::string_view path, std::string_view note) override;
  absl::StatusOr<uint64_t> TotalBytes() override { return capacity_; }
  int32_t TryRead(File file, uint64_t offset, char* to, size_t bytes) override;
  void Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) override;
  void Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) override;
  void WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) override;
  void Sync(File file, Completion* completion) override;
  void RemoveLater(std::string_view path) override { (void)Remove(path); }

 private:
  struct Pending {
    uint64_t id;  // grows
    uint64_t offset;
    std::string bytes;
    bool lost = false;  // its sync failed: no later sync makes it stable
    uint64_t truncate_to = UINT64_MAX;
  };
  struct Inode {
    std::string now;     // as seen
    std::string stable;
    std::vector<Pending> pending;
  };
  struct NameChange {
    std::string directory;
    std::string path;
    std::shared_ptr<Inode> inode;  // nullptr: removed
    std::string also_removed;      // rename: the old name
  };
  struct Handle {
    std::shared_ptr<Inode> inode;  // nullptr: a directory
    std::string path;
    FileUse use;
  };
  enum class Kind : uint8_t { kRead, kWrite, kWriteDurable, kSync };
  struct Request {
    Kind kind;
    Completion* completion;
    int32_t value;
    std::shared_ptr<Inode> inode;
    std::string directory;
    uint64_t id = 0;  // the write; sync: all pending up to here
  };

  class Process;
  struct Held {
    uint32_t process;  // 0: nobody
    std::string note;
  };
  void Touch() const;
  void Boundary();
  uint64_t Next();
  Handle& Get(File file);
  int32_t DoWrite(const Handle& handle, uint64_t offset, std::string_view bytes, uint64_t* id);
  static void Stabilise(Inode* inode, const std::function<bool(const Pending&)>& which);
  static void Lose(Inode* inode, uint64_t up_to);
  static void Apply(std::string* content, const Pending& write);
  int SyncFault();
  void StabiliseDirectory(const std::string& directory);
  void Change(NameChange change);
  static void ApplyName(std::map<std::string, std::shared_ptr<Inode>>* names, const NameChange& change);
  void Enqueue(Request request, Completion* completion);

  std::map<std::string, Held> locks_;
  uint32_t process_ = 1;  // whose call this is
  uint32_t processes_ = 1;
  std::map<std::string, std::shared_ptr<Inode>> names_;
  std::map<std::string, std::shared_ptr<Inode>> stable_names_;
  std::vector<NameChange> changes_;
  std::set<std::string> directories_;
  std::map<File, Handle> open_;
  File next_file_ = 3;
  std::deque<Request> queue_;
  uint64_t next_write_ = 1;
  uint64_t boundary_ = 0;
  uint64_t writes_ = 0;
  uint64_t syncs_ = 0;
  std::map<uint64_t, int> fail_write_;
  std::map<uint64_t, int> fail_sync_;
  std::map<uint64_t, int64_t> misdirect_;
  uint64_t capacity_ = UINT64_MAX;
  bool short_reads_ = false;
  bool handles_ = true;
  std::string quota_on_;
  bool dead_ = false;
  uint64_t random_;
};

}  // namespace millrace
