// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

absl::Status Error(int error, std::string_view what) {
  const std::string text = absl::StrFormat("%s: %s", what, std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(text);
  if (error == EMFILE) return absl::UnavailableError(text);
  if (error == ENOENT) return absl::NotFoundError(text);
  return absl::InternalError(text);
}

}  // namespace

// Says on whose behalf the disk is called.
class SimDisk::Process final : public Disk {
 public:
  Process(SimDisk& disk, uint32_t id) : disk_(disk), id_(id) {}
  ~Process() override {
    for (auto& [path, held] : disk_.locks_) {
      if (held.process == id_) held.process = 0;
    }
  }
  absl::Status MakeDirectory(std::string_view path) override { return As().MakeDirectory(path); }
  absl::StatusOr<std::vector<std::string>> List(std::string_view directory) override { return As().List(directory); }
  absl::StatusOr<File> Open(std::string_view path, FileUse use, bool create) override {
    return As().Open(path, use, create);
  }
  void Close(File file) override { As().Close(file); }
  absl::StatusOr<uint64_t> Size(File file) override { return As().Size(file); }
  absl::Status FillWithZeros(File file, uint64_t bytes) override { return As().FillWithZeros(file, bytes); }
  absl::Status Truncate(File file, uint64_t bytes) override { return As().Truncate(file, bytes); }
  absl::Status Rename(std::string_view from, std::string_view to) override { return As().Rename(from, to); }
  absl::Status Remove(std::string_view path) override { return As().Remove(path); }
  absl::Status SyncDirectory(std::string_view path) override { return As().SyncDirectory(path); }
  absl::StatusOr<size_t> ReadNow(File file, uint64_t offset, char* to, size_t bytes) override {
    return As().ReadNow(file, offset, to, bytes);
  }
  absl::Status WriteNow(File file, uint64_t offset, std::string_view bytes) override {
    return As().WriteNow(file, offset, bytes);
  }
  absl::Status SyncNow(File file) override { return As().SyncNow(file); }
  absl::Status Allocate(File file, uint64_t bytes) override { return As().Allocate(file, bytes); }
  absl::StatusOr<uint64_t> FreeBytes() override { return As().FreeBytes(); }
  absl::StatusOr<uint64_t> TotalBytes() override { return As().TotalBytes(); }
  absl::Status Lock(std::string_view path, std::string_view note) override { return As().Lock(path, note); }
  int32_t TryRead(File file, uint64_t offset, char* to, size_t bytes) override {
    return As().TryRead(file, offset, to, bytes);
  }
  void Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) override {
    As().Read(file, offset, to, bytes, completion);
  }
  void Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) override {
    As().Write(file, offset, bytes, completion);
  }
  void WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) override {
    As().WriteDurable(file, offset, bytes, completion);
  }
  void Sync(File file, Completion* completion) override { As().Sync(file, completion); }
  void RemoveLater(std::string_view path) override { As().RemoveLater(path); }

 private:
  SimDisk& As() {
    disk_.process_ = id_;
    return disk_;
  }
  SimDisk& disk_;
  const uint32_t id_;
};

SimDisk::~SimDisk() { MR_CHECK(queue_.empty()); }

std::unique_ptr<Disk> SimDisk::Join() { return std::make_unique<Process>(*this, ++processes_); }

void SimDisk::Touch() const {
  for (const auto& [path, held] : locks_) MR_CHECK(held.process == 0 || held.process == process_);
}

absl::Status SimDisk::Lock(std::string_view path, std::string_view note) {
  Held& held = locks_[std::string(path)];
  if (held.process != 0) return absl::AlreadyExistsError(held.note);
  held = {process_, std::string(note)};
  return absl::OkStatus();
}

uint64_t SimDisk::Next() {  // splitmix64
  uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void SimDisk::Boundary() {
  if (dead_) return;
  ++boundary_;
  if (on_boundary) on_boundary();
}

SimDisk::Handle& SimDisk::Get(File file) {
  const auto at = open_.find(file);
  MR_CHECK(at != open_.end());
  return at->second;
}

void SimDisk::Apply(std::string* content, const Pending& write) {
  if (write.truncate_to != UINT64_MAX) return content->resize(write.truncate_to);
  if (content->size() < write.offset + write.bytes.size()) content->resize(write.offset + write.bytes.size());
  content->replace(write.offset, write.bytes.size(), write.bytes);
}

void SimDisk::Stabilise(Inode* inode, const std::function<bool(const Pending&)>& which) {
  for (const Pending& write : inode->pending) {
    if (write.lost || !which(write)) continue;
    Apply(&inode->stable, write);
    // What an older write put there cannot come back: where it would survive, it now says the same.
    for (Pending& older : inode->pending) {
      if (older.id >= write.id) break;
      const uint64_t from = std::max(older.offset, write.offset);
      const uint64_t to = std::min(older.offset + older.bytes.size(), write.offset + write.bytes.size());
      if (from < to) older.bytes.replace(from - older.offset, to - from, write.bytes, from - write.offset, to - from);
    }
  }
  std::erase_if(inode->pending, [&which](const Pending& write) { return !write.lost && which(write); });
}

void SimDisk::Lose(Inode* inode, uint64_t up_to) {
  for (Pending& write : inode->pending) {
    if (write.id <= up_to) write.lost = true;
  }
}

std::unique_ptr<SimDisk> SimDisk::Survivor(uint64_t seed, Survival survival, size_t sector_bytes) const {
  auto disk = std::make_unique<SimDisk>(seed);
  disk->directories_ = directories_;
  const auto keeps = [&] {
    return survival == Survival::kEverything || (survival == Survival::kSome && (disk->Next() & 1) != 0);
  };
  size_t kept_changes = survival == Survival::kEverything ? changes_.size() : 0;
  if (survival == Survival::kSome) kept_changes = disk->Next() % (changes_.size() + 1);
  std::map<std::string, std::shared_ptr<Inode>> names = stable_names_;
  for (size_t i = 0; i < kept_changes; ++i) ApplyName(&names, changes_[i]);
  for (const auto& [path, inode] : names) {
    auto copy = std::make_shared<Inode>();
    copy->stable = inode->stable;
    for (const Pending& write : inode->pending) {
      if (write.truncate_to != UINT64_MAX) {
        if (keeps()) Apply(&copy->stable, write);
        continue;
      }
      // Half of the time a write survives whole or not at all, so that many sectors do not always mean a torn one.
      const bool whole = survival == Survival::kSome && (disk->Next() & 1) != 0;
      const bool whole_kept = keeps();
      for (size_t at = 0; at < write.bytes.size(); at += sector_bytes) {
        if (!(whole ? whole_kept : keeps())) continue;
        Apply(&copy->stable, Pending{0, write.offset + at, write.bytes.substr(at, sector_bytes)});
      }
    }
    copy->now = copy->stable;
    disk->names_[path] = copy;
  }
  disk->stable_names_ = disk->names_;
  disk->capacity_ = capacity_;
  return disk;
}

void SimDisk::FlipBit(std::string_view path, uint64_t offset, int bit) {
  Inode& inode = *names_.at(std::string(path));
  inode.now[offset] = static_cast<char>(inode.now[offset] ^ (1 << bit));
  if (offset < inode.stable.size()) inode.stable[offset] = inode.now[offset];
}

void SimDisk::Overwrite(std::string_view path, uint64_t offset, std::string_view bytes) {
  Inode& inode = *names_.at(std::string(path));
  Apply(&inode.now, Pending{0, offset, std::string(bytes)});
  Apply(&inode.stable, Pending{0, offset, std::string(bytes)});
}

std::vector<std::string> SimDisk::Paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : names_) paths.push_back(path);
  return paths;
}

std::string SimDisk::Content(std::string_view path) const { return names_.at(std::string(path))->now; }

uint64_t SimDisk::used_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [path, inode] : names_) bytes += inode->now.size();
  return bytes;
}

// --- names

void SimDisk::ApplyName(std::map<std::string, std::shared_ptr<Inode>>* names, const NameChange& change) {
  if (!change.also_removed.empty()) names->erase(change.also_removed);
  if (change.inode == nullptr) {
    names->erase(change.path);
  } else {
    (*names)[change.path] = change.inode;
  }
}

void SimDisk::Change(NameChange change) {
  ApplyName(&names_, change);
  changes_.push_back(std::move(change));
  Boundary();
}

void SimDisk::StabiliseDirectory(const std::string& directory) {
  for (const NameChange& change : changes_) {
    if (change.directory == directory) ApplyName(&stable_names_, change);
  }
  std::erase_if(changes_, [&directory](const NameChange& change) { return change.directory == directory; });
}

absl::Status SimDisk::MakeDirectory(std::string_view path) {
  Touch();
  for (std::string at(path); !at.empty(); at = DirectoryOf(at)) directories_.insert(at);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimDisk::List(std::string_view directory) {
  Touch();
  std::vector<std::string> names;
  const std::string prefix = directory.empty() ? "" : std::string(directory) + "/";
  for (const auto& [path, inode] : names_) {
    if (path.size() <= prefix.size() || path.compare(0, prefix.size(), prefix) != 0) continue;
    std::string name = path.substr(prefix.size());
    if (name.find('/') == std::string::npos) names.push_back(std::move(name));
  }
  for (const std::string& path : directories_) {
    if (path.size() <= prefix.size() || path.compare(0, prefix.size(), prefix) != 0) continue;
    std::string name = path.substr(prefix.size());
    if (name.find('/') == std::string::npos) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Disk::File> SimDisk::Open(std::string_view path, FileUse use, bool create) {
  Touch();
  if (dead_) return Error(EIO, path);
  if (!handles_) return Error(EMFILE, path);
  const std::string name(path);
  std::shared_ptr<Inode> inode;
  if (directories_.count(name) == 0) {
    const auto at = names_.find(name);
    if (at != names_.end()) {
      inode = at->second;
    } else if (!create) {
      return Error(ENOENT, path);
    } else {
      if (!DirectoryOf(name).empty() && directories_.count(DirectoryOf(name)) == 0) return Error(ENOENT, path);
      inode = std::make_shared<Inode>();
      Change({DirectoryOf(name), name, inode, ""});
    }
  }
  const File file = next_file_++;
  open_[file] = Handle{std::move(inode), name, use};
  return file;
}

void SimDisk::Close(File file) {
  MR_CHECK(open_.erase(file) == 1);
}

absl::Status SimDisk::Rename(std::string_view from, std::string_view to) {
  Touch();
  if (dead_) return Error(EIO, from);
  const auto at = names_.find(std::string(from));
  if (at == names_.end()) return Error(ENOENT, from);
  Change({DirectoryOf(std::string(to)), std::string(to), at->second, std::string(from)});
  return absl::OkStatus();
}

absl::Status SimDisk::Remove(std::string_view path) {
  Touch();
  if (dead_) return Error(EIO, path);
  const std::string name(path);
  if (directories_.erase(name) == 0 && names_.count(name) != 0) Change({DirectoryOf(name), name, nullptr, ""});
  return absl::OkStatus();
}

absl::Status SimDisk::SyncDirectory(std::string_view path) {
  Touch();
  if (dead_) return Error(EIO, path);
  Boundary();
  if (const int error = SyncFault()) return Error(error, path);
  StabiliseDirectory(std::string(path));
  Boundary();
  return absl::OkStatus();
}

// --- content

absl::StatusOr<uint64_t> SimDisk::Size(File file) { return Get(file).inode->now.size(); }

int32_t SimDisk::DoWrite(const Handle& handle, uint64_t offset, std::string_view bytes, uint64_t* id) {
  Inode* inode = handle.inode.get();
  if (dead_) return -EIO;
  const uint64_t nth = writes_++;
  if (const auto at = fail_write_.find(nth); at != fail_write_.end()) return -at->second;
  if (const auto at = misdirect_.find(nth); at != misdirect_.end()) offset += static_cast<uint64_t>(at->second);
  const uint64_t end = offset + bytes.size();
  const uint64_t growth = end > inode->now.size() ? end - inode->now.size() : 0;
  if (growth > 0 && used_bytes() + growth > capacity_) return -ENOSPC;
  if (growth > 0 && !quota_on_.empty() && handle.path.starts_with(quota_on_)) return -EDQUOT;
  Pending write{next_write_++, offset, std::string(bytes)};
  *id = write.id;
  Apply(&inode->now, write);
  inode->pending.push_back(std::move(write));
  return static_cast<int32_t>(bytes.size());
}

int SimDisk::SyncFault() {
  if (dead_) return EIO;
  const auto at = fail_sync_.find(syncs_++);
  return at == fail_sync_.end() ? 0 : at->second;
}

absl::Status SimDisk::FillWithZeros(File file, uint64_t bytes) {
  Touch();
  const Handle handle = Get(file);
  uint64_t id;
  if (const int32_t rc = DoWrite(handle, 0, std::string(bytes, '\0'), &id); rc < 0) {
    return Error(-rc, handle.path);
  }
  return SyncNow(file);
}

absl::Status SimDisk::Truncate(File file, uint64_t bytes) {
  Touch();
  const Handle handle = Get(file);
  if (dead_) return Error(EIO, handle.path);
  Pending change{next_write_++, 0, ""};
  change.truncate_to = bytes;
  Apply(&handle.inode->now, change);
  handle.inode->pending.push_back(std::move(change));
  Boundary();
  return absl::OkStatus();
}

absl::StatusOr<size_t> SimDisk::ReadNow(File file, uint64_t offset, char* to, size_t bytes) {
  Touch();
  const Handle& handle = Get(file);
  if (dead_) return Error(EIO, handle.path);
  const std::string& content = handle.inode->now;
  if (offset >= content.size()) return size_t{0};
  bytes = std::min<uint64_t>(bytes, content.size() - offset);
  std::memcpy(to, content.data() + offset, bytes);
  return bytes;
}

absl::Status SimDisk::WriteNow(File file, uint64_t offset, std::string_view bytes) {
  Touch();
  const Handle handle = Get(file);
  uint64_t id;
  if (const int32_t rc = DoWrite(handle, offset, bytes, &id); rc < 0) return Error(-rc, handle.path);
  Boundary();
  return absl::OkStatus();
}

absl::Status SimDisk::SyncNow(File file) {
  Touch();
  const Handle handle = Get(file);
  if (dead_) return Error(EIO, handle.path);
  if (handle.inode == nullptr) return SyncDirectory(handle.path);
  Boundary();
  if (const int error = SyncFault()) {
    Lose(handle.inode.get(), UINT64_MAX);
    return Error(error, handle.path);
  }
  Stabilise(handle.inode.get(), [](const Pending&) { return true; });
  Boundary();
  return absl::OkStatus();
}

absl::Status SimDisk::Allocate(File file, uint64_t bytes) {
  const Handle handle = Get(file);
  uint64_t id;
  const int32_t rc = DoWrite(handle, 0, std::string(bytes, '\0'), &id);
  return rc < 0 ? Error(-rc, handle.path) : absl::OkStatus();
}

absl::StatusOr<uint64_t> SimDisk::FreeBytes() {
  const uint64_t used = used_bytes();
  return capacity_ > used ? capacity_ - used : 0;
}

// --- asynchronous

void SimDisk::Enqueue(Request request, Completion* completion) {
  completion->Started(0);
  request.completion = completion;
  queue_.push_back(std::move(request));
}

int32_t SimDisk::TryRead(File file, uint64_t offset, char* to, size_t bytes) {
  if (dead_) return -EIO;
  if (short_reads_) {
    if ((Next() & 1) != 0) return -EAGAIN;
    bytes = Next() % (bytes + 1);
    if (bytes == 0) return -EAGAIN;
  }
  const absl::StatusOr<size_t> got = ReadNow(file, offset, to, bytes);
  return got.ok() ? static_cast<int32_t>(*got) : -EIO;
}

void SimDisk::Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) {
  const absl::StatusOr<size_t> got = ReadNow(file, offset, to, bytes);
  Enqueue(Request{Kind::kRead, nullptr, got.ok() ? static_cast<int32_t>(*got) : -EIO, nullptr, ""}, completion);
}

void SimDisk::Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) {
  Touch();
  const Handle& handle = Get(file);
  if (handle.use == FileUse::kDirect) MR_CHECK(offset % kDiskAlignment == 0 && bytes.size() % kDiskAlignment == 0);
  Request request{Kind::kWrite, nullptr, 0, handle.inode, ""};
  request.value = DoWrite(handle, offset, bytes, &request.id);
  Enqueue(std::move(request), completion);
}

void SimDisk::WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) {
  Touch();
  const Handle& handle = Get(file);
  if (handle.use == FileUse::kDirect) MR_CHECK(offset % kDiskAlignment == 0 && bytes.size() % kDiskAlignment == 0);
  Request request{Kind::kWriteDurable, nullptr, 0, handle.inode, ""};
  request.value = DoWrite(handle, offset, bytes, &request.id);
  Enqueue(std::move(request), completion);
}

void SimDisk::Sync(File file, Completion* completion) {
  Touch();
  const Handle& handle = Get(file);
  Request request{Kind::kSync, nullptr, 0, handle.inode, handle.path};
  request.id = next_write_ - 1;
  Enqueue(std::move(request), completion);
}

void SimDisk::RunCompletions() {
  for (size_t count = queue_.size(); count > 0; --count) {
    Request request = std::move(queue_.front());
    queue_.pop_front();
    if (request.kind != Kind::kRead) Boundary();
    if (dead_ && request.kind != Kind::kRead) request.value = -EIO;
    if (request.value >= 0 && request.kind == Kind::kWriteDurable) {
      if (const int error = SyncFault()) {
        request.value = -error;
        Lose(request.inode.get(), request.id);
      } else {
        Stabilise(request.inode.get(), [&request](const Pending& write) { return write.id == request.id; });
        Boundary();
      }
    } else if (request.value >= 0 && request.kind == Kind::kSync) {
      if (const int error = SyncFault()) {
        request.value = -error;
        if (request.inode != nullptr) Lose(request.inode.get(), request.id);
      } else {
        if (request.inode != nullptr) {
          Stabilise(request.inode.get(), [&request](const Pending& write) { return write.id <= request.id; });
        } else {
          StabiliseDirectory(request.directory);
        }
        Boundary();
      }
    }
    request.completion->Finish(IoResult{request.value, false, {}});
  }
}

}  // namespace millrace
