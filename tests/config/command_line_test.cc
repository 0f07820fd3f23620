// SPDX-License-Identifier: Apache-2.0
// Goal: flags mean what they mean to the peer, and win over the file.
// Method: whole command lines through ParseStartup.
#include "broker/config/command_line.h"

#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace millrace::config {
namespace {

TEST(CommandLine, VersionAndHelpGoToStdout) {
  for (const char* flag : {"-v", "--version", "version", "VERSION"}) {
    const Startup startup = Start({flag});
    EXPECT_EQ(startup.out, "nats-server: v2.15.2\n");
    EXPECT_EQ(startup.exit_code, 0);
  }
  for (const char* flag : {"-h", "--help", "help"}) {
    const Startup startup = Start({flag});
    EXPECT_NE(startup.out.find("Usage: nats-server"), std::string::npos);
    EXPECT_NE(startup.out.find("--shards <n>"), std::string::npos);
    EXPECT_EQ(startup.exit_code, 0);
  }
}

TEST(CommandLine, WrongFlagsPrintWhyAndTheUsage) {
  const struct {
    std::vector<std::string> args;
    std::string_view error;
  } kRows[] = {
      {{"--foo"}, "flag provided but not defined: -foo"},
      {{"-p"}, "flag needs an argument: -p"},
      {{"-p", "abc"}, "invalid value \"abc\" for flag -p: parse error"},
      {{"-p", "99999999999999999999"},
       "invalid value \"99999999999999999999\" for flag -p: value out of range"},
      {{"-D=maybe"}, "invalid boolean value \"maybe\" for -D: parse error"},
      {{"---x"}, "bad flag syntax: ---x"},
  };
  for (const auto& row : kRows) {
    const Startup startup = Start(row.args);
    EXPECT_EQ(startup.exit_code, 2);
    EXPECT_EQ(startup.err, std::string(row.error) + "\n" + HelpText());
  }
}

TEST(CommandLine, OtherErrorsExitWithOne) {
  const struct {
    std::vector<std::string> args;
    std::string_view error;
  } kRows[] = {
      {{"foo"}, "unrecognized command: \"foo\""},
      {{"-T", "false"}, "unrecognized command: \"false\""},
      {{"-t"}, "must specify [-c, --config] option to check configuration file syntax"},
      {{"-c", "/nope"}, "open /nope: no such file or directory"},
      {{"--tls"}, "TLS Server certificate must be present and valid\n"},
      {{"--routes", "nats://h:1"},
       "solicited routes require cluster capabilities, e.g. --cluster\n"},
      {{"--tls", "--tlscert=a", "--tlskey=b"}, "TLS is not supported yet by this build: flag -tls"},
      {{"--https-port", "1"}, "monitoring over HTTPS is not supported yet by this build: flag -https-port"},
      {{"--cluster=nats://h:1"}, "clustering is not supported yet by this build: flag -cluster"},
      {{"--signal", "stop=abc"}, "invalid pid: abc"},
  };
  for (const auto& row : kRows) {
    const Startup startup = Start(row.args);
    EXPECT_EQ(startup.exit_code, 1);
    EXPECT_EQ(startup.err, "nats-server: " + std::string(row.error) + "\n");
  }
}

TEST(CommandLine, FlagsWinOverTheFile) {
  const Startup startup =
      StartWith("port: 1\ndebug: true\nmillrace {shards: 2}\nserver_name: file",
                {"-p", "2", "-D=false", "--shards", "4", "-a=h", "-m", "8222", "--user", "u"});
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  EXPECT_EQ(startup.options.port, 2);
  EXPECT_FALSE(startup.options.debug);
  EXPECT_EQ(startup.options.tuning.shards, 4);
  EXPECT_EQ(startup.options.host, "h");
  EXPECT_EQ(startup.options.http_host, "h");
  EXPECT_EQ(startup.options.http_port, 8222);
  EXPECT_EQ(startup.options.username, "u");
  EXPECT_EQ(startup.options.server_name, "file");
}

TEST(CommandLine, TraceSwitchesCombine) {
  const auto flags = [](std::vector<std::string> args) {
    const Options options = Start(std::move(args)).options;
    return std::vector<bool>{options.debug, options.trace, options.trace_verbose};
  };
  EXPECT_EQ(flags({"-V"}), (std::vector<bool>{false, true, false}));
  EXPECT_EQ(flags({"-DV"}), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(flags({"-VV"}), (std::vector<bool>{false, true, true}));
  EXPECT_EQ(flags({"--DVV"}), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(flags({"-DVV=false"}), (std::vector<bool>{false, false, false}));
}

TEST(CommandLine, JetStreamAndItsTuningHaveFlags) {
  const Startup startup = Start({"-js", "-sd", "/tmp/x", "-p", "-1", "--js-durability", "async",
                                 "--js_wal_file_bytes=1048576", "--js-wal-files", "8"});
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  const JetStreamOptions& jetstream = startup.options.jetstream;
  EXPECT_TRUE(jetstream.enabled);
  EXPECT_EQ(jetstream.store_dir, "/tmp/x");
  EXPECT_EQ(jetstream.durability, Durability::kAsync);
  EXPECT_EQ(jetstream.wal_file_bytes, 1048576);
  EXPECT_EQ(jetstream.wal_files, 8);
  EXPECT_TRUE(startup.warnings.empty());
  EXPECT_EQ(Start({"--store_lock_wait", "1m30s"}).options.jetstream.store_lock_wait, std::chrono::seconds(90));
  EXPECT_TRUE(Start({"--store-lock-wait=-1s"})
                  .err.starts_with("invalid value \"-1s\" for flag -store-lock-wait: must not be negative"));
  EXPECT_TRUE(Start({"--store_lock_wait", "soon"})
                  .err.starts_with("invalid value \"soon\" for flag -store_lock_wait: "));
  EXPECT_TRUE(Start({"--js-durability", "maybe"})
                  .err.starts_with("invalid value \"maybe\" for flag -js-durability: must be durable or async"));
  EXPECT_EQ(Start({"--js-wal-files", "1"}).err, "nats-server: js_wal_files is 1 but must be between 2 and 1024\n");
}

TEST(CommandLine, PrintedConfigurationsReadBackTheSame) {
  const Startup first = StartWith(
      "max_payload: 2MB\nping_interval: '7s'\nserver_tags: [a, b]\nmillrace {spin_us: 9}",
      {"--print-config", "-p", "9"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_NE(first.out.find("max_payload: 2097152"), std::string::npos);
  EXPECT_NE(first.out.find("# flag -p\n"), std::string::npos);
  EXPECT_NE(first.out.find("t.conf:1\n"), std::string::npos);
  const Startup second = StartWith(first.out);
  ASSERT_EQ(second.action, Startup::Action::kRun) << second.err << first.out;
  EXPECT_EQ(second.options.port, 9);
  EXPECT_EQ(second.options.max_payload, 2097152);
  EXPECT_EQ(second.options.ping_interval, std::chrono::seconds(7));
  EXPECT_EQ(second.options.server_tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(second.options.tuning.spin_us, 9);
}

TEST(CommandLine, SecretsAreNotPrinted) {
  const Startup startup = Start({"--user", "u", "--pass", "geheim", "--print-config"});
  EXPECT_EQ(startup.out.find("geheim"), std::string::npos);
  EXPECT_NE(startup.out.find("[REDACTED]"), std::string::npos);
}

}  // namespace
}  // namespace millrace::config
