// SPDX-License-Identifier: Apache-2.0
#include "store/log/wal_files.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/base/status.h"
#include "store/log/wal_format.h"

namespace millrace {
namespace {

constexpr uint64_t kFillBytes = 256 << 10;  // per write: small enough to leave the device to the log in between
constexpr Nanos kRetryAfter = std::chrono::seconds(1);
constexpr uint64_t kSmallestBytes = 64 << 10;  // of a file on a nearly full disk

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

WalFiles::WalFiles(Disk& disk, uint64_t file_bytes, uint32_t keep, uint64_t floor_bytes)
    : disk_(disk), file_bytes_(AlignUp(file_bytes)), keep_(keep), floor_bytes_(floor_bytes) {
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

uint64_t WalFiles::bytes() const {
  uint64_t bytes = making_ == nullptr ? 0 : making_->bytes;
  for (const auto& file : files_) bytes += file->bytes;
  return bytes;
}

size_t WalFiles::in_use() const {
  const auto used = [](const auto& file) { return file->seq != 0; };
  return static_cast<size_t>(std::count_if(files_.begin(), files_.end(), used));
}

void WalFiles::Invariant() const {
  bool cleaned_is_here = cleaning_ == nullptr;
  for (const auto& file : files_) {
    MR_CHECK_OP(file->number, <, next_number_);
    MR_CHECK_OP(file->seq, <, next_seq_);
    MR_CHECK_OP(file->end, <=, file->bytes);
    MR_CHECK_OP(file->dirty, <=, file->bytes);
    MR_CHECK(file->bytes % kDiskAlignment == 0 && file->end % kDiskAlignment == 0);
    // Only what is in use fails, or waits to go because of its key: neither is ever ready.
    MR_CHECK((!file->bad && !file->stale) || file->seq != 0);
    cleaned_is_here = cleaned_is_here || file.get() == cleaning_;
  }
  MR_CHECK(cleaned_is_here);
  if (cleaning_ != nullptr) {
    MR_CHECK(cleaning_->tainted && cleaning_->seq == 0);
    MR_CHECK_OP(clean_bytes_, <=, cleaning_->dirty);
  }
  MR_CHECK((making_ != nullptr) == completion_.busy());
  if (making_ != nullptr) MR_CHECK_OP(filled_, <=, making_->bytes);
  MR_CHECK(!full_ || !failing_);
}

WalFile* WalFiles::Take(uint64_t bytes) {
  WalFile* taken = nullptr;
  for (const auto& file : files_) {
    if (file->seq != 0 || file->bad || file->bytes < bytes || file.get() == cleaning_) continue;
    if (taken == nullptr || (taken->tainted && !file->tainted)) taken = file.get();
  }
  if (taken == nullptr) return nullptr;
  // Recovery tells old batches from new ones by this number, and no number at all from a file that is ready.
  MR_CHECK(next_seq_ != 0);
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
  const uint64_t size = SizeFor(wanted_);
  wanted_ = 0;
  if (size == 0) return GiveUp(ENOSPC, AlignUp(bytes));
  const uint32_t number = next_number_++;
  const absl::StatusOr<Disk::File> file = disk_.Open(PathOf(number), FileUse::kDirect, true);
  if (!file.ok()) return GiveUp(file.status(), size);
  making_ = std::make_unique<WalFile>();
  making_->file = *file;
  making_->number = number;
  making_->bytes = size;
  filled_ = 0;
  step_ = Step::kFill;
  NextStep();
}

// 0: there is no room for it. A try that must fail would take the last bytes from everybody for a moment.
uint64_t WalFiles::SizeFor(uint64_t bytes) const {
  // Nobody is helped by a reserve that is used up with the next batch; who has no place at all takes what there is.
  const uint64_t small = std::min(file_bytes_ / 16, kSmallestBytes);
  const uint64_t least = AlignUp(bytes == 0 ? file_bytes_ / 4 : std::max(bytes, small));
  const absl::StatusOr<uint64_t> free = disk_.FreeBytes();
  if (!free.ok()) return std::max(file_bytes_, least);
  if (*free < least + floor_bytes_) return 0;
  return std::max(std::min(file_bytes_, (*free - floor_bytes_) / 4 & ~uint64_t{kDiskAlignment - 1}), least);
}

absl::Status WalFiles::MakeReady() {
  if (HasReady()) return absl::OkStatus();
  const uint64_t size = SizeFor(0);
  if (size == 0) {
    GiveUp(ENOSPC, file_bytes_);
    return absl::ResourceExhaustedError(error_);
  }
  auto made = std::make_unique<WalFile>();
  made->number = next_number_++;
  made->bytes = size;
  absl::StatusOr<Disk::File> file = disk_.Open(PathOf(made->number), FileUse::kDirect, true);
  absl::Status status = file.status();
  if (status.ok()) {
    made->file = *file;
    status = disk_.FillWithZeros(made->file, size);
    if (status.ok()) status = disk_.SyncDirectory("wal");
    if (!status.ok()) {
      disk_.Close(made->file);
      (void)disk_.Remove(PathOf(made->number));
    }
  }
  if (!status.ok()) {
    GiveUp(status, size);
    return status;
  }
  files_.push_back(std::move(made));
  full_ = failing_ = false;
  return absl::OkStatus();
}

void WalFiles::NextStep() {
  MR_CHECK(making_ != nullptr && !completion_.busy());
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
  MR_CHECK(making_ != nullptr);
  if (!result.ok()) {
    const uint64_t bytes = making_->bytes;
    disk_.Close(making_->file);
    disk_.RemoveLater(PathOf(making_->number));
    making_ = nullptr;
    return GiveUp(result.error(), bytes);
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

void WalFiles::GiveUp(const absl::Status& status, uint64_t bytes) {
  if (absl::IsResourceExhausted(status)) return GiveUp(ENOSPC, bytes);
  if (absl::IsUnavailable(status)) return GiveUp(EMFILE, bytes);
  GiveUp(EIO, bytes);
  error_ += absl::StrFormat(" (%s)", std::string(status.message()));
}

void WalFiles::GiveUp(int error, uint64_t bytes) {
  full_ = error == ENOSPC || error == EDQUOT;
  failing_ = !full_;
  if (full_) {
    error_ = absl::StrFormat("the disk is full: another file of the write-ahead log takes %d bytes, %d are free", bytes,
                             disk_.FreeBytes().value_or(0));
  } else if (error == EMFILE || error == ENFILE) {
    error_ =
        "no file can be opened for the write-ahead log: too many are open; raise the limit (ulimit -n, LimitNOFILE)";
  } else {
    error_ = absl::StrFormat("another file of the write-ahead log cannot be made: %s", std::strerror(error));
  }
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
    MR_CHECK(&file != cleaning_ || file.seq == 0);
    file.seq = 0;
    ++ready;
  }
  if (ready > 0) full_ = failing_ = false;  // the next try will tell
  // Those of another size go first, and do not stay where there is one that is right. One is always left.
  const auto goes = [this](bool of_another_size) {
    return std::find_if(files_.begin(), files_.end(), [&](const auto& file) {
      const bool unused = file->seq == 0 && !file->bad && file.get() != cleaning_;
      return unused && (!of_another_size || file->bytes != file_bytes_);
    });
  };
  for (; ready > 1; --ready) {
    auto file = goes(true);
    if (file == files_.end() && files_.size() > keep_) file = goes(false);
    if (file == files_.end()) break;
    Drop(static_cast<size_t>(file - files_.begin()));
  }
}

void WalFiles::DropUnfinished() {
  for (size_t i = files_.size(); i-- > 0;) {
    if (files_[i]->seq == 0 && (files_[i]->bytes != file_bytes_ || files_[i]->stale)) Drop(i);
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
    MR_CHECK(at != files_.end());
    cleaning_ = nullptr;
    return Drop(static_cast<size_t>(at - files_.begin()));
  }
  if (clean_bytes_ < cleaning_->dirty) {
    clean_bytes_ += std::min(kFillBytes, cleaning_->dirty - clean_bytes_);
    return;
  }
  MR_CHECK(cleaning_->seq == 0);  // nobody has taken it meanwhile
  cleaning_->dirty = cleaning_->end = 0;
  cleaning_->tainted = false;
  cleaning_ = nullptr;
}

void WalFiles::Drop(size_t index) {
  WalFile& file = *files_[index];
  MR_CHECK(&file != cleaning_);  // zeros may be on their way into it
  disk_.Close(file.file);
  const std::string path = PathOf(file.number);
  names_unsynced_ = names_unsynced_ || file.tainted;
  if (!(file.stale || file.tainted) || !disk_.Remove(path).ok()) disk_.RemoveLater(path);
  files_.erase(files_.begin() + static_cast<ptrdiff_t>(index));
}

}  // namespace millrace
