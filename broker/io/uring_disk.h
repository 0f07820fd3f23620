// SPDX-License-Identifier: Apache-2.0
// UringDisk: Disk on a directory of the file system, its asynchronous half on the shard's ring.
// Owner:  shard. Blocking calls may be made before the ring runs; asynchronous ones on the shard's thread only.
// Writes that the kernel does in part are continued until they are whole.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "broker/io/io.h"
#include "broker/io/sync_probe.h"
#include "store/disk.h"

namespace millrace {

class UringDisk final : public Disk {
 public:
  // Makes the directory if it is not there. `io` outlives the disk.
  static absl::StatusOr<std::unique_ptr<UringDisk>> Open(Io& io, const std::string& directory, const SyncProbe& sync);
  // Before any file is open: the way to write is found out when the directory is ours.
  void set_sync(const SyncProbe& sync) { sync_ = sync; }
  ~UringDisk() override;  // idle() only

  bool idle() const { return in_flight_ == 0; }
  const std::string& directory() const { return root_path_; }

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
  absl::StatusOr<uint64_t> TotalBytes() override;

  int32_t TryRead(File file, uint64_t offset, char* to, size_t bytes) override;
  void Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) override;
  void Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) override;
  void WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) override;
  void Sync(File file, Completion* completion) override;
  void RemoveLater(std::string_view path) override;

 private:
  class Operation;

  UringDisk(Io& io, std::string path, int root, const SyncProbe& sync);
  Operation* Take(Completion* user);
  void Return(Operation* operation);

  Io& io_;
  const std::string root_path_;
  const int root_;
  SyncProbe sync_;
  std::vector<int> locks_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<Operation*> free_;
  size_t in_flight_ = 0;
};

}  // namespace millrace
