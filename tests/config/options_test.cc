// SPDX-License-Identifier: Apache-2.0
// Goal: files turn into the right Options, and wrong ones into the peer's errors.
// Method: tables of text against texts taken from nats-server 2.15.2 (compare_with_peer.py runs
// some 700 more side by side).
#include <gtest/gtest.h>

#include <set>

#include "broker/config/blocks/cpus.h"
#include "broker/config/blocks/secrets.h"
#include "broker/config/language/text.h"
#include "broker/config/settings.h"
#include "tests/config/support.h"

namespace millrace::config {
namespace {

using std::chrono::seconds;

TEST(Options, EveryKeyOfTheTableIsRead) {
  const Startup startup = StartWith(R"(
    server_name: n1, client_advertise: 'h:1', debug: true, trace: on, logtime: false
    logtime_utc: yes, log_file: /tmp/l, logfile_size_limit: 5MB, logfile_max_num: 3
    max_traced_msg_len: 9, connect_error_reports: 2, reconnect_error_reports: 4
    max_connections: 0, max_subs: 7, max_sub_tokens: 8, max_control_line: 2KB
    max_payload: 2MB, max_pending: 32MB, ping_interval: '30s', ping_max: 5
    write_deadline: 3s, write_timeout: retry, max_closed_clients: 11
    no_fast_producer_stall: true, no_sublist_cache: true, no_header_support: true
    lame_duck_duration: 60s, lame_duck_grace_period: 7s, pidfile: /tmp/p, ports_file_dir: /tmp
    http: '127.0.0.1:8222', http_base_path: /x, server_tags: [A, b, a], listen: '127.0.0.1:5'
    server_metadata: {k: v}, feature_flags: {f: true}
    millrace { shards: 3, spin_us: 0, batch_wait_us: 150, pin_shards: false }
  )");
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  const Options& options = startup.options;
  EXPECT_EQ(options.server_name, "n1");
  EXPECT_EQ(options.host, "127.0.0.1");
  EXPECT_EQ(options.port, 5);
  EXPECT_TRUE(options.debug && options.trace && !options.logtime && options.logtime_utc);
  EXPECT_EQ(options.logfile_size_limit, 5 * 1024 * 1024);
  EXPECT_EQ(options.max_connections, -1);
  EXPECT_EQ(options.max_subscriptions, 7);
  EXPECT_EQ(options.max_sub_tokens, 8);
  EXPECT_EQ(options.max_control_line, 2048);
  EXPECT_EQ(options.ping_interval, seconds(30));
  EXPECT_EQ(options.write_deadline, seconds(3));
  EXPECT_EQ(options.write_timeout, Options::WriteTimeout::kRetry);
  EXPECT_TRUE(options.no_fast_producer_stall && options.disable_sublist_cache);
  EXPECT_EQ(options.lame_duck_grace_period, seconds(7));
  EXPECT_EQ(options.http_host, "127.0.0.1");
  EXPECT_EQ(options.http_port, 8222);
  EXPECT_EQ(options.server_tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.server_metadata.at("k"), "v");
  EXPECT_EQ(options.tuning.shards, 3);
  EXPECT_EQ(options.tuning.spin_us, 0);
  EXPECT_EQ(options.tuning.batch_wait_us, 150);
  EXPECT_FALSE(options.tuning.pin_shards);
}

TEST(Options, AnEmptyCommandLineMeansTheDefaults) {
  const Startup startup = Start({});
  ASSERT_EQ(startup.action, Startup::Action::kRun);
  Options expected;
  expected.http_host = "0.0.0.0";
  expected.tuning.shards = DefaultShardCount(kShardsMax);
  expected.jetstream.info_queue_limit = expected.jetstream.request_queue_limit;
  EXPECT_EQ(startup.options, expected);
  EXPECT_FALSE(startup.options.AuthRequired());
}

TEST(Options, ErrorsBearFileLineAndColumn) {
  const struct {
    std::string_view text;
    std::string_view error;
  } kRows[] = {
      {"port: abc", "t.conf:1:0: interface conversion: interface {} is string, not int64\n"},
      {"\n  prot: 4222", "t.conf:2:3: unknown field \"prot\", did you mean \"port\"?\n"},
      {"quite_unlike: 1", "t.conf:1:0: unknown field \"quite_unlike\"\n"},
      {"listen: x", "t.conf:1:0: could not parse address string \"x\"\n"},
      {"max_payload: 3GB", "t.conf:1:0: max_payload value is too big\n"},
      {"max_sub_tokens: 0", "t.conf:1:0: max_sub_tokens value can not be negative\n"},
      {"server_name: 'a b'", "t.conf:1:0: server name cannot contain spaces\n"},
      {"lame_duck_duration: '1s'",
       "t.conf:1:0: invalid lame_duck_duration of 1s, minimum is 30 seconds\n"},
      {"authorization {user: a, token: b}", "t.conf:1:0: Cannot have a user/pass and token\n"},
      {"authorization {user: a, users: []}",
       "t.conf:1:0: Can not have a single user/pass and a users array\n"},
      {"authorization {users: [{user: a}, {user: a}]}",
       "t.conf:1:0: Duplicate user \"a\" detected\n"},
      {"authorization {users: [{user: a, permissions: {publish: 'a..b'}}]}",
       "t.conf:1:47: subject \"a..b\" is not a valid subject\n"},
      {"millrace {shrads: 1}", "t.conf:1:10: unknown field \"shrads\", did you mean \"shards\"?\n"},
      {"debug: 1\ntrace: 2",
       "t.conf:1:0: interface conversion: interface {} is int64, not bool\n"
       "t.conf:2:1: interface conversion: interface {} is int64, not bool\n"},
  };
  for (const auto& row : kRows) {
    const Startup startup = StartWith(row.text);
    EXPECT_EQ(startup.exit_code, 1) << row.text;
    EXPECT_EQ(startup.err, "nats-server: " + std::string(row.error) + "\n");
  }
}

TEST(Options, WhatDoesNotFitTogetherIsRefusedAtTheStart) {
  const struct {
    std::string_view text;
    std::string_view error;
  } kRows[] = {
      {"lame_duck_grace_period: 5m",
       "t.conf:1:0: interface conversion: interface {} is int64, not string\n"},
      {"lame_duck_grace_period: '5m'",
       "lame duck grace period (5m0s) should be strictly lower than lame duck duration (2m0s)"},
      {"max_pending: 1KB", "max_payload (1048576) cannot be higher than max_pending (1024)"},
      {"no_auth_user: a", "no_auth_user: \"a\" present, but users/nkeys are not defined"},
      {"millrace {shards: 0}", "shards is 0 but must be between 1 and 64"},
      {"millrace {ring_bytes: 100000}", "ring_bytes is 100000 but must be a power of two"},
      {"millrace {spin_us: 1001}", "spin_us is 1001 but must be between 0 and 1000"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(StartWith(row.text).err, "nats-server: " + std::string(row.error) + "\n");
  }
}

TEST(Options, WarningsPassAStartAndFailATest) {
  const std::string warning =
      "t.conf:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a "
      "duration\n";
  const Startup run = StartWith("ping_interval: 5");
  EXPECT_EQ(run.action, Startup::Action::kRun);
  EXPECT_EQ(run.err, warning);
  EXPECT_EQ(run.options.ping_interval, seconds(5));
  const Startup check = StartWith("ping_interval: 5", {"-t"});
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_EQ(check.err, "nats-server: " + warning + "\n");
}

TEST(Options, UsersCarryTheirPermissions) {
  const Startup startup = StartWith(R"(authorization {
    timeout: 0.5
    default_permissions { publish: d }
    users: [
      { user: a, password: x }
      { user: b, permissions { publish {allow: [p, "q.*"], deny: r}, subscribe: ["s", "t v1.*"] } }
      { user: c, permissions { subscribe: {}, allow_responses: {max: 5, ttl: 1m} } }
      { user: d, permissions { allow_responses: {max: 5, ttl: "1m"} }, clients: [standard, MQTT] }
    ]})");
  EXPECT_NE(startup.err.find("error parsing expires, not a duration string"), std::string::npos);
  const Startup good = StartWith(R"(authorization {
    timeout: 0.5
    default_permissions { publish: d }
    users: [
      { user: a, password: x }
      { user: b, permissions { publish {allow: [p, "q.*"], deny: r}, subscribe: ["s", "t v1.*"] } }
      { user: c, permissions { subscribe: {}, allow_responses: true } }
      { user: d, permissions { allow_responses: {max: 5, ttl: "1m"} }, clients: [standard, MQTT] }
    ]})");
  ASSERT_EQ(good.action, Startup::Action::kRun) << good.err;
  EXPECT_EQ(good.options.auth_timeout, 0.5);
  EXPECT_EQ(good.options.AuthTimeout(), std::chrono::milliseconds(500));
  const std::vector<User>& users = good.options.users;
  ASSERT_EQ(users.size(), 4u);
  EXPECT_EQ(users[0].permissions->publish->allow, std::vector<std::string>{"d"});
  EXPECT_EQ(users[1].permissions->publish->deny, std::vector<std::string>{"r"});
  EXPECT_EQ(users[1].permissions->subscribe->allow->at(1), (SubscribeEntry{"t", "v1.*"}));
  EXPECT_FALSE(users[2].permissions->subscribe.has_value());
  EXPECT_EQ(users[2].permissions->response, ResponsePermission());
  // Who may answer may publish nothing else.
  EXPECT_EQ(users[2].permissions->publish->allow, std::vector<std::string>{});
  EXPECT_EQ(users[3].permissions->response->max, 5);
  EXPECT_EQ(users[3].permissions->response->expires, std::chrono::minutes(1));
  EXPECT_EQ(users[3].allowed_connection_types, kConnectionStandard | kConnectionMqtt);
  EXPECT_EQ(good.warnings,
            std::vector<std::string>{"Plaintext passwords detected, use nkeys or bcrypt"});
}

TEST(Options, WhatIsNotBuiltIsRefusedByName) {
  const struct {
    std::string_view text;
    std::string_view error;
  } kRows[] = {
      {"tls {cert_file: a}", "TLS is not supported yet by this build: tls at t.conf:1:0"},
      {"cluster {port: 1}", "clustering is not supported yet by this build: cluster at t.conf:1:0"},
      {"https: 1", "monitoring over HTTPS is not supported yet by this build: https at t.conf:1:0"},
      {"leafnodes {remotes [{url: a}]}",
       "leafnode remotes is not supported yet by this build: leafnodes.remotes at t.conf:1:11"},
      {"authorization {users [{user: a, proxy_required: true}]}",
       "proxy_required is not supported yet by this build: authorization.users.proxy_required at "
       "t.conf:1:32"},
  };
  for (const auto& row : kRows) {
    const Startup startup = StartWith(row.text);
    EXPECT_EQ(startup.exit_code, 1) << row.text;
    EXPECT_EQ(startup.err, "nats-server: " + std::string(row.error) + "\n");
  }
}

TEST(Options, NkeyUsersAreChecked) {
  constexpr std::string_view kKey = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
  const Startup startup =
      StartWith("authorization {users [{nkey: " + std::string(kKey) + "}]}\nno_auth_user: " +
                std::string(kKey));
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  EXPECT_EQ(startup.options.users.at(0).nkey, kKey);
  EXPECT_TRUE(startup.warnings.empty());
  EXPECT_NE(StartWith("authorization {users [{nkey: UABC}]}").err.find(
                "Not a valid public nkey for a user"),
            std::string::npos);
}

TEST(Options, HarmlessTracesOfFeaturesPass) {
  for (std::string_view text :
       {"cluster {name: a}", "cluster {}", "accounts {}", "https_port: 0", "proxy_protocol: false",
        "jetstream: disabled", "authorization {proxy_required: false}", "system_account: '$SYS'"}) {
    EXPECT_EQ(StartWith(text).action, Startup::Action::kRun) << text;
  }
}

TEST(Options, TheConfigurationsOfClientSuitesStart) {
  // What the harness of nats.js writes.
  const Startup startup = StartWith(R"({
    "http": "127.0.0.1:-1", "port": -1, "listen": "127.0.0.1:-1",
    "leafnodes": {"listen": "127.0.0.1:-1"},
    "websocket": {"port": -1, "no_tls": true},
    "server_tags": ["demo"], "ports_file_dir": "/tmp",
    "jetstream": {"max_file_store": 1048576, "store_dir": "/tmp/x"}
  })");
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  EXPECT_EQ(startup.options.port, kRandomPort);
  EXPECT_EQ(startup.options.http_port, kRandomPort);
  EXPECT_EQ(startup.options.jetstream.store_dir, "/tmp/x");
  EXPECT_EQ(startup.options.jetstream.max_file_store, 1048576);
  ASSERT_EQ(startup.warnings.size(), 2u);
  EXPECT_TRUE(startup.warnings[0].starts_with("leafnodes is not built yet and has no effect"));
}

// One row, in a block with a struct of that type (null: of a feature that is not built).
void CheckRow(const Row& row, TypeTag type, bool is_own) {
  SCOPED_TRACE(std::string(row.key) + std::string(row.flags));
  const bool is_kept = row.member != nullptr && row.member->IsKept();
  const bool is_changeable = is_kept && row.order != 0;  // within lists and the like, the list is what changes
  if (is_changeable && row.on_reload == OnReload::kRefuse) {
    EXPECT_TRUE(!row.peer_name.empty() || is_own);
  }
  EXPECT_TRUE(row.flags.empty() || (!row.help.empty() && row.group != nullptr && row.member != nullptr));
  EXPECT_TRUE(type == nullptr || row.read || row.member != nullptr || row.block != nullptr || row.is_own_block ||
              row.lacking != nullptr);
  // Each member and hook is for the struct that the rows of this block are given.
  if (is_kept) {
    EXPECT_EQ(row.member->owner, type);
  }
  for (TypeTag hook : {row.read.type, row.take_flag.type, row.print_value.type, row.print_lines.type,
                       row.reload_value.type, row.reload_line.type, row.plan.type}) {
    EXPECT_TRUE(hook == nullptr || hook == type);
  }
  if (is_kept && row.member->kind == Kind::kWord) {
    EXPECT_FALSE(row.words.empty());
  }
  if (is_kept && row.member->kind >= Kind::kTexts) {
    EXPECT_TRUE(row.read || row.block != nullptr);
  }
}

void CheckRows(std::span<const Row> rows, TypeTag type, bool is_own) {
  std::set<std::string> keys;
  for (const Row& row : rows) {
    CheckRow(row, type, is_own);
    for (std::string_view words : {row.key, row.aliases, row.old_aliases}) {
      if (words.empty() || !row.is_key) continue;
      for (const std::string& key : Split(words, '|')) EXPECT_TRUE(keys.insert(key).second) << key;
    }
    if (row.block == nullptr) continue;
    const Inside* inside = row.block->inside;
    if (inside != nullptr) {
      EXPECT_EQ(inside->outer, type) << row.key;
    }
    const TypeTag inner = inside != nullptr ? inside->inner : nullptr;
    if (row.block->finish) {
      EXPECT_EQ(row.block->finish.type, inner) << row.key;
    }
    CheckRows(row.block->rows, inner, is_own);
  }
}

TEST(Options, TheTablesAreConsistent) {
  for (const auto& [table, block] : TablesOf(Options())) {
    CheckRows(table->rows, table->type, false);
    if (table->own != nullptr) {
      EXPECT_EQ(table->own->outer, table->type);
      CheckRows(table->own_rows, table->own->inner, true);
    }
    for (TypeTag hook : {table->start.type, table->complete.type, table->check.type, table->check_names.type,
                         table->check_bounded.type, table->check_start.type, table->check_reload.type,
                         table->concerns.type}) {
      EXPECT_TRUE(hook == nullptr || hook == table->type);
    }
  }
}

// "(default: 4096)" is what a broker without that flag has.
TEST(Options, HelpNamesTheDefaults) {
  const Options defaults;
  int compared = 0;
  for (const auto& [row, block] : SettingsOf(defaults)) {
    constexpr std::string_view kWords = "(default: ";
    const size_t at = row->help.find(kWords);
    if (at == std::string_view::npos || row->member == nullptr || !row->member->IsKept()) continue;
    const std::string_view named = row->help.substr(at + kWords.size());
    if (row->member->kind == Kind::kText || named.find_first_of("0123456789") != 0) continue;
    const std::string value = ValueText(*row, block);
    EXPECT_TRUE(named.starts_with(value) && named.find_first_of(",;)") == value.size()) << row->help;
    ++compared;
  }
  EXPECT_GT(compared, 15);
}

TEST(Options, NoTwoRowsShareAPlaceAFlagOrAKeyAtTheTop) {
  const Options options;
  std::set<int> orders;
  std::set<std::string> flags;
  for (const Setting& setting : SettingsOf(options)) {
    EXPECT_TRUE(orders.insert(setting.row->order).second) << setting.row->key << " " << setting.row->order;
    for (const std::string& flag : Split(setting.row->flags, '|')) {
      if (!flag.empty()) {
        EXPECT_TRUE(flags.insert(flag).second) << flag;
      }
    }
  }
  std::set<std::string> keys;
  for (const auto& [table, block] : TablesOf(options)) {
    for (const Row& row : table->rows) {
      if (!row.key.empty()) {
        EXPECT_TRUE(keys.insert(std::string(row.key)).second) << row.key;
      }
    }
  }
}

TEST(Secrets, HashesAndKeysAreTold) {
  EXPECT_TRUE(IsBcrypt("$2a$10$UHR6GhotWhpLsKtVP0/i6.Nh9.fuY73cWjLoJjb2sKT8KISBcUW5q"));
  EXPECT_TRUE(IsBcrypt("$2y$05$"));
  EXPECT_FALSE(IsBcrypt("$2c$10$x"));
  EXPECT_FALSE(IsBcrypt("$2a10"));
  EXPECT_TRUE(IsPublicUserKey("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"));
  EXPECT_FALSE(IsPublicUserKey("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF5"));
  EXPECT_FALSE(IsPublicUserKey(""));
}

TEST(Cpus, QuotasAreRoundedUp) {
  EXPECT_EQ(CpusOfQuota("200000 100000\n"), 2);
  EXPECT_EQ(CpusOfQuota("150000 100000"), 2);
  EXPECT_EQ(CpusOfQuota("50000 100000"), 1);
  EXPECT_EQ(CpusOfQuota("max 100000"), 0);
  EXPECT_EQ(CpusOfQuota("rubbish"), 0);
  EXPECT_GE(DefaultShardCount(kShardsMax), 1);
  EXPECT_EQ(DefaultShardCount(1), 1);
}

}  // namespace
}  // namespace millrace::config
