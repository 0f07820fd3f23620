// SPDX-License-Identifier: Apache-2.0
// Goal: the block jetstream is read as the peer reads it.
// Method: whole files; the texts of errors are those of nats-server 2.15.2.
#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace millrace::config {
namespace {

JetStreamOptions Read(std::string_view text) {
  const Startup startup = StartWith(text);
  EXPECT_EQ(startup.action, Startup::Action::kRun) << text << ": " << startup.err;
  return startup.options.jetstream;
}

TEST(JetStreamOptions, EveryKeyIsRead) {
  const JetStreamOptions options = Read(R"(
    jetstream {
      store_dir: '/tmp/x', strict: false, max_mem: 1GB, max_file: '2G', sync_interval: '5s', domain: hub
      request_queue_limit: 5, max_concurrent_io: 8, max_buffered_size: '1K', max_buffered_msgs: 9
      limits {
        max_request_batch: 1, max_ack_pending: 2, max_ha_assets: 3, default_max_consumers: -1, duplicate_window: '1m'
        batch { max_inflight_per_stream: 4, max_inflight_total: 5, max_msgs: 6, timeout: '7s' }
      }
    }
    millrace { js_durability: async, js_wal_file_bytes: 1MB, js_wal_files: 3, js_block_cache_bytes: 2MB,
               js_block_bytes: 64KB, store_lock_wait: 90s })");
  JetStreamOptions expected;
  expected.enabled = true;
  expected.store_dir = "/tmp/x";
  expected.strict = false;
  expected.max_memory_store = 1 << 30;
  expected.max_file_store = int64_t{2} << 30;
  expected.sync_interval = std::chrono::seconds(5);
  expected.domain = "hub";
  expected.request_queue_limit = 5;
  expected.info_queue_limit = 5;
  expected.max_concurrent_io = 8;
  expected.max_buffered_size = 1024;
  expected.max_buffered_msgs = 9;
  expected.limits = {.max_request_batch = 1, .max_ack_pending = 2, .max_ha_assets = 3, .default_max_consumers = -1,
                     .duplicate_window = std::chrono::minutes(1), .batch_max_inflight_per_stream = 4,
                     .batch_max_inflight_total = 5, .batch_max_msgs = 6,
                     .batch_timeout = std::chrono::seconds(7)};
  expected.durability = Durability::kAsync;
  expected.wal_file_bytes = 1 << 20;
  expected.wal_files = 3;
  expected.block_cache_bytes = 2 << 20;
  expected.block_bytes = 65536;
  expected.store_lock_wait = std::chrono::seconds(90);
  EXPECT_EQ(options, expected);
}

TEST(JetStreamOptions, WhatIsWithoutEffectIsNamed) {
  const auto warnings = [](std::string_view keys) {
    return StartWith("jetstream { " + std::string(keys) + " }").warnings;
  };
  EXPECT_TRUE(warnings("request_queue_limit: 5").empty());
  EXPECT_EQ(warnings("max_buffered_msgs: 9, info_queue_limit: 7"),
            (std::vector<std::string>{
                "jetstream max_buffered_msgs is without effect: messages do not wait in front of a stream",
                "jetstream info_queue_limit is without effect: all requests wait in one queue, bounded by "
                "request_queue_limit"}));
  EXPECT_EQ(warnings("max_buffered_size: 1K, max_concurrent_io: 8").size(), 2u);
}

TEST(JetStreamOptions, OnAndOffHaveManyForms) {
  for (std::string_view text : {"jetstream: true", "jetstream: enabled", "jetstream: Enable", "jetstream {}",
                                "jetstream {enabled: true}"}) {
    EXPECT_TRUE(Read(text).enabled) << text;
  }
  for (std::string_view text : {"jetstream: false", "jetstream: disabled", "jetstream: disable",
                                "jetstream {enable: false}", "store_dir: '/tmp/x'"}) {
    EXPECT_FALSE(Read(text).enabled) << text;
  }
}

TEST(JetStreamOptions, SizesBelowZeroLeaveTheLimitToTheMachine) {
  EXPECT_EQ(Read("jetstream {max_mem: -5}").max_memory_store, -1);
  EXPECT_EQ(Read("jetstream {max_mem: 0, max_file: ''}").max_memory_store, 0);
  EXPECT_EQ(Read("jetstream {max_mem: 0, max_file: ''}").max_file_store, 0);
  EXPECT_EQ(Read("jetstream {max_file: '-1G'}").max_file_store, -1);
  EXPECT_EQ(Read("jetstream {}").max_file_store, -1);
}

TEST(JetStreamOptions, SyncAlwaysIsAFlagOfItsOwn) {
  EXPECT_TRUE(Read("jetstream {sync_interval: Always}").sync_always);
  EXPECT_EQ(Read("jetstream {sync: always}").sync_interval, std::chrono::minutes(2));
  EXPECT_EQ(StartWith("jetstream {sync: always}", {"--js-durability=async"}).err,
            "nats-server: sync_interval is always but js_durability is async\n");
}

TEST(JetStreamOptions, ErrorsAreThoseOfThePeer) {
  const struct {
    std::string_view text;
    std::string_view error;
  } kRows[] = {
      {"{domain: 5}", "t.conf:1:0: interface conversion: interface {} is int64, not string"},
      {"{strict: 5}", "t.conf:1:12: Expected 'true' or 'false' for bool value, got '%!s(int64=5)'"},
      {"{sync: true}",
       "t.conf:1:12: invalid use of field \"sync\": sync should be converted to a duration\n"
       "t.conf:1:0: interface conversion: interface {} is bool, not int64"},
      {"{max_mem: '5x'}", "t.conf:1:12: max_mem_store sizes defined as strings must end in K, M, G, T"},
      {"{max_mem: 'xM'}", "t.conf:1:12: max_mem_store strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"{max_file: '99999999999999999999M'}",
       "t.conf:1:12: max_file_store strconv.ParseInt: parsing \"99999999999999999999\": value out of range"},
      {"{max_file: true}", "t.conf:1:12: max_file_store must be int64 or string"},
      {"{limits: 5}", "t.conf:1:12: Expected a map to define JetStreamLimits, got int64"},
      {"{limits {max_ack_pending: x}}", "t.conf:1:0: interface conversion: interface {} is string, not int64"},
      {"{limits {duplicate_window: 'x'}}", "time: invalid duration \"x\""},
      {"{limits {batch: 5}}", "t.conf:1:20: Expected a map to define batch limits, got int64"},
      {"{limits {batch {timeout: 'x', foo: 1}}}",
       "time: invalid duration \"x\"\nt.conf:1:41: unknown field \"foo\""},
      {"{max_buffered_msgs: x}", "t.conf:1:12: Expected a parseable size for \"max_buffered_msgs\", got x"},
      {"{max_concurrent_io: 3}",
       "t.conf:1:12: Expected an absolute size for \"max_concurrent_io\" between 4 and 8192, got 3"},
      {"{store_dirr: x}", "t.conf:1:12: unknown field \"store_dirr\", did you mean \"store_dir\"?"},
      {"{store_dir: a, storedir: b}", "t.conf:1:26: Duplicate 'store_dir' configuration"},
      {"{domain: 'a b'}", "invalid domain name: derived \"$JS.a b.API.>\" is not a valid subject"},
      {"{domain: 'a.b'}", "invalid domain name: may not contain ., * or >"},
  };
  for (const auto& row : kRows) {
    std::string error = StartWith("jetstream: " + std::string(row.text)).err;
    error = error.substr(0, error.find_last_not_of('\n') + 1);
    EXPECT_EQ(error, "nats-server: " + std::string(row.error)) << row.text;
  }
}

TEST(JetStreamOptions, EncryptionHasAKeyACipherAndNoPlaceInThePrint) {
  const Startup named = StartWith("jetstream {ek: abc, prev_encryption_key: before, cipher: ChaChaPoly}");
  EXPECT_EQ(named.options.jetstream.key, "abc");
  EXPECT_EQ(named.options.jetstream.prev_key, "before");
  EXPECT_EQ(named.options.jetstream.cipher, "chacha");
  EXPECT_TRUE(named.warnings.empty());
  const Startup flags = StartWith("jetstream {key: abc}", {"--js-key", "other", "--js-cipher=AES"});
  EXPECT_EQ(flags.options.jetstream.key, "other");
  EXPECT_EQ(flags.options.jetstream.cipher, "aes");
  const std::string printed = StartWith("jetstream {key: other}", {"--print-config"}).out;
  EXPECT_EQ(printed.find("other"), std::string::npos);
  EXPECT_NE(printed.find("key: \"[REDACTED]\""), std::string::npos);
  EXPECT_NE(StartWith("", {"--js-cipher=des"}).err.find("must be chacha, chachapoly or aes"), std::string::npos);
}

TEST(JetStreamOptions, WhatIsNotBuiltIsNamed) {
  const Startup startup = StartWith("jetstream {meta_compact: 5, unique_tag: ' AZ:x'}");
  ASSERT_EQ(startup.warnings.size(), 2u);
  EXPECT_TRUE(startup.warnings[0].starts_with("JetStream in clusters is not built yet and has no effect"));
  EXPECT_EQ(startup.options.jetstream.unique_tag, "az:x");
  // Each by its own key.
  EXPECT_NE(StartWith("jetstream {meta_compact_sync: true}").warnings.at(0).find("jetstream.meta_compact_sync at"),
            std::string::npos);
}

TEST(JetStreamOptions, PrintedConfigurationsReadBackTheSame) {
  const std::string_view text =
      "jetstream {max_mem: 5, sync: always, domain: hub, limits {max_ack_pending: 7, batch {timeout: '3s'}}}\n"
      "millrace {js_wal_files: 5}";
  const Startup first = StartWith(text, {"--print-config"});
  EXPECT_NE(first.out.find("sync_interval: \"always\""), std::string::npos);
  EXPECT_EQ(Read(first.out), Read(text)) << first.out;
}

}  // namespace
}  // namespace millrace::config
