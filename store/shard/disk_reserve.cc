// SPDX-License-Identifier: Apache-2.0
#include "store/shard/disk_reserve.h"

namespace millrace {
namespace {

constexpr char kPath[] = "reserve";

}  // namespace

void DiskReserve::Open() {
  const absl::StatusOr<Disk::File> file = disk_.Open(kPath, FileUse::kWrite, false);
  if (!file.ok()) return;
  const absl::StatusOr<uint64_t> size = disk_.Size(*file);
  disk_.Close(*file);
  held_ = size.ok() && *size == bytes_;
  if (!held_) (void)disk_.Remove(kPath);
}

void DiskReserve::Make() {
  if (held_ || bytes_ == 0) return;
  const absl::StatusOr<Disk::File> file = disk_.Open(kPath, FileUse::kWrite, true);
  if (!file.ok()) return;
  held_ = disk_.Allocate(*file, bytes_).ok();
  disk_.Close(*file);
  if (!held_) (void)disk_.Remove(kPath);
}

void DiskReserve::Release() {
  if (held_) (void)disk_.Remove(kPath);
  held_ = false;
}

}  // namespace millrace
