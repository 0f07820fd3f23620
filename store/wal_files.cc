// SPDX-License-Identifier: Apache-2.0
#include "store/wal_files.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/status.h"
#include "store/wal_format.h"

namespace millrace {
namespace {

constexpr uint64_t kFillBytes = 256 << 10;  // per write: small enough to leave the device to the log in between
constexpr Nanos kRetryAfter = std::chrono::seconds(1);

bool ParseName(const std::string& name, uint32_t* number) {
  if (name.size() != 10 || name.substr(6) != ".wal") return false;
  *number = 0;
  for (int i = 0; i < 6; ++i) {
    if (name[i] < '0' || name[i] > '9') return false;
    *number = *number * 10 + static_cast<uint32_t>(name[i] - '0');
  }
  return true;
}

}  // namespace

WalFiles::WalFiles(Disk& disk, uint64_t file_bytes, uint64_t file_bytes_max, uint32_t keep)
    : disk_(disk), file_bytes_(AlignUp(file_bytes)), file_bytes_max_(AlignUp(file_bytes_max)), keep_(keep) {
  completion_.Bind<&WalFiles::OnStep>(this);
  cleaned_.Bind<&WalFiles::OnCleaned>(this);
  void* zeros = mmap(nullptr, kFillBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MR_CHECK(zeros != MAP_FAILED);
  zeros_ = static_cast<char*>(zeros);
}

WalFiles::~WalFiles() {
  if (making_ != nullptr) disk_.Close(making_->file);
  for (const auto& file : files_) disk_.Close(file->file);
  if (directory_ >= 0) disk_.Close(directory_);
  munmap(zeros_, kFillBytes);
}

std::string WalFiles::PathOf(uint32_t number) { return absl::StrFormat("wal/%06u.wal", number); }

absl::Status WalFiles::Open() {
  MR_RETURN_IF_ERROR(disk_.MakeDirectory("wal"));
  MR_ASSIGN_OR_RETURN(directory_, disk_.Open("wal", FileUse::kRead, false));
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_.List("wal"));
  for (const std::string& name : names) {
    auto file = std::make_unique<WalFile>();
    if (!ParseName(name, &file->number)) continue;
    next_number_ = std::max(next_number_, file->number + 1);
    MR_ASSIGN_OR_RETURN(file->file, disk_.Open(PathOf(file->number), FileUse::kDirect, false));
    files_.push_back(std::move(file));
    MR_ASSIGN_OR_RETURN(const uint64_t bytes, disk_.Size(files_.back()->file));
    files_.back()->bytes = files_.back()->dirty = bytes & ~uint64_t{kDiskAlignment - 1};
  }
  // A file made just before a crash of the process alone may be here without its name being on stable storage.
  return disk_.SyncDirectory("wal");
}

bool WalFiles::HasReady() const {
  return std::any_of(files_.begin(), files_.end(), [](const auto& file) { return file->seq == 0 && !file->bad; });
}

uint64_t WalFiles::used_bytes() const {
  uint64_t bytes = 0;
  for (const auto& file : files_) bytes += file->seq == 0 ? 0 : file->bytes;
  return bytes;
}

WalFile* WalFiles::Take(uint64_t bytes) {
  WalFile* taken = nullptr;
  for (const auto& file : files_) {
    if (file->seq != 0 || file->bad || file->bytes < bytes || file.get() == cleaning_) continue;
    if (taken == nullptr || (taken->tainted && !file->tainted)) taken = file.get();
  }
  if (taken == nullptr) return nullptr;
  taken->seq = next_seq_++;
  taken->dirty = std::max(taken->dirty, taken->end);
  taken->end = 0;
  taken->last_lsn = 0;
  return taken;
}

void WalFiles::Prepare(uint64_t bytes, Nanos now) {
  now_ = now;
  wanted_ = std::max(wanted_, bytes);
  if (making_ != nullptr || (retry_at_ != Nanos::max() && now < retry_at_)) return;
  // Traffic that outgrows the first few files gets larger ones: fewer changes of file, the same number of names.
  const uint64_t above = files_.size() >= keep_ ? std::min<uint64_t>(files_.size() - keep_ + 1, 16) : 0;
  const uint64_t size = std::max(std::min(file_bytes_max_, file_bytes_ << above), AlignUp(wanted_));
  wanted_ = 0;
  const uint32_t number = next_number_++;
  const absl::StatusOr<Disk::File> file = disk_.Open(PathOf(number), FileUse::kDirect, true);
  if (!file.ok()) return GiveUp(absl::IsResourceExhausted(file.status()) ? ENOSPC : EIO, file.status().ToString());
  making_ = std::make_unique<WalFile>();
  making_->file = *file;
  making_->number = number;
  making_->bytes = size;
  filled_ = 0;
  step_ = Step::kFill;
  NextStep();
}

void WalFiles::NextStep() {
  switch (step_) {
    case Step::kFill:
      return disk_.Write(making_->file, filled_, {zeros_, std::min(kFillBytes, making_->bytes - filled_)},
                         &completion_);
    case Step::kSync:
      return disk_.Sync(making_->file, &completion_);
    case Step::kSyncDirectory:
      return disk_.Sync(directory_, &completion_);
  }
}

void WalFiles::OnStep(const IoResult& result) {
  if (!result.ok()) {
    const std::string path = PathOf(making_->number);
    disk_.Close(making_->file);
    disk_.RemoveLater(path);
    making_ = nullptr;
    return GiveUp(result.error(), absl::StrFormat("make %s: %s", path, std::strerror(result.error())));
  }
  switch (step_) {
    case Step::kFill:
      filled_ += std::min(kFillBytes, making_->bytes - filled_);
      if (filled_ == making_->bytes) step_ = Step::kSync;
      break;
    case Step::kSync:
      step_ = Step::kSyncDirectory;
      break;
    case Step::kSyncDirectory:
      files_.push_back(std::move(making_));
      full_ = failing_ = false;
      retry_at_ = Nanos::max();
      return;
  }
  NextStep();
}

void WalFiles::GiveUp(int error, std::string what) {
  full_ = error == ENOSPC || error == EDQUOT;
  failing_ = !full_;
  error_ = std::move(what);
  retry_at_ = now_ + kRetryAfter;
}

void WalFiles::Retire(Lsn lsn, const WalFile* current) {
  size_t ready = 0;
  for (size_t i = files_.size(); i-- > 0;) {
    WalFile& file = *files_[i];
    if (&file == current || file.last_lsn > lsn) continue;
    if (file.bad || file.stale) {
      Drop(i);
      continue;
    }
    file.seq = 0;
    ++ready;
  }
  while (ready > keep_) {  // the smallest go
    size_t smallest = files_.size();
    for (size_t i = 0; i < files_.size(); ++i) {
      if (files_[i]->seq != 0 || files_[i]->bad || files_[i].get() == cleaning_) continue;
      if (smallest == files_.size() || files_[i]->bytes < files_[smallest]->bytes) smallest = i;
    }
    if (smallest == files_.size()) break;
    Drop(smallest);
    --ready;
  }
}

void WalFiles::DropUnfinished() {
  for (size_t i = files_.size(); i-- > 0;) {
    if (files_[i]->seq == 0 && (files_[i]->bytes < file_bytes_ || files_[i]->stale)) Drop(i);
  }
}

void WalFiles::MarkStale() {
  for (const auto& file : files_) file->stale = true;
}

bool WalFiles::HasStale() const {
  return std::any_of(files_.begin(), files_.end(), [](const auto& file) { return file->stale; });
}

// --- secure deletion

void WalFiles::Taint() {
  for (const auto& file : files_) {
    file->dirty = std::max(file->dirty, file->end);
    file->tainted = file->tainted || file->seq != 0 || file->dirty > 0;
  }
  names_unsynced_ = true;  // what was removed before may come back as well
}

bool WalFiles::HasClean() const {
  return std::any_of(files_.begin(), files_.end(),
                     [](const auto& file) { return file->seq == 0 && !file->bad && !file->tainted; });
}

bool WalFiles::TaintedInUse() const {
  return std::any_of(files_.begin(), files_.end(), [](const auto& file) { return file->tainted && file->seq != 0; });
}

bool WalFiles::Clean() {
  if (cleaned_.busy()) return false;
  if (cleaning_ == nullptr) {
    for (const auto& file : files_) {
      if (file->tainted && file->seq == 0 && !file->bad) cleaning_ = file.get();
    }
    if (cleaning_ != nullptr) {
      cleaning_->dirty = std::max(cleaning_->dirty, cleaning_->end);
      clean_bytes_ = 0;
    }
  }
  if (cleaning_ != nullptr) {
    const uint64_t bytes = std::min(kFillBytes, cleaning_->dirty - clean_bytes_);
    if (bytes > 0) {
      disk_.Write(cleaning_->file, clean_bytes_, {zeros_, bytes}, &cleaned_);
    } else {
      disk_.Sync(cleaning_->file, &cleaned_);
    }
    return false;
  }
  if (names_unsynced_) {
    disk_.Sync(directory_, &cleaned_);
    return false;
  }
  return std::none_of(files_.begin(), files_.end(), [](const auto& file) { return file->tainted; });
}

void WalFiles::OnCleaned(const IoResult& result) {
  if (cleaning_ == nullptr) {
    names_unsynced_ = !result.ok();
    return;
  }
  if (!result.ok()) {  // what of it is zeros nobody knows: the file goes
    const auto at = std::find_if(files_.begin(), files_.end(), [this](const auto& f) { return f.get() == cleaning_; });
    cleaning_ = nullptr;
    return Drop(static_cast<size_t>(at - files_.begin()));
  }
  if (clean_bytes_ < cleaning_->dirty) {
    clean_bytes_ += std::min(kFillBytes, cleaning_->dirty - clean_bytes_);
    return;
  }
  cleaning_->dirty = cleaning_->end = 0;
  cleaning_->tainted = false;
  cleaning_ = nullptr;
}

void WalFiles::Drop(size_t index) {
  WalFile& file = *files_[index];
  disk_.Close(file.file);
  const std::string path = PathOf(file.number);
  names_unsynced_ = names_unsynced_ || file.tainted;
  if (!(file.stale || file.tainted) || !disk_.Remove(path).ok()) disk_.RemoveLater(path);
  files_.erase(files_.begin() + static_cast<ptrdiff_t>(index));
}

}  // namespace millrace
