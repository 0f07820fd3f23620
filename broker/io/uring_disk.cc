// SPDX-License-Identifier: Apache-2.0
#include "broker/io/uring_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/io/file_lock.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

// One request moves at most this much; the rest follows in another (the kernel's own bound is 2 GiB).
constexpr size_t kRequestBytesMax = 64 << 20;

absl::Status Failed(std::string_view what, std::string_view path) {
  const int error = errno;
  const std::string text = absl::StrFormat("%s %s: %s", what, path, std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    case EMFILE:
    case ENFILE:
      return absl::UnavailableError(text);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(text);
    default:
      return absl::InternalError(text);
  }
}

std::string PathOfFile(int fd) {
  char path[4096];
  const ssize_t bytes = readlink(absl::StrFormat("/proc/self/fd/%d", fd).c_str(), path, sizeof path);
  return bytes < 0 ? absl::StrFormat("descriptor %d", fd) : std::string(path, static_cast<size_t>(bytes));
}

}  // namespace

// One asynchronous call, and the requests that it takes.
class UringDisk::Operation {
 public:
  explicit Operation(UringDisk& disk) : disk_(disk) {
    first_.Bind<&Operation::OnFirst>(this);
    second_.Bind<&Operation::OnSecond>(this);
  }

  void Start(Completion* user) {
    user_ = user;
    if (user_ != nullptr) user_->Started(0);
    done_ = 0;
    error_ = 0;
    then_sync_ = false;
  }

  void Read(File file, uint64_t offset, char* to, size_t bytes) {
    kind_ = Kind::kRead;
    disk_.io_.ReadFile(file, offset, to, static_cast<uint32_t>(std::min(bytes, kRequestBytesMax)), &first_);
  }
  void Write(File file, uint64_t offset, std::string_view bytes, bool durable) {
    file_ = file;
    offset_ = offset;
    bytes_ = bytes;
    if (!durable) {
      kind_ = Kind::kWrite;
    } else if (disk_.sync_.method == SyncMethod::kDirectDsync) {
      kind_ = Kind::kWriteDsync;
    } else {
      kind_ = Kind::kWriteThenSync;
    }
    Continue();
  }
  void Sync(File file) {
    kind_ = Kind::kSync;
    disk_.io_.SyncFile(file, &first_);
  }
  void Unlink(std::string_view path) {
    kind_ = Kind::kUnlink;
    path_ = path;
    disk_.io_.Unlink(disk_.root_, path_.c_str(), &first_);
  }

 private:
  enum class Kind : uint8_t { kRead, kWrite, kWriteDsync, kWriteThenSync, kSync, kUnlink };

  void Continue() {
    const std::string_view rest = bytes_.substr(done_, kRequestBytesMax);
    const bool last = done_ + rest.size() == bytes_.size();
    Io::WriteMode mode = Io::WriteMode::kPlain;
    if (kind_ == Kind::kWriteDsync) mode = Io::WriteMode::kDurable;
    then_sync_ = kind_ == Kind::kWriteThenSync && last;
    if (then_sync_) mode = Io::WriteMode::kThenNext;
    disk_.io_.WriteFile(file_, offset_ + done_, rest, mode, &first_);
    if (then_sync_) disk_.io_.SyncFile(file_, &second_);
  }

  void OnFirst(const IoResult& result) {
    if (!result.ok()) error_ = result.error();
    if (kind_ == Kind::kRead || kind_ == Kind::kSync || kind_ == Kind::kUnlink) return Finish(result.value);
    if (result.ok()) done_ += static_cast<size_t>(result.value);
    if (result.value == 0) error_ = EIO;  // a write of nothing would be repeated for ever
    if (!second_.busy()) Advance();
  }

  void OnSecond(const IoResult& result) {
    // Cancelled: the write before it was short or failed, and says so itself.
    if (!result.ok() && result.error() != ECANCELED) error_ = result.error();
    synced_ = result.ok();
    if (!first_.busy()) Advance();
  }

  void Advance() {
    if (error_ != 0) return Finish(-error_);
    if (done_ < bytes_.size()) return Continue();
    if (then_sync_ && !synced_) return Finish(-EIO);
    Finish(static_cast<int32_t>(std::min<size_t>(done_, INT32_MAX)));
  }

  void Finish(int32_t value) {
    Completion* user = std::exchange(user_, nullptr);
    disk_.Return(this);
    if (user != nullptr) user->Finish(IoResult{value, false, {}});
  }

  UringDisk& disk_;
  Completion first_;
  Completion second_;
  Completion* user_ = nullptr;
  Kind kind_ = Kind::kRead;
  bool then_sync_ = false;
  bool synced_ = false;
  int error_ = 0;
  File file_ = -1;
  uint64_t offset_ = 0;
  std::string_view bytes_;
  size_t done_ = 0;
  std::string path_;
};

absl::StatusOr<std::unique_ptr<UringDisk>> UringDisk::Open(Io& io, const std::string& directory,
                                                           const SyncProbe& sync) {
  for (size_t slash = directory.find('/', 1); slash != std::string::npos; slash = directory.find('/', slash + 1)) {
    mkdir(directory.substr(0, slash).c_str(), 0750);  // the last one tells
  }
  if (mkdir(directory.c_str(), 0750) != 0 && errno != EEXIST) return Failed("make directory", directory);
  const int root = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return Failed("open", directory);
  return std::unique_ptr<UringDisk>(new UringDisk(io, directory, root, sync));
}

UringDisk::UringDisk(Io& io, std::string path, int root, const SyncProbe& sync)
    : io_(io), root_path_(std::move(path)), root_(root), sync_(sync) {}

UringDisk::~UringDisk() {
  MR_CHECK(idle());
  for (const int lock : locks_) close(lock);  // ends it: nobody else has this open file description
  close(root_);
}

UringDisk::Operation* UringDisk::Take(Completion* user) {
  ++in_flight_;
  if (free_.empty()) {
    operations_.push_back(std::make_unique<Operation>(*this));
    free_.push_back(operations_.back().get());
  }
  Operation* operation = free_.back();
  free_.pop_back();
  operation->Start(user);
  return operation;
}

void UringDisk::Return(Operation* operation) {
  --in_flight_;
  free_.push_back(operation);
}

// --- blocking

absl::Status UringDisk::MakeDirectory(std::string_view path) {
  const std::string name(path);
  for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
    mkdirat(root_, name.substr(0, slash).c_str(), 0750);
  }
  if (mkdirat(root_, name.c_str(), 0750) == 0) {
    const size_t slash = name.rfind('/');
    return SyncDirectory(slash == std::string::npos ? "." : name.substr(0, slash));
  }
  return errno == EEXIST ? absl::OkStatus() : Failed("make directory", path);
}

absl::StatusOr<std::vector<std::string>> UringDisk::List(std::string_view directory) {
  std::vector<std::string> names;
  const int fd = openat(root_, directory.empty() ? "." : std::string(directory).c_str(),
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return names;
    return Failed("list", directory);
  }
  DIR* entries = fdopendir(fd);
  if (entries == nullptr) {
    close(fd);
    return Failed("list", directory);
  }
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(entries);
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Disk::File> UringDisk::Open(std::string_view path, FileUse use, bool create) {
  const std::string name(path);
  int flags = O_CLOEXEC | (use == FileUse::kRead ? O_RDONLY : O_RDWR) | (create ? O_CREAT : 0);
  if (use == FileUse::kDirect && sync_.direct) flags |= O_DIRECT;
  const int fd = openat(root_, name.c_str(), flags, 0640);
  if (fd < 0) return Failed("open", path);
  return fd;
}

void UringDisk::Close(File file) { close(file); }

absl::StatusOr<uint64_t> UringDisk::Size(File file) {
  struct stat info {};
  if (fstat(file, &info) != 0) return Failed("look at", PathOfFile(file));
  return static_cast<uint64_t>(info.st_size);
}

absl::Status UringDisk::FillWithZeros(File file, uint64_t bytes) {
  alignas(kDiskAlignment) static constexpr char kZeros[256 << 10] = {};
  for (uint64_t at = 0; at < bytes;) {
    const uint64_t want = std::min<uint64_t>(sizeof kZeros, bytes - at);
    const ssize_t done = pwrite(file, kZeros, want, static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return Failed("fill", PathOfFile(file));
    at += static_cast<uint64_t>(done);
  }
  if (fsync(file) != 0) return Failed("sync", PathOfFile(file));
  return absl::OkStatus();
}

absl::Status UringDisk::Truncate(File file, uint64_t bytes) {
  if (ftruncate(file, static_cast<off_t>(bytes)) != 0) return Failed("truncate", PathOfFile(file));
  return absl::OkStatus();
}

absl::Status UringDisk::Rename(std::string_view from, std::string_view to) {
  if (renameat(root_, std::string(from).c_str(), root_, std::string(to).c_str()) != 0) return Failed("rename", from);
  return absl::OkStatus();
}

absl::Status UringDisk::Remove(std::string_view path) {
  const std::string name(path);
  if (unlinkat(root_, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == EISDIR && (unlinkat(root_, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT)) {
    return absl::OkStatus();
  }
  return Failed("remove", path);
}

absl::Status UringDisk::SyncDirectory(std::string_view path) {
  const int fd = openat(root_, path.empty() ? "." : std::string(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed("open", path);
  const int rc = fsync(fd);
  const absl::Status status = rc == 0 ? absl::OkStatus() : Failed("sync", path);
  close(fd);
  return status;
}

absl::StatusOr<size_t> UringDisk::ReadNow(File file, uint64_t offset, char* to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(file, to + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read", PathOfFile(file));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status UringDisk::WriteNow(File file, uint64_t offset, std::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put = pwrite(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return Failed("write", PathOfFile(file));
    done += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

absl::Status UringDisk::SyncNow(File file) {
  if (fdatasync(file) != 0) return Failed("sync", PathOfFile(file));
  return absl::OkStatus();
}

absl::Status UringDisk::Allocate(File file, uint64_t bytes) {
  if (fallocate(file, 0, 0, static_cast<off_t>(bytes)) == 0) return absl::OkStatus();
  if (errno == EOPNOTSUPP) return FillWithZeros(file, bytes);
  return Failed("allocate", PathOfFile(file));
}

absl::StatusOr<uint64_t> UringDisk::TotalBytes() {
  struct statvfs info {};
  if (fstatvfs(root_, &info) != 0) return Failed("look at", root_path_);
  return static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
}

absl::StatusOr<uint64_t> UringDisk::FreeBytes() {
  struct statvfs info {};
  if (fstatvfs(root_, &info) != 0) return Failed("look at", root_path_);
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

absl::Status UringDisk::Lock(std::string_view path, std::string_view note) {
  MR_ASSIGN_OR_RETURN(const int lock, LockFile(root_, std::string(path), note));
  locks_.push_back(lock);
  return absl::OkStatus();
}

// --- asynchronous

int32_t UringDisk::TryRead(File file, uint64_t offset, char* to, size_t bytes) {
  const iovec part{to, bytes};
  const ssize_t got = preadv2(file, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  if (got >= 0) return static_cast<int32_t>(got);
  // A file system that cannot say whether it would wait: ask in the background.
  return errno == EOPNOTSUPP ? -EAGAIN : -errno;
}

void UringDisk::Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) {
  Take(completion)->Read(file, offset, to, bytes);
}

void UringDisk::Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) {
  Take(completion)->Write(file, offset, bytes, false);
}

void UringDisk::WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) {
  Take(completion)->Write(file, offset, bytes, true);
}

void UringDisk::Sync(File file, Completion* completion) { Take(completion)->Sync(file); }

void UringDisk::RemoveLater(std::string_view path) { Take(nullptr)->Unlink(path); }

}  // namespace millrace
