// SPDX-License-Identifier: Apache-2.0
// Goal: the pid and ports files are the peer's, and usage is plausible. Method: real files in a
// temporary directory, a busy loop for the CPU share.
#include "broker/monitor/process.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace millrace {
namespace {

std::string TestPath(const std::string& name) {
  return testing::TempDir() + "/mr_" + std::to_string(getpid()) + "_" + name;
}

std::string Content(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(RunFileTest, LivesAsLongAsItsHandle) {
  const std::string path = TestPath("run");
  {
    RunFile file;
    ASSERT_TRUE(file.Write(path, PidFileContent(123), kPidFileMode).ok());
    EXPECT_EQ(Content(path), "123");
    struct stat info;
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0600u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    RunFile file;
    ASSERT_TRUE(file.Write(path, "1", kPidFileMode).ok());
    file.Release();
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  std::filesystem::remove(path);
}

TEST(RunFileTest, ErrorsNameThePath) {
  RunFile file;
  EXPECT_EQ(std::string(file.Write("/nope/x", "1", 0600).message()),
            "open /nope/x: no such file or directory");
  EXPECT_TRUE(file.Remove().ok());
}

TEST(PortsFileTest, IsThePeersJson) {
  PortsInfo ports;
  ports.nats.push_back({"nats", "127.0.0.1", 4222});
  ports.monitoring.push_back({"http", "::1", 8222});
  EXPECT_EQ(PortsFileContent(ports),
            R"({"nats":["nats://127.0.0.1:4222"],"monitoring":["http://[::1]:8222"]})");
  EXPECT_EQ(PortsFileContent({}), "{}");
  EXPECT_EQ(PortsFilePath("/tmp", "/usr/bin/nats-server", 7), "/tmp/nats-server_7.ports");
  EXPECT_EQ(PortsFilePath("/tmp/", "millrace", 7), "/tmp/millrace_7.ports");
}

TEST(PortsFileTest, AnyAddressListsTheInterfaces) {
  const auto four = ListenerUrls({"nats", "0.0.0.0", 4222});
  EXPECT_NE(std::find(four.begin(), four.end(), "nats://127.0.0.1:4222"), four.end());
  for (const std::string& url : four) EXPECT_EQ(url.find('['), std::string::npos);
  const auto both = ListenerUrls({"nats", "::", 4222});
  EXPECT_GE(both.size(), four.size());
  EXPECT_EQ(both[0], "nats://127.0.0.1:4222");
}

TEST(ProcessUsageTest, ABusyLoopShows) {
  ProcessUsage usage;
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  usage.Tick(now());
  EXPECT_EQ(usage.Read().cpu_percent, 0);
  EXPECT_GT(usage.Read().rss_bytes, 100'000);
  const int64_t end = now() + 50'000'000;
  while (now() < end) {
  }
  usage.Tick(now());
  EXPECT_GT(usage.Read().cpu_percent, 0);
  EXPECT_LT(usage.Read().cpu_percent, 150);
  EXPECT_GE(UsableCores(), 1);
}

}  // namespace
}  // namespace millrace
