// SPDX-License-Identifier: Apache-2.0
#include "broker/account/account_table.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(AccountTable, HasTheTwoThatEveryServerHas) {
  const AccountTable table;
  EXPECT_EQ(table.global().name, "$G");
  EXPECT_EQ(table.system().name, "$SYS");
  EXPECT_TRUE(table.is_system(table.system().id));
  EXPECT_FALSE(table.is_system(table.global().id));
  EXPECT_EQ(table.Find("$G"), &table.global());
  EXPECT_EQ(table.Find("A"), nullptr);
  EXPECT_EQ(table.all().size(), 2u);
}

TEST(AccountTable, TheSystemAccountMayHaveAnotherName) {
  const AccountTable table({{.name = "A"}, {.name = "OURS"}}, "OURS", nullptr);
  EXPECT_EQ(table.system().name, "OURS");
  EXPECT_EQ(table.Find("OURS"), &table.system());
  EXPECT_EQ(table.Find("$SYS"), nullptr);
  EXPECT_EQ(table.Find("A")->id, 2u);
}

TEST(AccountTable, IdsAreNeverUsedAgain) {
  const AccountTable first({{.name = "A"}, {.name = "B"}}, {}, nullptr);
  const AccountId a = first.Find("A")->id;
  const AccountId b = first.Find("B")->id;
  const AccountTable second({{.name = "C"}, {.name = "B", .limits = {.connections = 5}}}, {}, &first);
  EXPECT_EQ(second.Find("A"), nullptr);
  EXPECT_FALSE(second[a].exists);
  EXPECT_EQ(second[a].name, "A");  // for what is still said of it
  EXPECT_EQ(second.Find("B")->id, b);
  EXPECT_EQ(second.Find("B")->limits.connections, 5);
  const AccountId c = second.Find("C")->id;
  EXPECT_GT(c, b);
  const AccountTable third({{.name = "A"}}, {}, &second);
  EXPECT_EQ(third.Find("A")->id, a);
  EXPECT_EQ(third.Find("B"), nullptr);
  EXPECT_FALSE(third[c].exists);
  EXPECT_TRUE(third.global().exists && third.system().exists);
  EXPECT_EQ(third[b].limits.connections, -1);  // nothing is left of what was said of it
}

TEST(AccountTable, JetStreamIsTheGlobalAccountsWhereThereIsNoOther) {
  EXPECT_TRUE(AccountTable().global().jetstream.enabled);
  EXPECT_FALSE(AccountTable().system().jetstream.enabled);
  EXPECT_TRUE(AccountTable({{.name = "$SYS"}}, {}, nullptr).global().jetstream.enabled);
  EXPECT_TRUE(AccountTable({{.name = "S"}}, "S", nullptr).global().jetstream.enabled);
  const AccountTable table({{.name = "A"}, {.name = "B", .jetstream = UnlimitedJetStream()}}, {}, nullptr);
  EXPECT_FALSE(table.global().jetstream.enabled);
  EXPECT_FALSE(table.Find("A")->jetstream.enabled);
  EXPECT_TRUE(table.Find("B")->jetstream.enabled);
}

}  // namespace
}  // namespace millrace
