// SPDX-License-Identifier: Apache-2.0
// RamDisk: a Disk in memory without any cost of its own, for benches of what stands above it.
// Owner:  caller. Results of asynchronous calls come from RunCompletions.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "store/disk.h"

namespace millrace {

class RamDisk final : public Disk {
 public:
  void RunCompletions() {
    std::vector<std::pair<Completion*, int32_t>> done;
    done.swap(done_);
    for (const auto& [completion, value] : done) completion->Finish({.value = value, .more = false, .bytes = {}});
  }
  absl::Status MakeDirectory(std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> List(std::string_view) override {
    std::vector<std::string> names;
    for (const auto& [path, index] : paths_) names.push_back(path.substr(path.find('/') + 1));
    return names;
  }
  absl::StatusOr<File> Open(std::string_view path, FileUse, bool create) override {
    const auto at = paths_.find(std::string(path));
    if (at != paths_.end()) return at->second;
    // Directories, which have no '/' in their name, are there.
    if (!create && path.find('/') != std::string_view::npos) return absl::NotFoundError(std::string(path));
    if (create) paths_.emplace(path, static_cast<File>(files_.size()));
    files_.emplace_back();
    return static_cast<File>(files_.size() - 1);
  }
  void Close(File) override {}
  absl::StatusOr<uint64_t> Size(File file) override { return files_[static_cast<size_t>(file)].size(); }
  absl::Status FillWithZeros(File, uint64_t) override { return absl::OkStatus(); }
  absl::Status Truncate(File, uint64_t) override { return absl::OkStatus(); }
  absl::Status Rename(std::string_view, std::string_view) override { return absl::OkStatus(); }
  absl::Status Remove(std::string_view path) override {
    const auto at = paths_.find(std::string(path));
    if (at == paths_.end()) return absl::OkStatus();
    files_[static_cast<size_t>(at->second)] = {};
    paths_.erase(at);
    return absl::OkStatus();
  }
  absl::Status SyncDirectory(std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<size_t> ReadNow(File file, uint64_t offset, char* to, size_t bytes) override {
    const std::string& content = files_[static_cast<size_t>(file)];
    if (offset >= content.size()) return size_t{0};
    const size_t n = std::min<size_t>(bytes, content.size() - offset);
    std::memcpy(to, content.data() + offset, n);
    return n;
  }
  absl::Status WriteNow(File file, uint64_t offset, std::string_view bytes) override {
    std::string& content = files_[static_cast<size_t>(file)];
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
    std::memcpy(content.data() + offset, bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status SyncNow(File) override { return absl::OkStatus(); }
  absl::Status Allocate(File, uint64_t) override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> FreeBytes() override { return uint64_t{1} << 40; }
  absl::Status Lock(std::string_view, std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> TotalBytes() override { return uint64_t{1} << 40; }
  int32_t TryRead(File file, uint64_t offset, char* to, size_t bytes) override {
    return static_cast<int32_t>(*ReadNow(file, offset, to, bytes));
  }
  void Read(File file, uint64_t offset, char* to, size_t bytes, Completion* completion) override {
    completion->Started(0);
    done_.emplace_back(completion, TryRead(file, offset, to, bytes));
  }
  void Write(File file, uint64_t offset, std::string_view bytes, Completion* completion) override {
    completion->Started(0);
    (void)WriteNow(file, offset, bytes);
    done_.emplace_back(completion, static_cast<int32_t>(bytes.size()));
  }
  void WriteDurable(File file, uint64_t offset, std::string_view bytes, Completion* completion) override {
    Write(file, offset, bytes, completion);
  }
  void Sync(File, Completion* completion) override {
    completion->Started(0);
    done_.emplace_back(completion, 0);
  }
  void RemoveLater(std::string_view path) override { (void)Remove(path); }

 private:
  std::map<std::string, File> paths_;
  std::vector<std::string> files_;
  std::vector<std::pair<Completion*, int32_t>> done_;
};

}  // namespace millrace
