// SPDX-License-Identifier: Apache-2.0
// Disk: everything the store asks of the file system. UringDisk (broker/io) is the kernel's; SimDisk (tests/crash)
//         forgets what was not synced, tears writes, flips bits and fails on request.
// Owner:  shard. Only its thread calls it. Results of asynchronous calls arrive through their Completion, never from
//         inside the call that starts them.
// Paths:  relative to the directory that the Disk was opened on, with '/' between names.
// Lock:   two processes that write into one directory destroy what both have stored. Whoever opens a store locks it
//         before the first read (store_lock.h); nothing else here looks at it.
// Errors: blocking calls say absl::Status with the path and the system's words (no space: kResourceExhausted, no file
//         handle: kUnavailable); asynchronous ones IoResult.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/base/completion.h"

namespace millrace {

// How a file is used. kDirect: aligned to kDiskAlignment in memory, offset and length, past the page cache.
enum class FileUse : uint8_t { kRead, kWrite, kDirect };

inline constexpr size_t kDiskAlignment = 4096;
constexpr uint64_t AlignUp(uint64_t bytes) { return (bytes + kDiskAlignment - 1) & ~uint64_t{kDiskAlignment - 1}; }

class Disk {
 public:
  using File = int32_t;

  virtual ~Disk() = default;

  // --- blocking: at start, for administration, and for small cold reads
  virtual absl::Status MakeDirectory(std::string_view path) = 0;  // parents too; fine if it is there
  virtual absl::StatusOr<std::vector<std::string>> List(std::string_view directory) = 0;  // sorted; absent: empty
  // A directory may be opened with kRead, for Sync only: its entries reach stable storage without a wait.
  virtual absl::StatusOr<File> Open(std::string_view path, FileUse use, bool create) = 0;
  virtual void Close(File file) = 0;
  virtual absl::StatusOr<uint64_t> Size(File file) = 0;
  // Makes the file `bytes` long with written zeros (not holes, not unwritten extents) and syncs it.
  virtual absl::Status FillWithZeros(File file, uint64_t bytes) = 0;
  virtual absl::Status Truncate(File file, uint64_t bytes) = 0;
  virtual absl::Status Rename(std::string_view from, std::string_view to) = 0;
  virtual absl::Status Remove(std::string_view path) = 0;  // a file, or an empty directory; fine if it is absent
  virtual absl::Status SyncDirectory(std::string_view path) = 0;
  virtual absl::StatusOr<size_t> ReadNow(File file, uint64_t offset, char* to, size_t bytes) = 0;  // short at the end
  virtual absl::Status WriteNow(File file, uint64_t offset, std::string_view bytes) = 0;
  virtual absl::Status SyncNow(File file) = 0;
  // Makes the file `bytes` long with places of its own, whatever they hold.
  virtual absl::Status Allocate(File file, uint64_t bytes) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes() = 0;  // what a write may still take
  virtual absl::StatusOr<uint64_t> TotalBytes() = 0;  // of the volume, used or not
  // Takes the file for this Disk alone, until it is destroyed or the process ends, however that ends; `note` stands in
  // the file then. Somebody else has it: kAlreadyExists, the message is the note they left, and nothing has changed.
  // No locks are to be had in this file system: kUnimplemented.
  virtual absl::Status Lock(std::string_view path, std::string_view note) = 0;

  // --- asynchronous
  // What is in the page cache at once: bytes read, or -EAGAIN when it would block.
  virtual int32_t TryRead(File file, uint64_t offset, char* to, size_t bytes) = 0;
  virtual void Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) = 0;
  // Writes all of it or fails; the bytes stay in place until the result.
  virtual void Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) = 0;
  // Write, and then to stable storage, by the method that a probe at start found to be the fastest safe one.
  virtual void WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) = 0;
  virtual void Sync(File file, Completion* completion) = 0;
  // Unlinking a large file takes time; this does not wait for it.
  virtual void RemoveLater(std::string_view path) = 0;
};

}  // namespace millrace
