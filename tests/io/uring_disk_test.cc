// SPDX-License-Identifier: Apache-2.0
// Goal: UringDisk keeps the promises of store/disk.h on the file system at hand, by each way of syncing.
// Method: a directory of its own, driven to a condition; what was written is read back by other means.
#include "broker/io/uring_disk.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>

#include "broker/io/uring.h"

namespace millrace {
namespace {

struct Call {
  Completion completion;
  int32_t value = 0;
  int results = 0;
  Call() { completion.Bind<&Call::OnResult>(this); }
  void OnResult(const IoResult& result) {
    value = result.value;
    ++results;
  }
};

struct Pages {
  explicit Pages(size_t bytes) : bytes(bytes) {
    data = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  ~Pages() { munmap(data, bytes); }
  char* data;
  size_t bytes;
};

class UringDiskTest : public testing::TestWithParam<SyncMethod> {
 protected:
  UringDiskTest() {
    // Not below /tmp where that may be in memory: the build directory is on a disk.
    char name[] = "uring_disk_test.XXXXXX";
    MR_CHECK(mkdtemp(name) != nullptr);
    path_ = std::filesystem::absolute(name).string();
    io_ = *UringIo::Create(UringOptions{});
    io_->Enable({});
    SyncProbe probe = *ProbeSync(path_, false);
    probe.method = GetParam();
    probe.direct = probe.direct && probe.method != SyncMethod::kBufferedSync;
    disk_ = *UringDisk::Open(*io_, path_ + "/store/shard-0", probe);
  }
  ~UringDiskTest() override {
    disk_ = nullptr;
    std::filesystem::remove_all(path_);
  }
  void Wait(const Call& call, int results = 1) {
    while (call.results < results) {
      io_->SubmitAndWait(Nanos::max(), true);
      io_->RunCompletions(UINT64_MAX);
    }
  }
  std::string path_;
  std::unique_ptr<UringIo> io_;
  std::unique_ptr<UringDisk> disk_;
};

TEST_P(UringDiskTest, WritesAreReadBack) {
  ASSERT_TRUE(disk_->MakeDirectory("a/b").ok());
  const Disk::File file = *disk_->Open("a/b/file", FileUse::kDirect, true);
  ASSERT_TRUE(disk_->FillWithZeros(file, 1 << 20).ok());
  EXPECT_EQ(*disk_->Size(file), 1u << 20);
  Pages pages(256 << 10);
  for (size_t i = 0; i < pages.bytes; ++i) pages.data[i] = static_cast<char>(i * 7 + i / 4096);
  Call durable;
  disk_->WriteDurable(file, 8192, {pages.data, pages.bytes}, &durable.completion);
  EXPECT_EQ(durable.results, 0);
  Wait(durable);
  EXPECT_EQ(durable.value, 256 << 10);
  Call plain;
  disk_->Write(file, 512 << 10, {pages.data, 4096}, &plain.completion);
  Wait(plain);
  EXPECT_EQ(plain.value, 4096);
  Call sync;
  disk_->Sync(file, &sync.completion);
  Wait(sync);
  EXPECT_EQ(sync.value, 0);

  const Disk::File reader = *disk_->Open("a/b/file", FileUse::kRead, false);
  std::string back(256 << 10, '\0');
  EXPECT_EQ(*disk_->ReadNow(reader, 8192, back.data(), back.size()), back.size());
  EXPECT_TRUE(back == std::string_view(pages.data, pages.bytes));
  std::string small(4096, '\0');
  Call read;
  disk_->Read(reader, 512 << 10, small.data(), small.size(), &read.completion);
  Wait(read);
  EXPECT_EQ(read.value, 4096);
  EXPECT_TRUE(small == std::string_view(pages.data, 4096));
  const int32_t now = disk_->TryRead(reader, 512 << 10, small.data(), small.size());
  EXPECT_TRUE(now == 4096 || now == -EAGAIN) << now;
  EXPECT_EQ(*disk_->ReadNow(reader, (1 << 20) - 10, small.data(), small.size()), 10u);
  disk_->Close(reader);
  disk_->Close(file);
}

TEST_P(UringDiskTest, ManyOperationsInOneTurnAllReport) {
  const Disk::File file = *disk_->Open("file", FileUse::kDirect, true);
  ASSERT_TRUE(disk_->FillWithZeros(file, 4 << 20).ok());
  Pages pages(4096);
  std::vector<std::unique_ptr<Call>> calls;
  for (uint64_t i = 0; i < 700; ++i) {  // more than the submission queue holds
    calls.push_back(std::make_unique<Call>());
    disk_->WriteDurable(file, i * 4096, {pages.data, 4096}, &calls.back()->completion);
  }
  for (const auto& call : calls) Wait(*call);
  for (const auto& call : calls) EXPECT_EQ(call->value, 4096);
  EXPECT_TRUE(disk_->idle());
  disk_->Close(file);
}

TEST_P(UringDiskTest, ErrorsArriveThroughTheCompletion) {
  const Disk::File file = *disk_->Open("file", FileUse::kWrite, true);
  const Disk::File reader = *disk_->Open("file", FileUse::kRead, false);
  Pages pages(4096);
  Call call;
  disk_->WriteDurable(reader, 0, {pages.data, 4096}, &call.completion);
  Wait(call);
  EXPECT_EQ(call.value, -EBADF);
  disk_->Close(reader);
  disk_->Close(file);
  EXPECT_TRUE(absl::IsNotFound(disk_->Open("absent", FileUse::kRead, false).status()));
}

TEST_P(UringDiskTest, NamesComeAndGo) {
  EXPECT_TRUE(disk_->List("absent")->empty());
  ASSERT_TRUE(disk_->MakeDirectory("d").ok());
  for (const char* name : {"d/b", "d/a"}) disk_->Close(*disk_->Open(name, FileUse::kWrite, true));
  EXPECT_EQ(*disk_->List("d"), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(disk_->Rename("d/b", "d/c").ok());
  ASSERT_TRUE(disk_->SyncDirectory("d").ok());
  const Disk::File directory = *disk_->Open("d", FileUse::kRead, false);
  Call sync;
  disk_->Sync(directory, &sync.completion);
  Wait(sync);
  EXPECT_EQ(sync.value, 0);
  disk_->Close(directory);
  disk_->RemoveLater("d/c");
  EXPECT_FALSE(disk_->idle());
  while (!disk_->idle()) {
    io_->SubmitAndWait(Nanos::max(), true);
    io_->RunCompletions(UINT64_MAX);
  }
  EXPECT_EQ(*disk_->List("d"), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(disk_->Remove("d/a").ok());
  EXPECT_TRUE(disk_->Remove("d/a").ok());
  EXPECT_TRUE(disk_->Remove("d").ok());
  EXPECT_GT(*disk_->FreeBytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(EachWay, UringDiskTest,
                         testing::Values(SyncMethod::kDirectDsync, SyncMethod::kDirectThenSync,
                                         SyncMethod::kBufferedSync));

TEST(SyncProbe, IsMeasuredOnceAndRemembered) {
  char name[] = "sync_probe_test.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = std::filesystem::absolute(name).string();
  constexpr double kPatientUs = 60e6;  // whatever else keeps this disk busy
  const SyncProbe first = *ProbeSync(path, false, kPatientUs);
  EXPECT_FALSE(first.remembered);
  const SyncProbe second = *ProbeSync(path, false, kPatientUs);
  EXPECT_TRUE(second.remembered);
  EXPECT_EQ(first.method, second.method);
  EXPECT_EQ(first.direct, second.direct);
  EXPECT_FALSE(Describe(first).empty());
  EXPECT_FALSE(ProbeSync(path, true)->remembered);
  std::printf("%s\n", Describe(first).c_str());
  std::filesystem::remove_all(path);
  EXPECT_FALSE(ProbeSync("/nowhere/at/all", false).ok());
}

TEST(SyncProbe, WhatWasCutShortIsUsedButNotRemembered) {
  char name[] = "sync_probe_test.XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = std::filesystem::absolute(name).string();
  const SyncProbe hasty = *ProbeSync(path, false, 0);
  EXPECT_GT(hasty.median_us[static_cast<int>(hasty.method)], 0);
  EXPECT_FALSE(ProbeSync(path, false, 60e6)->remembered);
  EXPECT_TRUE(ProbeSync(path, false, 0)->remembered);
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace millrace
