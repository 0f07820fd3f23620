// SPDX-License-Identifier: Apache-2.0
// Goal: one process at a time has a store, whoever comes second learns who it is and leaves everything as it was, and
//       the lock goes with its process, however that ends.
// Method: UringDisk on a real directory, a second one in this process and in another that is killed; mounts as text.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "broker/io/file_lock.h"
#include "broker/io/uring.h"
#include "broker/io/uring_disk.h"
#include "store/shard/store_lock.h"

namespace millrace {
namespace {

class StoreLock : public testing::Test {
 protected:
  StoreLock() {
    char name[] = "/tmp/millrace-lock-XXXXXX";
    directory_ = mkdtemp(name);
    auto io = UringIo::Create(UringOptions{});
    MR_CHECK(io.ok());
    io_ = std::move(io).value();
  }
  ~StoreLock() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<UringDisk> Open(const std::string& directory) {
    auto disk = UringDisk::Open(*io_, directory, SyncProbe{});
    MR_CHECK(disk.ok());
    return std::move(disk).value();
  }
  std::unique_ptr<UringDisk> Open() { return Open(directory_); }
  std::string Content(const std::string& directory) {
    std::ifstream file(directory + "/lock");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string directory_;
  std::unique_ptr<UringIo> io_;
};

TEST_F(StoreLock, TheSecondIsToldWhoHasIt) {
  const auto first = Open();
  ASSERT_TRUE(LockStore(*first, StoreUser{12345, "web-1"}).ok());
  EXPECT_EQ(Content(directory_), "12345 web-1\n");
  const auto second = Open();
  const absl::Status refused = LockStore(*second, StoreUser{6, "web-2"});
  EXPECT_TRUE(absl::IsAlreadyExists(refused));
  EXPECT_EQ(refused.message(), "process 12345 on web-1");
  EXPECT_EQ(Content(directory_), "12345 web-1\n");
}

TEST_F(StoreLock, ItGoesWithTheDisk) {
  auto first = Open();
  ASSERT_TRUE(LockStore(*first, StoreUser{100000, "a-host-with-a-long-name"}).ok());
  first.reset();
  const auto second = Open();
  EXPECT_TRUE(LockStore(*second, StoreUser{2, "b"}).ok());
  EXPECT_EQ(Content(directory_), "2 b\n");
}

TEST_F(StoreLock, ItGoesWithAProcessThatIsKilled) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto disk = Open();
    const bool locked = LockStore(*disk, StoreUser{getpid(), "here"}).ok();
    if (write(ready[1], locked ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto disk = Open();
  EXPECT_EQ(LockStore(*disk, StoreUser{1, ""}).message(), "process " + std::to_string(child) + " on here");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(LockStore(*disk, StoreUser{1, ""}).ok());
  close(ready[0]);
  close(ready[1]);
}

TEST_F(StoreLock, ACopyHasALockOfItsOwn) {
  const auto first = Open();
  ASSERT_TRUE(LockStore(*first, StoreUser{1, "a"}).ok());
  const std::string copy = directory_ + "/copy";
  std::filesystem::create_directory(copy);
  std::filesystem::copy_file(directory_ + "/lock", copy + "/lock");
  const auto second = Open(copy);
  EXPECT_TRUE(LockStore(*second, StoreUser{2, "a"}).ok());
}

TEST_F(StoreLock, NotesAreReadBack) {
  const auto name = [](std::string_view note) { return NameOf(ReadNote(note)); };
  EXPECT_EQ(name(NoteOf(StoreUser{77, "host"})), "process 77 on host");
  EXPECT_EQ(name(NoteOf(StoreUser{77, ""})), "process 77");
  for (const char* nonsense : {"", "77", "77 host", "x host\n", "-5 host\n", "0 host\n", "99999999999999999999 h\n"})
    EXPECT_EQ(name(nonsense), "another process") << nonsense;
}

// Lines as Linux 6.x prints them.
constexpr std::string_view kMounts =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard\n"
    "40 22 0:50 / /mnt/a\\040b rw,relatime shared:9 - nfs4 server:/export rw,vers=4.2,hard,local_lock=none\n"
    "41 22 0:51 / /mnt/old rw,relatime - nfs server:/old rw,vers=3,nolock,local_lock=all,addr=10.0.0.1\n"
    "42 22 0:52 / /mnt/half rw - nfs server:/half rw,vers=3,local_lock=posix\n"
    "43 22 0:53 / /mnt/flock rw - nfs server:/flock rw,vers=3,local_lock=flock\n"
    "44 22 0:54 / /mnt/win rw - cifs //server/share rw,vers=3.1.1,nobrl,cache=strict\n"
    "45 22 0:55 / /mnt/win2 rw - cifs //server/share rw,vers=3.1.1,cache=strict\n"
    "46 22 0:56 / /mnt/ssh rw,nosuid - fuse.sshfs user@host: rw,user_id=0\n"
    "47 22 0:57 / /mnt/host rw shared:3 master:2 - 9p share rw,trans=virtio\n"
    "48 22 0:58 / /mnt/vfs rw - virtiofs share rw\n"
    "49 22 0:59 / /mnt/cloud rw - ceph 10.0.0.2:/ rw,acl\n";

TEST(Mounts, AreFoundAndDescribed) {
  const Mount nfs = FindMount(kMounts, "40");
  EXPECT_EQ(nfs.type, "nfs4");
  EXPECT_EQ(Describe(nfs), "nfs4 (server:/export on /mnt/a b)");
  EXPECT_EQ(Describe(FindMount(kMounts, "7")), "the file system");
}

TEST(Mounts, WhoseLocksReachThisMachineOnlyAreKnown) {
  const std::pair<const char*, LockReach> cases[] = {
      {"22", LockReach::kEveryone},    {"40", LockReach::kEveryone},    {"41", LockReach::kThisMachine},
      {"42", LockReach::kThisMachine}, {"43", LockReach::kEveryone},    {"44", LockReach::kThisMachine},
      {"45", LockReach::kEveryone},    {"46", LockReach::kThisMachine}, {"47", LockReach::kThisMachine},
      {"48", LockReach::kThisMachine}, {"49", LockReach::kEveryone},    {"1", LockReach::kEveryone}};
  for (const auto& [id, reach] : cases) EXPECT_EQ(ReachOf(FindMount(kMounts, id)), reach) << id;
}

TEST(Mounts, OfADescriptorIsFound) {
  const int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  EXPECT_EQ(MountOf(fd).type, "proc");
  close(fd);
}

}  // namespace
}  // namespace millrace
