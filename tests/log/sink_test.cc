// SPDX-License-Identifier: Apache-2.0
// Goal: files rotate, purge and reopen as the peer's do; syslog messages have its shape; lost lines
// are told. Method: real files in a temporary directory, real sockets on loopback.
#include "broker/log/sink.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/log/matches.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kWhen = int64_t{1'795'473'524} * 1'000'000;

class SinkTest : public testing::Test {
 protected:
  SinkTest() : dir_(testing::TempDir() + "/mr_log_" + std::to_string(getpid())) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~SinkTest() override { fs::remove_all(dir_); }

  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  LogOptions FileOptions(int64_t bytes_max = 0, int64_t files_max = 0) const {
    LogOptions options;
    options.file = dir_ + "/n.log";
    options.file_bytes_max = bytes_max;
    options.files_max = files_max;
    options.time = false;
    return options;
  }

  const std::string dir_;
  int64_t now_us_ = kWhen;
  Logger logger_{[this] { return now_us_ += 1'000; }};
};

TEST_F(SinkTest, AFileIsAppendedToWithItsMode) {
  umask(022);
  ASSERT_TRUE(logger_.Open(FileOptions()).ok());
  logger_.Info("one");
  logger_.Close();
  ASSERT_TRUE(logger_.Open(FileOptions()).ok());
  logger_.Info("two");
  const std::string pid = "[" + std::to_string(getpid()) + "] ";
  EXPECT_EQ(Content(dir_ + "/n.log"), pid + "[INF] one\n" + pid + "[INF] two\n");
  struct stat info;
  ASSERT_EQ(stat((dir_ + "/n.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
}

TEST_F(SinkTest, ReopenFollowsAMovedFile) {
  ASSERT_TRUE(logger_.Open(FileOptions()).ok());
  logger_.Info("old");
  fs::rename(dir_ + "/n.log", dir_ + "/moved");
  logger_.Info("still old");
  logger_.Reopen();
  EXPECT_NE(Content(dir_ + "/moved").find("still old"), std::string::npos);
  EXPECT_NE(Content(dir_ + "/n.log").find("File log re-opened"), std::string::npos);
}

TEST_F(SinkTest, RotationKeepsEveryLineOnceAndInOrder) {
  ASSERT_TRUE(logger_.Open(FileOptions(500)).ok());
  for (int i = 0; i < 100; i += 10) {
    std::vector<LogLine> batch;
    for (int k = i; k < i + 10; ++k)
      batch.push_back({LogLevel::kInfo, now_us_ += 1'000, "line " + std::to_string(k) + "."});
    logger_.WriteBatch(std::move(batch));
  }
  std::string all;
  const std::vector<std::string> files = Files();
  EXPECT_GT(files.size(), 4u);
  for (const std::string& file : files) {
    if (file == "n.log") continue;
    EXPECT_TRUE(Matches(file, R"(n\.log\.[0-9]{4}(\.[0-9]{2}){5}\.[0-9]{9})")) << file;
    EXPECT_LT(fs::file_size(dir_ + "/" + file), 600u);
    all += Content(dir_ + "/" + file);
  }
  all += Content(dir_ + "/n.log");
  size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    at = all.find("line " + std::to_string(i) + ".", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_NE(all.find("Rotated log, backup saved as \"" + dir_), std::string::npos);
}

TEST_F(SinkTest, OnlySoManyBackupsStay) {
  ASSERT_TRUE(logger_.Open(FileOptions(200, 3)).ok());
  std::ofstream(dir_ + "/n.log.notes") << "not a backup";
  std::ofstream(dir_ + "/n.log.2001.01.01.00.00.00.000000001") << "the oldest";
  for (int i = 0; i < 200; ++i) logger_.Info("line");
  const std::vector<std::string> files = Files();
  ASSERT_EQ(files.size(), 4u);  // the live one, two backups, the notes
  EXPECT_EQ(files[0], "n.log");
  EXPECT_EQ(files[3], "n.log.notes");
  EXPECT_NE(Content(dir_ + "/n.log").find("Purged log file \"n.log."), std::string::npos);
}

TEST_F(SinkTest, AFileOverItsLimitRotatesAtTheFirstLine) {
  std::ofstream(dir_ + "/n.log") << std::string(1'000, 'x') << "\n";
  ASSERT_TRUE(logger_.Open(FileOptions(500)).ok());
  logger_.Info("first");
  EXPECT_EQ(Files().size(), 2u);
}

TEST_F(SinkTest, LostLinesAreCountedAndTold) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  FdSink sink(ends[1], {});
  const LogLine line = {LogLevel::kInfo, kWhen, "x"};
  EXPECT_EQ(sink.Write(&line, 1), 0);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(sink.Write(&line, 1), 1);
  close(ends[1]);
}

// A socket on loopback that messages are sent to; its port.
int BindLoopback(int type, int* port) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) != 0) return -1;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes);
  *port = ntohs(address.sin_port);
  return fd;
}

std::string Receive(int fd) {
  char text[4096];
  const ssize_t bytes = recv(fd, text, sizeof text, 0);
  return bytes > 0 ? std::string(text, static_cast<size_t>(bytes)) : "";
}

TEST_F(SinkTest, RemoteSyslogOverUdp) {
  int port = 0;
  const int server = BindLoopback(SOCK_DGRAM, &port);
  ASSERT_GE(server, 0);
  LogOptions options;
  options.remote_syslog = "udp://127.0.0.1:" + std::to_string(port);
  ASSERT_TRUE(logger_.Open(options).ok());
  logger_.Warn("hello");
  const std::string text = Receive(server);
  EXPECT_TRUE(Matches(text,
                      "<4>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
                      "(Z|[+-][0-9]{2}:[0-9]{2}) [^ ]+ [^ ]+\\[[0-9]+\\]: hello\n"))
      << text;
  logger_.Error("e");
  EXPECT_TRUE(Receive(server).starts_with("<3>"));
  logger_.Info("i");
  EXPECT_TRUE(Receive(server).starts_with("<5>"));
  close(server);
}

TEST_F(SinkTest, RemoteSyslogOverTcpComesBack) {
  int port = 0;
  const int server = BindLoopback(SOCK_STREAM, &port);
  ASSERT_GE(server, 0);
  ASSERT_EQ(listen(server, 4), 0);
  LogOptions options;
  options.remote_syslog = "tcp://127.0.0.1:" + std::to_string(port);
  ASSERT_TRUE(logger_.Open(options).ok());
  const int first = accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
  logger_.Info("one");
  EXPECT_NE(Receive(first).find(": one\n"), std::string::npos);
  // The server goes away with a reset; some later line finds the new connection.
  const linger abort = {.l_onoff = 1, .l_linger = 0};
  setsockopt(first, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  close(first);
  for (int i = 0; i < 3; ++i) logger_.Info("more");
  const int second = accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
  EXPECT_NE(Receive(second).find(": more\n"), std::string::npos);
  close(second);
  close(server);
}

TEST_F(SinkTest, LocalSyslogOverAStreamSocket) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = dir_ + "/s";
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(server, 4), 0);
  LogOptions options;
  options.remote_syslog = "unix://" + path;
  ASSERT_TRUE(logger_.Open(options).ok());
  const int accepted = accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
  logger_.Fatal("bye");
  const std::string text = Receive(accepted);
  EXPECT_TRUE(Matches(text,
                      "<2>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} "
                      "[^ ]+\\[[0-9]+\\]: bye\n"))
      << text;
  close(accepted);
  close(server);
}

TEST_F(SinkTest, ASyslogThatIsDownLosesLinesWithoutWaiting) {
  int port = 0;
  const int server = BindLoopback(SOCK_STREAM, &port);
  ASSERT_EQ(listen(server, 4), 0);
  LogOptions options;
  options.remote_syslog = "tcp://127.0.0.1:" + std::to_string(port);
  ASSERT_TRUE(logger_.Open(options).ok());
  const int accepted = accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
  const linger abort = {.l_onoff = 1, .l_linger = 0};
  setsockopt(accepted, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  close(accepted);
  close(server);
  for (int i = 0; i < 100; ++i) logger_.Info("lost");
  EXPECT_GE(logger_.lines_lost(), 98);
}

}  // namespace
}  // namespace millrace
