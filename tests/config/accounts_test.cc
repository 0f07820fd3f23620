// SPDX-License-Identifier: Apache-2.0
// Goal: `accounts {}` turns into specs and users, and what is wrong in it into the peer's errors (G-29..G-32).
// Method: as options_test.cc; a feature that is not built is refused behind what is read, so that errors show first.
#include <gtest/gtest.h>

#include "tests/config/support.h"

namespace millrace::config {
namespace {

TEST(AccountsConfig, UsersBelongToTheirAccounts) {
  const Startup startup = StartWith(R"(
    accounts {
      A { users: [{user: a, password: x}, {user: b, password: y, permissions: {publish: foo}}]
          default_permissions: {subscribe: bar} }
      B { users: [{user: c, password: z}] }
      $SYS { users: [{user: s, password: s}] }
    }
    no_auth_user: b
  )");
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  const Options& options = startup.options;
  ASSERT_EQ(options.accounts.size(), 3u);
  EXPECT_EQ(options.accounts[0].name, "A");
  EXPECT_EQ(options.accounts[2].name, "$SYS");
  ASSERT_EQ(options.account_users.size(), 4u);
  EXPECT_EQ(options.account_users[0].account, "A");
  EXPECT_EQ(options.account_users[0].permissions->subscribe->allow->at(0).subject, "bar");
  EXPECT_FALSE(options.account_users[1].permissions->subscribe.has_value());  // its own, not the default ones
  EXPECT_EQ(options.account_users[2].account, "B");
  EXPECT_FALSE(options.account_users[2].permissions.has_value());
  EXPECT_TRUE(options.users.empty());
  EXPECT_TRUE(options.AuthRequired());
  EXPECT_FALSE(options.OnlySystemUsers());
}

TEST(AccountsConfig, UsersOfTheSystemAccountAloneLeaveTheServerOpen) {
  const auto is_open = [](std::string_view text) {
    const Startup startup = StartWith(text);
    EXPECT_EQ(startup.action, Startup::Action::kRun) << startup.err;
    return startup.options.OnlySystemUsers();
  };
  EXPECT_TRUE(is_open("accounts {$SYS {users [{user: s, password: s}]}}"));
  EXPECT_TRUE(is_open("accounts {S {users [{user: s, password: s}]}}\nsystem_account: S"));
  EXPECT_FALSE(is_open("accounts {$SYS {users [{user: s, password: s}]}, A {}}"));
  EXPECT_FALSE(is_open("accounts {$SYS {users [{user: s, password: s}]}}\nno_auth_user: s"));
  EXPECT_FALSE(is_open("accounts {$SYS {users [{user: s, password: s}]}}\nauthorization {timeout: 1}"));
  EXPECT_FALSE(is_open("accounts {$SYS {}}"));
  EXPECT_FALSE(is_open("accounts {A {users [{user: s, password: s}]}}"));
}

TEST(AccountsConfig, JetStreamIsGivenWithLimits) {
  const Startup startup = StartWith(R"(
    accounts {
      A { jetstream: enabled }
      B { jetstream { max_mem: 1KB, max_file: 2KB, max_streams: 3, max_consumers: 4, max_bytes_required: true } }
      C { jetstream: disabled }
    }
  )");
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  ASSERT_EQ(startup.options.accounts.size(), 3u);
  EXPECT_EQ(startup.options.accounts[0].jetstream, UnlimitedJetStream());
  JetStreamAccountLimits limits;
  limits.max_memory = 1024;
  limits.max_storage = 2048;
  limits.max_streams = 3;
  limits.max_consumers = 4;
  limits.max_bytes_required = true;
  EXPECT_EQ(startup.options.accounts[1].jetstream, (AccountJetStream{true, {{"", limits}}}));
  EXPECT_FALSE(startup.options.accounts[2].jetstream.enabled);
}

TEST(AccountsConfig, NamesAloneMakeAccounts) {
  const Startup startup = StartWith("accounts [A, B]");
  ASSERT_EQ(startup.action, Startup::Action::kRun) << startup.err;
  ASSERT_EQ(startup.options.accounts.size(), 2u);
  EXPECT_EQ(startup.options.accounts[1].name, "B");
}

TEST(AccountsConfig, ErrorsAreThePeers) {
  const struct {
    std::string_view text;
    std::string_view error;
  } kRows[] = {
      {"accounts {$G {}}", "t.conf:1:10: \"$G\" is a Reserved Account"},
      {"accounts [A, '$G']", "t.conf:1:14: \"$G\" is a Reserved Account"},
      {"accounts [A, A]", "t.conf:1:13: Duplicate Account Entry: A"},
      {"accounts {A: 1}", "t.conf:1:10: Expected map entries for accounts"},
      {"accounts {A {foo: 1}}", "t.conf:1:13: unknown field \"foo\""},
      {"accounts {A {nkey: x}}", "t.conf:1:13: Not a valid public nkey for an account: \"x\""},
      {"accounts {A {users [{user: a}, {user: a}]}}", "t.conf:1:13: Duplicate user \"a\" detected"},
      {"accounts {A {users [{user: a}]}, B {users [{user: a}]}}", "t.conf:1:36: Duplicate user \"a\" detected"},
      {"authorization {user: x, password: y}\naccounts {A {users [{user: a}]}}",
       "t.conf:2:14: Can not have a single user/pass and accounts"},
      {"authorization {token: x}\naccounts {A {users [{user: a}]}}",
       "t.conf:2:14: Can not have a token and accounts"},
      {"authorization {users [{user: a}]}\naccounts {A {users [{user: a}]}}",
       "t.conf:2:14: Duplicate user \"a\" detected"},
      {"accounts {A {users [{user: a}]}}\nauthorization {users [{user: a}]}",
       "t.conf:2:1: Duplicate user \"a\" detected"},
      {"accounts {A {limits {foo: 1}}}", "t.conf:1:21: Unknown field \"foo\" parsing account limits"},
      {"accounts {A {limits: 1}}", "t.conf:1:13: Expected account limits to be a map/struct, got 1"},
      {"accounts {A {jetstream: on_or_off}}",
       "Expected 'enabled' or 'disabled' for string value, got 'on_or_off'"},
      {"accounts {A {jetstream {max_mem: many}}}",
       "t.conf:1:24: Expected a parseable size for \"max_mem\", got many"},
      {"accounts {A {jetstream: 1}}", "Expected map, bool or string to define JetStream, got int64"},
      {"accounts {A {exports {}}}", "t.conf:1:13: Exports should be an array, got map[string]interface {}"},
      {"accounts {A {exports [x]}}", "t.conf:1:22: Export Items should be a map with type entry, got string"},
      {"accounts {A {exports [{stream: a, service: b}]}}",
       "t.conf:1:34: Detected service \"b\" but already saw a stream"},
      {"accounts {A {exports [{service: a, response: some}]}}", "t.conf:1:35: Unknown response type: \"some\""},
      {"accounts {A {exports [{stream: a, response: stream}]}}",
       "t.conf:1:34: Detected response directive on non-service"},
      {"accounts {A {exports [{response: stream, stream: a}]}}",
       "t.conf:1:23: Detected response directive on non-service"},
      {"accounts {A {exports [{service: a, threshold: soon}]}}",
       "t.conf:1:35: Expected response threshold to be a parseable time duration, got \"soon\""},
      {"accounts {A {exports [{service: a, latency: {sampling: 101, subject: b}}]}}",
       "t.conf:1:45: bad sampling percentage, should be 1-100"},
      {"accounts {A {exports [{service: a, latency: {sampling: 10}}]}}",
       "t.conf:1:35: Latency subject required, but missing"},
      {"accounts {A {imports {}}}", "t.conf:1:13: Imports should be an array, got map[string]interface {}"},
      {"accounts {A {imports [{stream: a}]}}", "t.conf:1:23: Stream entry should be an account map, got string"},
      {"accounts {A {imports [{service: {account: B}}]}}", "t.conf:1:23: Expect an account name and a subject"},
      {"accounts {A {imports [{stream: {account: B, subject: b}, prefix: p, to: t}]}}",
       "t.conf:1:68: Stream import can not have a 'prefix' and a 'to' property"},
      {"accounts {A {imports [{service: {account: B, subject: b}}, {service: {account: B, subject: c}, to: b}]}}",
       "t.conf:1:101: Duplicate service import subject \"b\", previously used in import for account \"B\", subject "
       "\"b\""},
      {"accounts {A {mappings {a: {dest: b}}}}", "t.conf:1:23: Missing weight for mapping destination \"b\""},
      {"accounts {A {mappings {a: {dest: b, weight: 101}}}}",
       "t.conf:1:36: Invalid weight 101 for mapping destination"},
      {"accounts {A {mappings {a: {dest: b, weight: \"x%\"}}}}",
       "t.conf:1:36: Invalid weight \"x\" for mapping destination"},
      {"accounts {A {mappings {a: {dest: b, foo: 1}}}}", "t.conf:1:36: Unknown field \"foo\" for mapping destination"},
      {"accounts {A {mappings {a.*: 'b.$2'}}}",
       "t.conf:1:23: Error adding mapping for \"a.*\" to \"b.$2\" : invalid mapping destination: wildcard index out of "
       "range in $2: [2]"},
      {"accounts {A {mappings {a: [{dest: b, weight: 60}, {dest: c, weight: 60}]}}}",
       "t.conf:1:23: Error adding mapping for \"a\" : total weight needs to be <= 100"},
      {"accounts {A {imports [{stream: {account: B, subject: b}}]}}",
       "t.conf:1:0: \"B\" account not defined for stream import"},
      {"accounts {A {imports [{stream: {account: B, subject: b}}]}, B {}}",
       "t.conf:1:0: Error adding stream import \"b\": stream import not authorized"},
      {"accounts {A {exports [{service: l}, {service: a, latency: l}]}}",
       "t.conf:1:0: Error adding service latency sampling for \"a\" on subject \"l\": invalid publish subject"},
      {"accounts {A {exports [{service: a, response: stream, latency: l}]}}",
       "t.conf:1:0: Error adding service latency sampling for \"a\" on subject \"l\": bad service response type"},
      {"accounts {A {exports [{service: a, latency: 'l.*'}]}}",
       "t.conf:1:0: Error adding service latency sampling for \"a\" on subject \"l.*\": invalid publish subject"},
      {"accounts {A {exports [{stream: a, latency: l}]}}",
       "t.conf:1:34: Detected latency directive on non-service"},
      {"accounts {A {exports [{stream: a, allow_trace: true}]}}",
       "t.conf:1:34: Detected allow_trace directive on non-service"},
      {"accounts {A {msg_trace: 5}}",
       "t.conf:1:13: Expected account message trace \"msg_trace\" to be a string or a map/struct, got int64"},
      {"accounts {A {trace_dest: 'a.*'}}", "t.conf:1:13: Trace destination \"a.*\" is not valid"},
      {"accounts {A {msg_trace {dest: 5}}}", "t.conf:1:24: Field \"dest\" should be a string, got int64"},
      {"accounts {A {msg_trace {dest: a, sampling: 0}}}",
       "t.conf:1:33: Ttrace destination sampling value 0 is invalid, needs to be [1..100]"},
      {"accounts {A {msg_trace {dest: a, sampling: '101%'}}}",
       "t.conf:1:33: Ttrace destination sampling value 101 is invalid, needs to be [1..100]"},
      {"accounts {A {msg_trace {dest: a, sampling: x}}}",
       "t.conf:1:33: Invalid trace destination sampling value \"x\""},
      {"accounts {A {msg_trace {dest: a, sampling: true}}}",
       "t.conf:1:33: Trace destination sampling field \"sampling\" should be an integer or a percentage, got bool"},
      {"accounts {A {msg_trace {dest: a, foo: 1}}}",
       "t.conf:1:33: Unknown field \"foo\" parsing account message trace map/struct \"msg_trace\""},
      {"accounts {A {mappings {a..b: c}}}", "t.conf:1:13: Subject \"a..b\" is not a valid subject"},
  };
  for (const auto& row : kRows) {
    const Startup startup = StartWith(row.text);
    EXPECT_EQ(startup.exit_code, 1) << row.text;
    EXPECT_NE(startup.err.find("nats-server: " + std::string(row.error) + "\n"), std::string::npos)
        << row.text << "\n" << startup.err;
  }
}

}  // namespace
}  // namespace millrace::config
