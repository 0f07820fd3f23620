// SPDX-License-Identifier: Apache-2.0
// Goal: a reload changes what may change, in the peer's order and words, and refuses the rest.
// Method: pairs of Options; the texts are from the log of nats-server 2.15.2.
#include "broker/config/reload.h"

#include <gtest/gtest.h>

#include "broker/config/language/text.h"
#include "tests/config/support.h"

namespace millrace::config {
namespace {

std::vector<std::string> Lines(const ReloadPlan& plan) {
  std::vector<std::string> lines;
  for (const Change& change : plan.changes) {
    if (!change.text.empty()) lines.push_back(change.text);
  }
  return lines;
}

TEST(Reload, ChangesAreLoggedInThePeersOrder) {
  Options old;
  Options now = old;
  now.server_tags = {"a"};
  now.max_payload = 2097152;
  now.debug = true;
  now.trace = true;
  now.trace_verbose = true;
  now.client_advertise = "h:1";
  now.max_connections = -1;
  now.ping_interval = std::chrono::seconds(30);
  now.auth_timeout = 3;
  now.no_fast_producer_stall = true;
  now.log_file = "/tmp/l";
  now.write_deadline = std::chrono::seconds(3);
  now.config_digest = "sha256:x";
  const auto plan = PlanReload(old, now);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lines(*plan), (std::vector<std::string>{
                              "Reload: client_advertise = h:1",
                              "Reloaded: trace = true",
                              "Reloaded: debug = true",
                              "Reloaded: trace_verbose = true",
                              "Reloaded: max_connections = -1",
                              "Reloaded: authorization users",
                              "Reloaded: accounts",
                              "Reloaded: ping_interval = 30s",
                              "Reloaded: authorization timeout = 3",
                              "Reloaded: max_payload = 2097152",
                              "Reloaded: fast producers will not be stalled",
                              "Reloaded: log_file = /tmp/l",
                              "Reloaded: write_deadline = 3s",
                              "Reloaded: tags",
                          }));
  EXPECT_TRUE(plan->logging && plan->trace_level && plan->statsz);
  EXPECT_FALSE(plan->authorization);
  EXPECT_TRUE(plan->Changes("max_payload"));
  EXPECT_FALSE(plan->Changes("ping_max"));
  EXPECT_EQ(plan->done, "Reloaded server configuration (sha256:x)");
}

TEST(Reload, WhatCannotChangeRefusesTheWhole) {
  const struct {
    void (*change)(Options&);
    std::string_view error;
  } kRows[] = {
      {[](Options& o) { o.port = 5; }, "Port: old=4222, new=5"},
      {[](Options& o) { o.max_subscriptions = 5; }, "MaxSubs: old=0, new=5"},
      {[](Options& o) { o.max_pending = 5242880; }, "MaxPending: old=67108864, new=5242880"},
      {[](Options& o) { o.server_name = "x"; }, "ServerName: old=, new=x"},
      {[](Options& o) { o.http_port = 8222; }, "HTTPPort: old=0, new=8222"},
      {[](Options& o) { o.lame_duck_duration = std::chrono::minutes(1); },
       "LameDuckDuration: old=2m0s, new=1m0s"},
      {[](Options& o) { o.write_timeout = Options::WriteTimeout::kClose; },
       "WriteTimeout: old=, new=close"},
      {[](Options& o) { o.feature_flags["a"] = true; }, "FeatureFlags: old=map[], new=map[a:true]"},
      {[](Options& o) { o.tuning.shards = 9; }, "shards: old=1, new=9"},
  };
  for (const auto& row : kRows) {
    Options now;
    row.change(now);
    const auto plan = PlanReload(Options(), now);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(Message(plan.status()), "config reload not supported for " + std::string(row.error));
  }
}

TEST(Reload, UsersMatterOnlyWhenTheyDiffer) {
  Options old;
  old.users = {{.user = "a", .password = "x"}, {.user = "b", .password = "y"}};
  Options now = old;
  std::swap(now.users[0], now.users[1]);
  EXPECT_FALSE(PlanReload(old, now)->authorization);
  now.users[0].permissions.emplace();
  EXPECT_TRUE(PlanReload(old, now)->authorization);
}

TEST(Reload, NoAuthUserGoesOnlyWithItsEntry) {
  Options old;
  old.users = {{.user = "a"}, {.user = "b"}};
  old.no_auth_user = "a";
  Options now = old;
  now.no_auth_user.clear();
  EXPECT_EQ(Message(PlanReload(old, now).status()),
            "config reload not supported for NoAuthUser: old=a, new=");
  now.users.erase(now.users.begin());
  EXPECT_TRUE(PlanReload(old, now).ok());
}

TEST(Reload, JetStreamMayGrow) {
  Options old;
  old.jetstream.enabled = true;
  old.jetstream.store_dir = "/a";
  old.jetstream.max_memory_store = 1 << 20;
  old.jetstream.max_file_store = 1 << 30;
  Options now = old;
  now.jetstream.max_memory_store = 5 << 20;
  now.jetstream.max_file_store = int64_t{3} << 30;
  now.jetstream.limits.max_ack_pending = 5;
  const auto plan = PlanReload(old, now);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lines(*plan), (std::vector<std::string>{
                              "Reloaded: authorization users",
                              "Reloaded: accounts",
                              "Reloaded: JetStream max_mem_store = 5.00 MB",
                              "Reloaded: JetStream max_file_store = 3.00 GB",
                              "Reloaded: JetStream limits",
                          }));
  EXPECT_TRUE(plan->jetstream && plan->statsz);
}

TEST(Reload, TheRestOfJetStreamStands) {
  Options old;
  old.jetstream.enabled = true;
  old.jetstream.store_dir = "/a";
  old.jetstream.max_memory_store = 1 << 20;
  const struct {
    void (*change)(JetStreamOptions&);
    std::string_view error;
  } kRows[] = {
      {[](JetStreamOptions& o) { o.enabled = false; }, "for JetStream: old=true, new=false"},
      {[](JetStreamOptions& o) { o.strict = false; }, "for NoJetStreamStrict: old=false, new=true"},
      {[](JetStreamOptions& o) { o.domain = "hub"; }, "for JetStreamDomain: old=, new=hub"},
      {[](JetStreamOptions& o) { o.store_dir = "/b"; }, "for jetstream storage directory"},
      {[](JetStreamOptions& o) { o.store_dir.clear(); }, "for jetstream storage dir"},
      {[](JetStreamOptions& o) { o.max_memory_store = 5; }, "for decreasing jetstream max memory and store"},
      {[](JetStreamOptions& o) { o.max_memory_store = -1; }, "for jetstream max memory and max store"},
      {[](JetStreamOptions& o) { o.max_file_store = 5; }, "for jetstream dynamic max memory and store"},
      {[](JetStreamOptions& o) { o.sync_interval = std::chrono::seconds(5); }, "for SyncInterval: old=2m0s, new=5s"},
      {[](JetStreamOptions& o) { o.key = "abc"; }, "for JetStreamKey: old=[REDACTED], new=[REDACTED]"},
      {[](JetStreamOptions& o) { o.prev_key = "abc"; }, "for JetStreamOldKey: old=[REDACTED], new=[REDACTED]"},
      {[](JetStreamOptions& o) { o.cipher = "aes"; }, "for JetStreamCipher: old=ChaCha20-Poly1305, new=AES-GCM"},
      {[](JetStreamOptions& o) { o.sync_always = true; }, "for SyncAlways: old=false, new=true"},
      {[](JetStreamOptions& o) { o.max_concurrent_io = 7; }, "for JetStreamConcurrentIOs: old=4096, new=7"},
      {[](JetStreamOptions& o) { o.durability = Durability::kAsync; }, "for js_durability: old=durable, new=async"},
  };
  for (const auto& row : kRows) {
    Options now = old;
    row.change(now.jetstream);
    EXPECT_EQ(Message(PlanReload(old, now).status()), "config reload not supported " + std::string(row.error));
  }
  Options off;
  Options elsewhere;
  elsewhere.jetstream.store_dir = "/b";
  elsewhere.jetstream.max_file_store = 5;
  EXPECT_TRUE(PlanReload(off, elsewhere).ok());
}

TEST(Reload, ARandomPortStaysTheOneInUse) {
  Options old;
  old.port = 41234;
  Options now;
  now.port = kRandomPort;
  const auto plan = PlanReload(old, now);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->options.port, 41234);
}

TEST(Reload, TheFileIsReadAgainAndFlagsStillWin) {
  const Scratch scratch;
  const std::string file = scratch.Write("t.conf", "debug: true\nmax_payload: 1MB");
  const Startup startup = Start({"-c", file, "-D=false"});
  scratch.Write("t.conf", "debug: true\nmax_payload: 2MB");
  const auto options = Reload(startup, nullptr);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_FALSE(options->debug);
  EXPECT_EQ(options->max_payload, 2097152);
  scratch.Write("t.conf", "foo: 1");
  EXPECT_EQ(Message(Reload(startup, nullptr).status()), file + ":1:0: unknown field \"foo\"\n");
  EXPECT_EQ(Message(Reload(Start({}), nullptr).status()),
            "can only reload config when a file is provided using -c or --config");
}

}  // namespace
}  // namespace millrace::config
