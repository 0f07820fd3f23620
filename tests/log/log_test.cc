// SPDX-License-Identifier: Apache-2.0
// Goal: lines look as the peer's do and reach the logger in order and bounded. Method: fixed
// clocks, a ship function that collects.
#include "broker/log/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "tests/log/matches.h"

namespace millrace {
namespace {

constexpr int64_t kWhen =
    int64_t{1'795'473'524} * 1'000'000 + 42;  // 2026-11-23 22:38:44.000042 UTC

std::string Format(const LogLine& line, const LogStyle& style) {
  std::string out;
  LineFormatter(style).Append(line, &out);
  return out;
}

TEST(LineFormatterTest, LinesAreThePeers) {
  const LogStyle style = {.pid = 123, .time = true, .utc = true, .color = false};
  EXPECT_EQ(Format({LogLevel::kInfo, kWhen, "Server is ready"}, style),
            "[123] 2026/11/23 22:38:44.000042 [INF] Server is ready\n");
  EXPECT_EQ(Format({LogLevel::kFatal, kWhen, "x\n"}, style),
            "[123] 2026/11/23 22:38:44.000042 [FTL] x\n");
  const LogStyle bare = {.pid = 9, .time = false, .utc = false, .color = false};
  EXPECT_EQ(Format({LogLevel::kTrace, kWhen, "x"}, bare), "[9] [TRC] x\n");
  const LogStyle colored = {.pid = 0, .time = false, .utc = false, .color = true};
  EXPECT_EQ(Format({LogLevel::kWarn, kWhen, "x"}, colored), "[\x1b[0;93mWRN\x1b[0m] x\n");
  const LogStyle utc = {.pid = 0, .time = true, .utc = true, .color = false};
  EXPECT_EQ(Format({LogLevel::kDebug, -1, "x"}, utc), "1969/12/31 23:59:59.999999 [DBG] x\n");
}

TEST(LineFormatterTest, OneFormatterFollowsTheClock) {
  LineFormatter formatter({.pid = 0, .time = true, .utc = true, .color = false});
  std::string out;
  formatter.Append({LogLevel::kError, kWhen, "a"}, &out);
  formatter.Append({LogLevel::kError, kWhen + 999'957, "b"}, &out);
  formatter.Append({LogLevel::kError, kWhen + 999'958, "c"}, &out);
  EXPECT_EQ(out,
            "2026/11/23 22:38:44.000042 [ERR] a\n2026/11/23 22:38:44.999999 [ERR] b\n"
            "2026/11/23 22:38:45.000000 [ERR] c\n");
}

TEST(RateLimiterTest, ATextPassesOncePerSecond) {
  RateLimiter limiter;
  EXPECT_TRUE(limiter.Allow("a", 0));
  EXPECT_FALSE(limiter.Allow("a", 999'999));
  EXPECT_TRUE(limiter.Allow("b", 10));
  EXPECT_TRUE(limiter.Allow("a", 1'000'000));
  EXPECT_FALSE(limiter.Allow("a", 1'000'001));
  for (int i = 0; i < 100'000; ++i)
    EXPECT_TRUE(limiter.Allow("text " + std::to_string(i), 2'000'000));
}

struct Shipped {
  std::vector<std::vector<LogLine>> batches;
  LogPort::Ship ship() {
    return [this](std::vector<LogLine>&& batch) { batches.push_back(std::move(batch)); };
  }
};

TEST(LogPortTest, ATurnsLinesLeaveInOneBatch) {
  int64_t now = 5;
  Shipped shipped;
  LogPort port([&] { return now++; }, shipped.ship(), {});
  port.Flush();
  EXPECT_TRUE(shipped.batches.empty());
  port.Info("one");
  port.Debug("off");
  port.Trace("off");
  port.Warn("two");
  EXPECT_EQ(port.pending_lines(), 2u);
  port.Flush();
  ASSERT_EQ(shipped.batches.size(), 1u);
  EXPECT_EQ(shipped.batches[0],
            (std::vector<LogLine>{{LogLevel::kInfo, 5, "one"}, {LogLevel::kWarn, 6, "two"}}));
  port.SetVerbosity({.debug = true, .trace = true, .trace_verbose = false});
  EXPECT_TRUE(port.debug() && port.trace() && !port.trace_verbose());
  port.Debug("on");
  port.Trace("on");
  port.Flush();
  EXPECT_EQ(shipped.batches[1].size(), 2u);
}

TEST(LogPortTest, ALargeBatchLeavesEarlyAndNothingIsLost) {
  Shipped shipped;
  LogPort port([] { return int64_t{0}; }, shipped.ship(), {});
  for (int i = 0; i < 5'000; ++i) port.Info(std::to_string(i));
  port.Info(std::string(LogPort::kBatchBytesMax, 'x'));
  EXPECT_EQ(port.pending_lines(), 0u);
  int next = 0;
  for (const auto& batch : shipped.batches) {
    EXPECT_LE(batch.size(), LogPort::kBatchLinesMax);
    for (const LogLine& line : batch) {
      if (line.text[0] == 'x') continue;
      EXPECT_EQ(line.text, std::to_string(next++));
    }
  }
  EXPECT_EQ(next, 5'000);
}

TEST(LogPortTest, RepeatedWarningsAreHeldBack) {
  int64_t now = 0;
  Shipped shipped;
  LogPort port([&] { return now; }, shipped.ship(), {});
  for (now = 0; now < 3'000'000; now += 1'000) port.WarnLimited("again");
  port.ErrorLimited("once");
  port.Flush();
  ASSERT_EQ(shipped.batches.size(), 1u);
  EXPECT_EQ(shipped.batches[0].size(), 4u);
}

TEST(LoggerTest, StderrLinesMatchTheTestHarnesses) {
  testing::internal::CaptureStderr();
  {
    Logger logger([] { return kWhen; });
    LogOptions options;
    options.utc = true;
    ASSERT_TRUE(logger.Open(options).ok());
    logger.Info("Listening for client connections on 127.0.0.1:4222");
    logger.Debug("not shown");
    logger.SetVerbosity({.debug = true, .trace = false, .trace_verbose = false});
    logger.Debug("shown");
    logger.WriteBatch({{LogLevel::kTrace, kWhen, "a shard's line"}});
  }
  const std::string text = testing::internal::GetCapturedStderr();
  const std::string prefix = "[" + std::to_string(getpid()) + "] 2026/11/23 22:38:44.000042 ";
  EXPECT_EQ(text, prefix + "[INF] Listening for client connections on 127.0.0.1:4222\n" + prefix +
                      "[DBG] shown\n" + prefix + "[TRC] a shard's line\n");
  EXPECT_TRUE(Matches(text.substr(0, text.find('\n')),
                      "\\[[0-9]+\\] [0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"
                      "\\.[0-9]{6} \\[INF\\] Listening for client connections on .*"));
}

TEST(LoggerTest, NoLogWritesNothing) {
  testing::internal::CaptureStderr();
  {
    Logger logger([] { return kWhen; });
    LogOptions options;
    options.none = true;
    ASSERT_TRUE(logger.Open(options).ok());
    logger.Error("silence");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(LoggerTest, AFailingDestinationKeepsTheOldOne) {
  testing::internal::CaptureStderr();
  Logger logger([] { return kWhen; });
  LogOptions options;
  options.file = "/nope/log";
  const absl::Status status = logger.Open(options);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("error opening file: open /nope/log"),
            std::string::npos);
  options = {};
  options.remote_syslog = "foo://bar";
  EXPECT_EQ(std::string(logger.Open(options).message()), "error invalid network type: \"foo\"");
  logger.Info("still here");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("still here"), std::string::npos);
}

}  // namespace
}  // namespace millrace
