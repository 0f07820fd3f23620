// SPDX-License-Identifier: Apache-2.0
// Goal: who is in one account sees nothing of another, on one shard and across shards, and a reload moves nobody
//       from one to the other unseen.
// Method: conversations with real sessions, as session_test.cc.
#include <gtest/gtest.h>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

Options TwoTenants() {
  Options options;
  options.accounts = {{.name = "A"}, {.name = "B"}};
  options.account_users = {{.user = "a", .password = "x", .account = "A"},
                           {.user = "b", .password = "x", .account = "B"}};
  return options;
}

std::string As(std::string_view user) {
  return "CONNECT {\"verbose\":false,\"user\":\"" + std::string(user) + "\",\"pass\":\"x\"}\r\n";
}

TEST(SessionAccounts, TenantsDoNotSeeEachOther) {
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, TwoTenants());
    Sessions::Client& a = sessions.Connect(0).Say(As("a"));
    Sessions::Client& same = sessions.Connect(shards - 1).Say(As("a"));
    Sessions::Client& other = sessions.Connect(shards - 1).Say(As("b"));
    same.Say("SUB > 1\r\nSUB foo q 2\r\n");
    other.Say("SUB > 1\r\nSUB foo q 2\r\n");
    sessions.Settle();
    same.Hear();
    other.Hear();
    a.Say("PUB foo 2\r\nhi\r\n");
    sessions.Settle();
    EXPECT_EQ(same.Hear(), "MSG foo 1 2\r\nhi\r\nMSG foo 2 2\r\nhi\r\n") << shards;
    EXPECT_EQ(other.Hear(), "") << shards;
    EXPECT_EQ(same.Describe().account, "A");
    EXPECT_EQ(other.Describe().account, "B");
  }
}

TEST(SessionAccounts, NoAuthUserIsOfItsAccount) {
  Options options = TwoTenants();
  options.no_auth_user = "b";
  Sessions sessions(1, options);
  Sessions::Client& bare = sessions.Connect();
  EXPECT_EQ(bare.Hear().find("auth_required"), std::string::npos);
  bare.Say("CONNECT {}\r\nSUB foo 1\r\n");
  EXPECT_EQ(bare.Describe().account, "B");
  sessions.Connect().Say(As("b")).Say("PUB foo 1\r\nx\r\n");
  sessions.Connect().Say(As("a")).Say("PUB foo 1\r\ny\r\n");
  EXPECT_NE(bare.Hear().find("MSG foo 1 1\r\nx\r\n"), std::string::npos);
}

TEST(SessionAccounts, BesideSystemUsersAnybodyIsInTheGlobalAccount) {
  Options options;
  options.accounts = {{.name = "$SYS"}};
  options.account_users = {{.user = "s", .password = "x", .account = "$SYS"}};
  Sessions sessions(1, options);
  Sessions::Client& bare = sessions.Connect();
  EXPECT_NE(bare.Hear().find("\"auth_required\":true"), std::string::npos);
  EXPECT_EQ(bare.Say("CONNECT {}\r\nPING\r\n").Hear(), "+OK\r\nPONG\r\n");
  EXPECT_EQ(bare.Describe().account, "$G");
  EXPECT_EQ(sessions.Connect().Say(As("s")).Describe().account, "$SYS");
  Sessions::Client& wrong = sessions.Connect();
  EXPECT_NE(wrong.Ask(As("nobody")).find("Authorization Violation"), std::string::npos);
}

TEST(SessionAccounts, AReloadThatMovesAUserClosesItsClients) {
  Sessions sessions(1, TwoTenants());
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB foo 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(As("b")).Say("SUB foo 1\r\n");
  a.Hear();
  b.Hear();
  Options options = TwoTenants();
  options.account_users[0].account = "B";
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  b.session().OnConfigChanged(true, false);
  EXPECT_EQ(a.Hear(), "");
  ASSERT_TRUE(a.closed.has_value());
  EXPECT_EQ(*a.closed, ClosedReason::kClientClosed);
  EXPECT_FALSE(b.closed.has_value());
}

TEST(SessionAccounts, AReloadThatRemovesAnAccountClosesItsClients) {
  Sessions sessions(1, TwoTenants());
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB foo 1\r\n");
  a.Hear();
  Options options = TwoTenants();
  options.accounts.erase(options.accounts.begin());
  options.account_users.erase(options.account_users.begin());
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  EXPECT_TRUE(a.closed.has_value());
  EXPECT_EQ(a.Describe().account, "A");  // as monitoring shows what is closed
}

}  // namespace
}  // namespace millrace
