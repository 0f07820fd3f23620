// SPDX-License-Identifier: Apache-2.0
// Goal: JetStream starts with the settings and the lines of the peer.
// Method: settings from options in a scratch directory; lines from the log of nats-server 2.15.2.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_format.h"
#include "broker/jetstream/directory/start_lines.h"
#include "broker/jetstream/engine/banner.h"
#include "broker/jetstream/engine/settings.h"

namespace millrace {
namespace {

class Start : public testing::Test {
 protected:
  Start() {
    std::string pattern = std::filesystem::temp_directory_path() / "millrace-js-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~Start() override { std::filesystem::remove_all(directory_); }
  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }
  std::string directory_;
};

std::string Text(const absl::Status& status) { return std::string(status.message()); }

TEST_F(Start, ConfiguredLimitsAreTaken) {
  JetStreamOptions options;
  options.store_dir = directory_ + "//";
  options.max_memory_store = 5;
  options.max_file_store = 6;
  options.domain = "hub";
  options.limits.max_ack_pending = 7;
  const JetStreamSettings settings = ResolveJetStream(options);
  EXPECT_EQ(settings.config.store_dir, PathOf("jetstream"));
  EXPECT_EQ(settings.config.max_memory, 5);
  EXPECT_EQ(settings.config.max_storage, 6);
  EXPECT_EQ(settings.config.domain, "hub");
  EXPECT_EQ(settings.config.sync_interval_ns, 120'000'000'000);
  EXPECT_TRUE(settings.config.compress_ok);
  EXPECT_TRUE(settings.config.strict);
  EXPECT_EQ(settings.limits.max_ack_pending, 7);
  EXPECT_EQ(settings.limits.default_max_consumers, 1000);
  EXPECT_FALSE(settings.dynamic || settings.temporary || settings.storage_is_estimated);
  EXPECT_EQ(FinishMaxStorage(settings, 100), 6);
}

TEST_F(Start, LimitsThatAreNotSetComeFromTheMachine) {
  JetStreamOptions options;
  options.store_dir = directory_;
  const JetStreamSettings settings = ResolveJetStream(options);
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  EXPECT_NEAR(static_cast<double>(settings.config.max_memory), static_cast<double>(memory) * 0.75, 1e6);
  EXPECT_GT(settings.config.max_storage, 0);
  EXPECT_TRUE(settings.dynamic && settings.storage_is_estimated);
  EXPECT_FALSE(settings.config.compress_ok);
  EXPECT_TRUE(std::filesystem::is_directory(PathOf("jetstream")));
  EXPECT_EQ(FinishMaxStorage(settings, 400), settings.config.max_storage + 300);
}

TEST_F(Start, ALimitOfZeroIsALimit) {
  JetStreamOptions options;
  options.store_dir = directory_;
  options.max_memory_store = options.max_file_store = 0;
  const JetStreamSettings settings = ResolveJetStream(options);
  EXPECT_EQ(settings.config.max_memory, 0);
  EXPECT_EQ(settings.config.max_storage, 0);
  EXPECT_FALSE(settings.storage_is_estimated);
}

TEST_F(Start, WithoutADirectoryATemporaryOneIsTaken) {
  setenv("TMPDIR", directory_.c_str(), 1);
  JetStreamOptions options;
  EXPECT_EQ(ResolveJetStream(options).config.store_dir, PathOf("nats/jetstream"));
  EXPECT_TRUE(ResolveJetStream(options).temporary);
  options.max_memory_store = options.max_file_store = 1;
  EXPECT_EQ(ResolveJetStream(options).config.store_dir, PathOf("jetstream"));
  unsetenv("TMPDIR");
}

TEST_F(Start, ReloadsRaiseLimits) {
  JetStreamOptions options;
  options.store_dir = directory_;
  options.max_memory_store = options.max_file_store = 5;
  const JetStreamSettings settings = ResolveJetStream(options);
  options.max_file_store = 9;
  options.limits.max_request_batch = 3;
  const JetStreamSettings changed = ChangedSettings(settings, options);
  EXPECT_EQ(changed.config.max_memory, 5);
  EXPECT_EQ(changed.config.max_storage, 9);
  EXPECT_EQ(changed.limits.max_request_batch, 3);
  EXPECT_EQ(changed.config.store_dir, settings.config.store_dir);
}

TEST_F(Start, TheEngineAndTheStoreGetTheirShare) {
  Options options;
  options.jetstream.store_dir = directory_;
  options.jetstream.domain = "hub";
  options.jetstream.durability = Durability::kAsync;
  options.jetstream.max_memory_store = 5;
  options.jetstream.max_file_store = 6;
  options.jetstream.limits.max_request_batch = 7;
  options.jetstream.limits.batch_max_inflight_total = 8;
  options.jetstream.wal_file_bytes = 128 << 20;
  const JetStreamEngineOptions engine = EngineOptionsOf(options, ResolveJetStream(options.jetstream));
  EXPECT_EQ(engine.domain, "hub");
  EXPECT_TRUE(engine.async && engine.strict);
  EXPECT_EQ(engine.memory_max, 5);
  EXPECT_EQ(engine.storage_max, 6);
  EXPECT_EQ(engine.limits.max_request_batch, 7);
  EXPECT_EQ(engine.batches.atomic_total, 8u);
  EXPECT_EQ(engine.batches.fast_total, 8u);
  EXPECT_EQ(engine.batches.atomic_per_stream, BatchLimits().atomic_per_stream);
  const ShardStoreOptions store = StoreOptionsOf(options.jetstream);
  EXPECT_EQ(store.wal_file_bytes, uint64_t{128} << 20);
  EXPECT_EQ(store.wal_files, 3u);
}

TEST_F(Start, TheDirectoryIsMadeAndTried) {
  EXPECT_TRUE(PrepareStoreDir(PathOf("a/b/c")).ok());
  struct stat info {};
  ASSERT_EQ(stat(PathOf("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_TRUE(PrepareStoreDir(PathOf("a/b/c")).ok());
  EXPECT_TRUE(std::filesystem::is_empty(PathOf("a/b/c")));
  std::ofstream(PathOf("file")) << "x";
  EXPECT_EQ(Text(PrepareStoreDir(PathOf("file"))), "storage directory is not a directory");
  EXPECT_EQ(Text(PrepareStoreDir(PathOf("file/jetstream"))), "storage directory is not a directory");
  EXPECT_EQ(Text(PrepareStoreDir("/proc/nope/jetstream")),
            "could not create storage directory - mkdir /proc/nope: no such file or directory");
}

TEST_F(Start, TheBannerIsThePeers) {
  JetStreamSettings settings;
  settings.config.strict = true;
  settings.config.max_memory = 5'000'000'000;
  settings.config.max_storage = 1000;
  settings.config.store_dir = "/tmp/sd/jetstream";
  settings.config.domain = "hub";
  settings.sync_method = "O_DSYNC";
  std::vector<std::string> lines = JetStreamBanner(settings);
  ASSERT_EQ(lines.size(), 17u);
  lines.erase(lines.begin(), lines.begin() + 7);
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "---------------- JETSTREAM ----------------",
                       "  Strict:          true",
                       "  Max Memory:      4.66 GB",
                       "  Max Storage:     1000 B",
                       "  Store Directory: \"/tmp/sd/jetstream\"",
                       "  Domain:          hub",
                       "  API Level:       5",
                       "  Durability:      durable (an ack means: on disk)",
                       "  Sync Method:     O_DSYNC",
                       "-------------------------------------------",
                   }));
}

AccountTable Table(const std::vector<AccountSpec>& specs) { return {specs, "", nullptr}; }

AccountSpec Given(const std::string& name, int64_t memory, int64_t storage) {
  JetStreamAccountLimits limits;
  limits.max_memory = memory;
  limits.max_storage = storage;
  return {.name = name, .jetstream = {true, {{"", limits}}}};
}

TEST_F(Start, WhatAccountsArePromisedTogetherIsThere) {
  JetStreamSettings settings;
  settings.config.max_memory = settings.config.max_storage = 1000;
  const auto refused = [&](const std::vector<AccountSpec>& specs) {
    return std::string(CheckAccounts(Table(specs), settings).message());
  };
  const std::string error = "Error enabling jetstream on configured accounts: insufficient ";
  EXPECT_EQ(refused({Given("A", 600, -1), Given("B", 400, 1000)}), "");
  EXPECT_EQ(refused({Given("A", 600, -1), Given("B", 401, -1)}), error + "memory resources available (10028)");
  EXPECT_EQ(refused({Given("A", 0, 600), Given("B", 0, 401)}), error + "storage resources available (10047)");
  settings.storage_is_estimated = true;
  EXPECT_EQ(refused({Given("A", 0, 600), Given("B", 0, 401)}), "") << "it may turn out to be more";
}

TEST_F(Start, TheSystemAccountHasNoJetStream) {
  const std::string text = "Not allowed to enable JetStream on the system account";
  EXPECT_EQ(CheckSystemAccount({Given("$SYS", 1, 1)}, "").message(), text);
  EXPECT_EQ(CheckSystemAccount({Given("A", 1, 1), Given("S", 1, 1)}, "S").message(), text);
  EXPECT_TRUE(CheckSystemAccount({Given("$SYS", 1, 1)}, "S").ok());
}

TEST_F(Start, AReloadGrantsWhatThereIs) {
  JetStreamSettings settings;
  settings.config.max_memory = settings.config.max_storage = 1000;
  const std::string error = "Error enabling jetstream on configured accounts: ";
  const auto text = [](const std::vector<AccountSpec>& specs) {
    std::string all;
    for (const AccountSpec& account : specs) {
      if (!account.jetstream.enabled) continue;
      all += account.name;
      for (const auto& [tier, limits] : account.jetstream.tiers) absl::StrAppendFormat(&all, " %d", limits.max_storage);
      all += "; ";
    }
    return all;
  };
  const AccountTable before = Table({Given("A", 0, 600), Given("B", 0, 300)});
  const auto grant = [&](std::vector<AccountSpec> specs, std::string_view refused) {
    const absl::Status granted = GrantJetStream(before, settings, "", &specs);
    EXPECT_EQ(granted.message(), refused.empty() ? "" : error + std::string(refused));
    return text(specs);
  };
  constexpr std::string_view kTooMuch = "insufficient storage resources available (10047)";
  EXPECT_EQ(grant({Given("A", 0, 300), Given("B", 0, 700)}, ""), "A 300; B 700; ") << "what one gives back";
  EXPECT_EQ(grant({Given("A", 0, 1000)}, ""), "A 1000; ") << "what one had who is gone";
  EXPECT_EQ(grant({AccountSpec{.name = "A"}, Given("B", 0, 1000)}, ""), "B 1000; ");
  EXPECT_EQ(grant({Given("A", 0, 600), Given("B", 0, 401)}, kTooMuch), "A 600; B 300; ");
  EXPECT_EQ(grant({Given("A", 0, 701), Given("B", 0, 400)}, kTooMuch), "A 600; B 400; ");
  EXPECT_EQ(grant({Given("A", 0, 600), Given("B", 0, 300), Given("C", 0, 101), Given("D", 0, 100)}, kTooMuch),
            "A 600; B 300; D 100; ");
  EXPECT_EQ(grant({Given("A", 1001, 600)}, "insufficient memory resources available (10028)"), "A 600; ");
  EXPECT_EQ(grant({Given("A", 0, INT64_MAX), Given("B", 0, INT64_MAX)}, kTooMuch), "A 600; B 300; ");
  EXPECT_EQ(grant({Given("A", 0, 1), Given("$SYS", 1, 1)}, "jetstream can not be enabled on the system account"),
            "A 1; ");
}

TEST_F(Start, TheEngineIsToldOfAccounts) {
  AccountSpec imports = {.name = "B"};
  imports.service_imports.push_back({.account = "A", .subject = "$JS.API.>"});
  AccountSpec both = Given("C", -1, -1);
  both.service_imports = imports.service_imports;
  AccountSpec other = {.name = "D"};
  other.service_imports.push_back({.account = "A", .subject = "$JS.API.>", .to = "a.api.>"});
  const std::vector<AccountSpec> specs = {Given("A", 1, 2), imports, both, other, Given("$SYS", 1, 1)};
  const AccountTable before = Table({AccountSpec{.name = "GONE"}});
  const std::vector<EngineAccount> told = EngineAccountsOf(AccountTable(specs, "", &before), specs);
  std::string text;
  for (const EngineAccount& each : told) {
    text += each.account.name + (each.account.jetstream.enabled ? "+" : "-") + (each.answers_api ? "" : "!") + " ";
  }
  EXPECT_EQ(text, "$G- $SYS- A+ B-! C+ D- ");
}

TEST_F(Start, WhoHasJetStreamIsLogged) {
  const std::vector<std::string> two = {"  Exports:",
                                        "     $JS.API.>",
                                        "Enabled JetStream for account \"A\"",
                                        "  Max Memory:      3.91 KB",
                                        "  Max Storage:     6.00 MB",
                                        "Enabled JetStream for account \"B\"",
                                        "  Max Memory:      -1 B",
                                        "  Max Storage:     -1 B"};
  EXPECT_EQ(AccountEnabledLines(Table({Given("A", 4000, 6 << 20), Given("B", -1, -1), AccountSpec{.name = "C"}})), two);
  EXPECT_EQ(AccountEnabledLines(AccountTable()).at(2), "Enabled JetStream for account \"$G\"");
}

TEST_F(Start, LinesOfRecoveryAreThePeers) {
  EXPECT_EQ(RestoreStartsLine("$G", "MIR"), "  Starting restore for stream '$G > MIR'");
  EXPECT_EQ(RestoredLine("$G", "ORDERS", 1234567, 29'400'000),
            "  Restored 1,234,567 messages for stream '$G > ORDERS' in 29ms");
  EXPECT_EQ(RestoredLine("$G", "S", 999, 400'000), "  Restored 999 messages for stream '$G > S' in 0s");
  EXPECT_EQ(ConsumersRecoverLine("$G", "ORDERS", 2), "  Recovering 2 consumers for stream - '$G > ORDERS'");
  EXPECT_EQ(JetStreamStartedLine(31'819'088), "Took 31.819088ms to start JetStream");
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(1000), "1,000");
}

}  // namespace
}  // namespace millrace
