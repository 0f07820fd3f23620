// SPDX-License-Identifier: Apache-2.0
// Goal: who is in one account sees nothing of another, on one shard and across shards (A-30), and a reload moves nobody
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

// ---- limits --------------------------------------------------------------------------------------------------------

TEST(SessionAccounts, ConnectionsOfAnAccountAreLimitedOverAllShards) {
  Options options = TwoTenants();
  options.accounts[0].limits.connections = 2;
  Sessions sessions(2, options);
  Sessions::Client& first = sessions.Connect(0).Say(As("a"));
  Sessions::Client& second = sessions.Connect(1).Say(As("a"));
  Sessions::Client& third = sessions.Connect(0);
  third.Hear();
  EXPECT_EQ(third.Say(As("a")).Hear(), "-ERR 'maximum account active connections exceeded'\r\n");
  ASSERT_TRUE(third.closed.has_value());
  EXPECT_EQ(ClosedReasonText(*third.closed), "Maximum Account Connections Exceeded");
  EXPECT_FALSE(sessions.Connect(0).Say(As("b")).closed.has_value());  // another account
  first.Say(As("a"));  // it has its place already
  EXPECT_FALSE(first.closed.has_value());
  second.Close();
  EXPECT_FALSE(sessions.Connect(1).Say(As("a")).closed.has_value());
  // Who moves on leaves its place.
  first.Say(As("b"));
  EXPECT_FALSE(sessions.Connect(0).Say(As("a")).closed.has_value());
  EXPECT_TRUE(sessions.Connect(0).Say(As("a")).closed.has_value());
}

TEST(SessionAccounts, AReloadWithFewerConnectionsSendsAwayWhoIsTooMany) {
  Sessions sessions(2, TwoTenants());
  Sessions::Client& first = sessions.Connect(0).Say(As("a"));
  Sessions::Client& second = sessions.Connect(1).Say(As("a"));
  Sessions::Client& third = sessions.Connect(0).Say(As("a"));
  for (Sessions::Client* client : {&first, &second, &third}) client->Hear();
  Options options = TwoTenants();
  options.accounts[0].limits.connections = 1;
  sessions.SetConfig(options);
  for (Sessions::Client* client : {&first, &second, &third}) client->session().OnConfigChanged(true, false);
  EXPECT_EQ(first.Hear(), "-ERR 'maximum account active connections exceeded'\r\n");
  EXPECT_EQ(second.Hear(), "-ERR 'maximum account active connections exceeded'\r\n");
  ASSERT_TRUE(second.closed.has_value());
  EXPECT_EQ(*second.closed, ClosedReason::kMaxAccountConnectionsExceeded);
  EXPECT_FALSE(third.closed.has_value());
  // As many as there may be have places, and no more.
  EXPECT_TRUE(sessions.Connect(1).Say(As("a")).closed.has_value());
  third.Close();
  EXPECT_FALSE(sessions.Connect(1).Say(As("a")).closed.has_value());
}

TEST(SessionAccounts, AReloadSendsAwayWhoHasAllTheSubscriptionsThatItMayHave) {
  Sessions sessions(1, TwoTenants());
  Sessions::Client& two = sessions.Connect().Say(As("a")).Say("SUB foo 1\r\nSUB bar 2\r\n");
  Sessions::Client& one = sessions.Connect().Say(As("a")).Say("SUB foo 1\r\n");
  Sessions::Client& none = sessions.Connect().Say(As("a"));
  for (Sessions::Client* client : {&two, &one, &none}) client->Hear();
  Options options = TwoTenants();
  options.accounts[0].limits.subscriptions = 2;
  sessions.SetConfig(options);
  for (Sessions::Client* client : {&two, &one, &none}) client->session().OnConfigChanged(true, false);
  EXPECT_EQ(two.Hear(), "-ERR 'maximum subscriptions exceeded'\r\n");
  ASSERT_TRUE(two.closed.has_value());
  EXPECT_EQ(ClosedReasonText(*two.closed), "Maximum Subscriptions Exceeded");
  EXPECT_EQ(one.Hear(), "");
  EXPECT_FALSE(one.closed.has_value());
  EXPECT_FALSE(none.closed.has_value());
}

TEST(SessionAccounts, SubscriptionsAndPayloadsAreThoseOfTheAccountWhereItSaysLess) {
  Options options = TwoTenants();
  options.accounts[0].limits.subscriptions = 1;
  options.accounts[0].limits.payload = 4;
  options.accounts[1].limits.payload = int64_t{1} << 40;
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect();
  a.Hear();
  const std::string heard =
      a.Say("CONNECT {\"verbose\":false,\"protocol\":1,\"user\":\"a\",\"pass\":\"x\"}\r\nPING\r\n").Hear();
  EXPECT_NE(heard.find("\"max_payload\":4,"), std::string::npos) << heard;
  EXPECT_EQ(a.Ask("SUB foo 1\r\nSUB foo 2\r\n"), "-ERR 'maximum subscriptions exceeded'\r\n");
  EXPECT_EQ(a.Ask("PUB foo 4\r\n1234\r\n"), "MSG foo 1 4\r\n1234\r\n");
  EXPECT_EQ(a.Ask("PUB foo 5\r\n12345\r\n"), "-ERR 'Maximum Payload Violation'\r\n");
  Sessions::Client& b = sessions.Connect().Say(As("b"));
  EXPECT_EQ(b.Ask("SUB foo 1\r\nSUB foo 2\r\nPUB foo 5\r\n12345\r\n"),
            "MSG foo 1 5\r\n12345\r\nMSG foo 2 5\r\n12345\r\n");
}

TEST(SharedCounts, AreExactAndHaveRoomForAll) {
  SharedCounts counts;
  counts.Reserve(2);
  EXPECT_TRUE(counts.TryTake(1, 1));
  EXPECT_FALSE(counts.TryTake(1, 1));
  EXPECT_TRUE(counts.TryTake(1, -1));
  EXPECT_FALSE(counts.GiveBackAbove(1, 2));
  EXPECT_FALSE(counts.GiveBackAbove(1, -1));
  EXPECT_TRUE(counts.GiveBackAbove(1, 1));
  EXPECT_TRUE(counts.TryTake(1, 2));
  EXPECT_FALSE(counts.TryTake(0, 0));
  counts.Reserve(10'000);
  EXPECT_EQ(counts.Get(1), 2);  // where they are they stay
  for (uint32_t i = 2; i < 10'000; ++i) {
    EXPECT_EQ(counts.Get(i), 0);
    EXPECT_TRUE(counts.TryTake(i, i));
  }
  for (uint32_t i = 2; i < 10'000; ++i) {
    counts.GiveBack(i);
    ASSERT_EQ(counts.Get(i), 0);
  }
  EXPECT_DEATH(counts.GiveBack(0), "");
}

// ---- stream imports ------------------------------------------------------------------------------------------------

// B exports what A hears under names of its own.
Options WithStreams() {
  Options options = TwoTenants();
  options.accounts[0].stream_imports = {{.account = "B", .subject = "s.>", .prefix = "from.b"},
                                        {.account = "B", .subject = "n.*.*", .to = "m.$2.$1"}};
  options.accounts[1].stream_exports = {{.subject = "s.>"}, {.subject = "n.*.*"}, {.subject = "alone"}};
  return options;
}

TEST(SessionAccounts, StreamsAreHeardUnderTheNamesOfTheImport) {
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, WithStreams());
    Sessions::Client& a = sessions.Connect(0).Say(As("a"));
    Sessions::Client& b = sessions.Connect(shards - 1).Say(As("b"));
    a.Say("SUB from.b.s.x 1\r\nSUB m.*.one 2\r\nSUB from.> q 3\r\nSUB s.x 4\r\nSUB alone 5\r\n");
    sessions.Settle();
    a.Hear();
    b.Say("PUB s.x r 1\r\n1\r\nPUB n.one.two 1\r\n2\r\nPUB alone 1\r\n3\r\nPUB n.two.one 1\r\n4\r\n");
    sessions.Settle();
    std::string heard = a.Hear();
    for (const std::string_view line : {"MSG from.b.s.x 1 r 1\r\n1\r\n", "MSG from.b.s.x 3 r 1\r\n1\r\n",
                                        "MSG m.two.one 2 1\r\n2\r\n"}) {
      const size_t at = heard.find(line);
      ASSERT_NE(at, std::string::npos) << line << " not in " << heard;
      heard.erase(at, line.size());
    }
    EXPECT_EQ(heard, "");
    a.Say("PUB s.x 1\r\n5\r\n");  // one's own subject is not that of the exporter
    sessions.Settle();
    EXPECT_EQ(a.Hear(), "MSG s.x 4 1\r\n5\r\n");
    EXPECT_EQ(b.Hear().find("MSG"), std::string::npos);
  }
}

// The import changes the name that a delivery goes by, not that of what is delivered; where it changes none, none is.
TEST(SessionAccounts, AConsumersDeliveryThroughAnImport) {
  Options options = WithStreams();
  options.accounts[1].stream_exports.push_back({.subject = "same.>"});
  options.accounts[0].stream_imports.push_back({.account = "B", .subject = "same.>"});
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, options);
    Sessions::Client& a = sessions.Connect(0).Say(As("a")).Say("SUB from.b.s.x 1\r\nSUB same.x 2\r\n");
    Sessions::Client& b = sessions.Connect(shards - 1).Say(As("b"));
    sessions.Settle();
    a.Hear();
    Router& router = sessions.shared(shards - 1).router;
    Message message;
    message.account = b.session().account();
    message.subject = "orders";
    message.payload = "1";
    for (const std::string_view to : {"s.x", "same.x"}) {
      message.deliver_to = to;
      router.NoteSentOn(router.Publish(message, *router.interest().Match(message.account, to).result).sent_to);
    }
    sessions.Settle();
    EXPECT_EQ(a.Hear(), "MSG from.b.s.x 1 1\r\n1\r\nMSG orders 2 1\r\n1\r\n");
  }
}

TEST(SessionAccounts, ManyInARowAreHeardInTheirOrder) {
  Sessions sessions(1, WithStreams());
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB from.b.> 1\r\n");
  a.Hear();
  std::string said = As("b");
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    const std::string subject = "s." + std::to_string(i / 7);
    const std::string body = std::to_string(i);
    said += "PUB " + subject + " " + std::to_string(body.size()) + "\r\n" + body + "\r\n";
    expected += "MSG from.b." + subject + " 1 " + std::to_string(body.size()) + "\r\n" + body + "\r\n";
  }
  sessions.Connect().Say(said);
  EXPECT_EQ(a.Hear(), expected);
}

TEST(SessionAccounts, AShadowGoesWithItsSubscription) {
  Sessions sessions(1, WithStreams());
  Interest& interest = sessions.shared(0).router.interest();
  Sessions::Client& a = sessions.Connect().Say(As("a"));
  Sessions::Client& b = sessions.Connect().Say(As("b"));
  const auto publish = [&] {
    a.Hear();
    b.Say("PUB s.x 1\r\n1\r\n");
    return a.Hear();
  };
  a.Say("SUB from.> 1\r\nSUB from.> 2\r\n");
  EXPECT_EQ(interest.subscriptions(), 4u);
  a.Say("UNSUB 1\r\n");
  EXPECT_EQ(interest.subscriptions(), 2u);
  EXPECT_EQ(publish(), "MSG from.b.s.x 2 1\r\n1\r\n");
  // Its last message of its own takes it away, one that is imported does not count.
  a.Say("UNSUB 2 1\r\n");
  EXPECT_NE(publish(), "");
  EXPECT_NE(publish(), "");
  a.Say("PUB from.x 1\r\n2\r\n");
  EXPECT_EQ(interest.subscriptions(), 0u);
  EXPECT_EQ(publish(), "");
  a.Say("SUB from.> 3\r\n").Say(As("a"));  // a CONNECT takes all of it
  EXPECT_EQ(interest.subscriptions(), 0u);
  a.Say("SUB from.> 4\r\n");
  a.Close();
  EXPECT_EQ(interest.subscriptions(), 0u);
}

TEST(SessionAccounts, WhatIsNotToBeSeenIsJudgedByTheNameHere) {
  Options options = WithStreams();
  options.account_users[0].permissions.emplace();
  options.account_users[0].permissions->subscribe.emplace();
  options.account_users[0].permissions->subscribe->deny = {{.subject = "from.b.s.secret"}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB from.> 1\r\n");
  a.Hear();
  sessions.Connect().Say(As("b")).Say("PUB s.secret 1\r\n1\r\nPUB s.x 1\r\n2\r\n");
  EXPECT_EQ(a.Hear(), "MSG from.b.s.x 1 1\r\n2\r\n");
}

TEST(SessionAccounts, AReloadBringsShadowsUpToDate) {
  for (const uint32_t shards : {1u, 2u}) {
    Options options = WithStreams();
    Sessions sessions(shards, options);
    Sessions::Client& a = sessions.Connect(0).Say(As("a")).Say("SUB > 1\r\n");
    Sessions::Client& b = sessions.Connect(shards - 1).Say(As("b"));
    const auto publish = [&] {
      sessions.Settle();
      a.Hear();
      b.Say("PUB s.x 1\r\n1\r\n");
      sessions.Settle();
      return a.Hear();
    };
    const auto reload = [&] {
      sessions.SetConfig(options);
      a.session().OnConfigChanged(true, false);
      b.session().OnConfigChanged(true, false);
    };
    EXPECT_EQ(publish(), "MSG from.b.s.x 1 1\r\n1\r\n");
    reload();  // nothing is another
    EXPECT_EQ(publish(), "MSG from.b.s.x 1 1\r\n1\r\n");
    options.accounts[0].stream_imports[0].prefix = "b";
    reload();
    EXPECT_EQ(publish(), "MSG b.s.x 1 1\r\n1\r\n");
    options.accounts[0].stream_imports.clear();
    reload();
    EXPECT_EQ(publish(), "");
    options.accounts[0].stream_imports = {{.account = "B", .subject = "s.x"}};
    reload();
    EXPECT_EQ(publish(), "MSG s.x 1 1\r\n1\r\n");
  }
}

// ---- mappings ------------------------------------------------------------------------------------------------------

TEST(SessionAccounts, PublishesAreMapped) {
  Options options = TwoTenants();
  options.accounts[0].mappings = {{"foo", {{.subject = "bar"}}},
                                  {"o.*.*", {{.subject = "o.$2.$1"}}},
                                  {"gone", {{.subject = "gone", .weight = 0}}}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB > 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(As("b")).Say("SUB > 1\r\n");
  a.Hear();
  b.Hear();
  // In one piece, so that what follows could be taken for a repetition of what stands before it.
  a.Say("PUB foo 1\r\n1\r\nPUB foo 1\r\n2\r\nPUB foo 1\r\n3\r\nPUB o.a.b 1\r\n4\r\nPUB o.b.a 1\r\n5\r\n"
        "PUB bar 1\r\n6\r\nPUB bar 1\r\n7\r\nPUB gone 1\r\n8\r\nPUB foo r 1\r\n9\r\n");
  EXPECT_EQ(a.Hear(),
            "MSG bar 1 1\r\n1\r\nMSG bar 1 1\r\n2\r\nMSG bar 1 1\r\n3\r\nMSG o.b.a 1 1\r\n4\r\nMSG o.a.b 1 1\r\n5\r\n"
            "MSG bar 1 1\r\n6\r\nMSG bar 1 1\r\n7\r\nMSG bar 1 r 1\r\n9\r\n");
  b.Say("PUB foo 1\r\nx\r\n");
  EXPECT_EQ(b.Hear(), "MSG foo 1 1\r\nx\r\n");
}

TEST(SessionAccounts, PermissionsAreThoseOfWhatAMappingMakesOfASubject) {
  Options options = TwoTenants();
  options.accounts[0].mappings = {{"foo", {{.subject = "bar"}}}, {"two", {{.subject = "one"}}}};
  options.account_users[0].permissions = Permissions{.publish = SubjectPermission{.deny = {{"bar", "two"}}}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB > 1\r\n");
  a.Hear();
  EXPECT_EQ(a.Ask("PUB foo 1\r\nx\r\n"), "-ERR 'Permissions Violation for Publish to \"bar\"'\r\n");
  EXPECT_EQ(a.Ask("PUB two 1\r\nx\r\n"), "MSG one 1 1\r\nx\r\n");
}

TEST(SessionAccounts, SharesOfAMappingAreKept) {
  Options options = TwoTenants();
  options.accounts[0].mappings = {{"foo", {{.subject = "one", .weight = 20}, {.subject = "two", .weight = 50}}}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("a"));
  a.Say("SUB one 1\r\nSUB two 2\r\nSUB foo 3\r\n").Hear();
  constexpr int kPublishes = 20'000;
  for (int i = 0; i < kPublishes; ++i) a.Say("PUB foo 0\r\n\r\n");
  const std::string heard = a.Hear();
  const auto count = [&heard](std::string_view line) {
    int found = 0;
    for (size_t at = 0; (at = heard.find(line, at)) != std::string::npos; at += line.size()) ++found;
    return found;
  };
  const int one = count("MSG one 1 "), two = count("MSG two 2 "), rest = count("MSG foo 3 ");
  EXPECT_EQ(one + two + rest, kPublishes);
  EXPECT_NEAR(one, kPublishes / 5, kPublishes / 50);
  EXPECT_NEAR(two, kPublishes / 2, kPublishes / 50);
}

TEST(SessionAccounts, AReloadChangesMappings) {
  Options options = TwoTenants();
  options.accounts[0].mappings = {{"foo", {{.subject = "bar"}}}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("a")).Say("SUB > 1\r\nPUB foo 0\r\n\r\n");
  EXPECT_NE(a.Hear().find("MSG bar 1 0"), std::string::npos);
  options.accounts[0].mappings = {{"foo", {{.subject = "baz"}}}};
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  EXPECT_EQ(a.Ask("PUB foo 0\r\n\r\n"), "MSG baz 1 0\r\n\r\n");
  options.accounts[0].mappings.clear();
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  EXPECT_EQ(a.Ask("PUB foo 0\r\n\r\n"), "MSG foo 1 0\r\n\r\n");
}

// ---- service imports -----------------------------------------------------------------------------------------------

// A asks B under names of its own.
Options WithServices() {
  Options options = TwoTenants();
  options.accounts[0].service_imports = {{.account = "B", .subject = "q.x", .to = "ask"},
                                         {.account = "B", .subject = "w.*", .to = "wild.*"},
                                         {.account = "B", .subject = "many", .to = "many"},
                                         {.account = "B", .subject = "shared", .to = "shared", .share = true}};
  options.accounts[1].service_exports = {{.subject = "q.x"},
                                         {.subject = "w.*"},
                                         {.subject = "many", .response = ServiceResponse::kStreamed},
                                         {.subject = "shared"}};
  return options;
}

std::string AsRequestor(std::string_view user) {
  return "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"" + std::string(user) +
         "\",\"pass\":\"x\"}\r\n";
}

// The reply subject of the one request that was heard.
std::string ReplyOf(std::string_view heard) {
  const size_t at = heard.find("_R_.");
  return at == std::string_view::npos ? "" : std::string(heard.substr(at, heard.find(' ', at) - at));
}

TEST(SessionAccounts, ARequestGetsItsReplyOnce) {
  for (const uint32_t shards : {1u, 2u, 3u}) {
    Sessions sessions(shards, WithServices());
    Sessions::Client& a = sessions.Connect(0).Say(AsRequestor("a")).Say("SUB inbox.> 1\r\n");
    Sessions::Client& elsewhere = sessions.Connect(shards - 1).Say(AsRequestor("a")).Say("SUB inbox.> 2\r\n");
    Sessions::Client& b = sessions.Connect(shards / 2).Say(AsRequestor("b")).Say("SUB > 1\r\n");
    sessions.Settle();
    a.Hear(), elsewhere.Hear(), b.Hear();
    a.Say("PUB ask inbox.1 2\r\nhi\r\n");
    sessions.Settle();
    const std::string heard = b.Hear();
    EXPECT_EQ(heard.find("HMSG q.x 1 _R_."), 0u) << heard;
    EXPECT_NE(heard.find("NATS/1.0\r\nNats-Request-Info: {\"acc\":\"A\",\"rtt\":1}\r\n\r\nhi\r\n"),
        std::string::npos) << heard;
    const std::string reply = ReplyOf(heard);
    ASSERT_NE(reply, "");
    EXPECT_EQ(sessions.services(0).pending(), 1u);
    b.Say("PUB " + reply + " 3\r\nyes\r\nPING\r\n");
    sessions.Settle();
    EXPECT_EQ(a.Hear(), "MSG inbox.1 1 3\r\nyes\r\n") << shards;
    EXPECT_EQ(elsewhere.Hear(), "MSG inbox.1 2 3\r\nyes\r\n") << shards;
    EXPECT_EQ(sessions.services(0).pending(), 0u);
    b.Hear();
    b.Say("PUB " + reply + " more 3\r\nyes\r\n");  // it has had its reply
    sessions.Settle();
    EXPECT_EQ(a.Hear(), "");
    EXPECT_EQ(b.Hear().find("503"), std::string::npos);
    sessions.services(0).Invariant();
  }
}

TEST(SessionAccounts, RequestsCarryWildcardsAndHeaders) {
  Sessions sessions(1, WithServices());
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a"));
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB w.* 1\r\n");
  a.Hear(), b.Hear();
  a.Say("HPUB wild.five 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
  EXPECT_EQ(b.Hear(),
      "HMSG w.five 1 58 60\r\nNATS/1.0\r\nA: b\r\nNats-Request-Info: {\"acc\":\"A\",\"rtt\":1}\r\n\r\nhi\r\n");
  // What it says of itself is not believed.
  const std::string forged = "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"Z\"}\r\n\r\n";
  a.Say("HPUB wild.six " + std::to_string(forged.size()) + " " + std::to_string(forged.size()) + "\r\n" + forged +
      "\r\n");
  const std::string heard = b.Hear();
  EXPECT_EQ(heard.find("\"Z\""), std::string::npos);
  EXPECT_NE(heard.find("{\"acc\":\"A\",\"rtt\":1}"), std::string::npos);
}

TEST(SessionAccounts, WhoSharesIsNamed) {
  Sessions sessions(1, WithServices());
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB shared 1\r\n");
  sessions.Connect().Say("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"x\",\"name\":\"me\",\"lang\":\"go\","
                         "\"version\":\"1\"}\r\nPUB shared 0\r\n\r\n");
  constexpr std::string_view kInfo =
      "Nats-Request-Info: {\"start\":\"2023-11-14T22:13:20Z\",\"host\":\"127.0.0.1\",\"id\":6,\"acc\":\"A\","
      "\"user\":\"a\",\"name\":\"me\",\"lang\":\"go\",\"ver\":\"1\",\"rtt\":1,\"server\":\"test\",\"kind\":\"Client\","
      "\"client_type\":\"nats\"}";
  EXPECT_NE(b.Hear().find(kInfo), std::string::npos);
}

TEST(SessionAccounts, NobodyThereIsSaidUnderTheNameHere) {
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, WithServices());
    Sessions::Client& a = sessions.Connect(0).Say(AsRequestor("a")).Say("SUB inbox.> 1\r\n");
    a.Hear();
    a.Say("PUB ask inbox.1 2\r\nhi\r\n");
    sessions.Settle();
    EXPECT_NE(a.Hear().find("HMSG inbox.1 1 "), std::string::npos);
    EXPECT_EQ(sessions.services(0).pending(), 0u);
    // Somebody on another shard who may not take it: the report comes by mail.
    Sessions::Client& b = sessions.Connect(shards - 1);
    b.Say("CONNECT {\"verbose\":false,\"user\":\"b\",\"pass\":\"x\"}\r\nSUB q.x 1\r\nUNSUB 1\r\n");
    sessions.Settle();
    a.Say("PUB ask inbox.2 2\r\nhi\r\n");
    sessions.Settle();
    const std::string heard = a.Hear();
    EXPECT_NE(heard.find("HMSG inbox.2 1 "), std::string::npos) << heard;
    EXPECT_NE(heard.find("Nats-Subject: ask\r\n"), std::string::npos) << heard;
    EXPECT_EQ(sessions.services(0).pending(), 0u);
  }
}

TEST(SessionAccounts, AStreamOfRepliesEndsWithAnEmptyOne) {
  Sessions sessions(1, WithServices());
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB inbox 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB many 1\r\n");
  a.Hear(), b.Hear();
  a.Say("PUB many inbox 0\r\n\r\n");
  const std::string reply = ReplyOf(b.Hear());
  b.Say("PUB " + reply + " 1\r\n1\r\nPUB " + reply + " 1\r\n2\r\nPUB " + reply + " 0\r\n\r\nPUB " + reply +
      " 1\r\n3\r\n");
  EXPECT_EQ(a.Hear(), "MSG inbox 1 1\r\n1\r\nMSG inbox 1 1\r\n2\r\nMSG inbox 1 0\r\n\r\n");
  EXPECT_EQ(sessions.services(0).pending(), 0u);
}

TEST(SessionAccounts, AReplyMayWantAReply) {
  Sessions sessions(1, WithServices());
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB inbox 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB q.x 1\r\nSUB more 2\r\n");
  a.Hear(), b.Hear();
  a.Say("PUB ask inbox 0\r\n\r\n");
  b.Say("PUB " + ReplyOf(b.Hear()) + " more 1\r\n1\r\n");
  const std::string heard = a.Hear();
  EXPECT_EQ(heard.find("MSG inbox 1 _R_."), 0u) << heard;
  a.Say("PUB " + ReplyOf(heard) + " 2\r\nok\r\n");
  EXPECT_EQ(b.Hear(), "MSG more 2 2\r\nok\r\n");
  EXPECT_EQ(sessions.services(0).pending(), 0u);
}

TEST(SessionAccounts, OneWaitsForAReplyAsLongAsTheExportSays) {
  Options options = WithServices();
  options.accounts[1].service_exports[0].threshold = std::chrono::seconds(3);
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB inbox.* 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB q.x 1\r\n");
  a.Hear(), b.Hear();
  a.Say("PUB ask inbox.1 0\r\n\r\n");
  const std::string first = ReplyOf(b.Hear());
  sessions.Advance(std::chrono::seconds(2));
  a.Say("PUB ask inbox.2 0\r\n\r\n");
  const std::string second = ReplyOf(b.Hear());
  sessions.Advance(std::chrono::seconds(2));
  EXPECT_EQ(sessions.services(0).pending(), 2u);
  a.Say("PUB ask inbox.3 0\r\n\r\n");  // a new one gives up what is overdue
  EXPECT_EQ(sessions.services(0).pending(), 2u);
  EXPECT_EQ(sessions.services(0).given_up(), 1u);
  b.Say("PUB " + first + " 1\r\n1\r\nPUB " + second + " 1\r\n2\r\n");
  EXPECT_EQ(a.Hear(), "MSG inbox.2 1 1\r\n2\r\n");
  sessions.Advance(std::chrono::seconds(4));
  b.Say("PUB " + ReplyOf(b.Hear()) + " 1\r\n3\r\n");
  EXPECT_EQ(a.Hear(), "");
  sessions.services(0).Invariant();
}

TEST(SessionAccounts, RequestsGoThroughSeveralAccounts) {
  Options options = TwoTenants();
  options.accounts.push_back({.name = "C"});
  options.account_users.push_back({.user = "c", .password = "x", .account = "C"});
  options.accounts[0].service_imports = {{.account = "B", .subject = "b.ask", .to = "ask"}};
  options.accounts[1].service_exports = {{.subject = "b.ask"}};
  options.accounts[1].service_imports = {{.account = "C", .subject = "c.ask", .to = "b.ask"}};
  options.accounts[2].service_exports = {{.subject = "c.ask"}};
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, options);
    Sessions::Client& a = sessions.Connect(0).Say(AsRequestor("a")).Say("SUB inbox 1\r\n");
    Sessions::Client& c = sessions.Connect(shards - 1).Say(AsRequestor("c")).Say("SUB c.ask 1\r\n");
    sessions.Settle();
    a.Hear(), c.Hear();
    a.Say("PUB ask inbox 0\r\n\r\n");
    sessions.Settle();
    const std::string heard = c.Hear();
    EXPECT_NE(heard.find("{\"acc\":\"A\",\"svc\":\"B\",\"rtt\":1}"), std::string::npos) << heard;
    c.Say("PUB " + ReplyOf(heard) + " 2\r\nok\r\n");
    sessions.Settle();
    EXPECT_EQ(a.Hear(), "MSG inbox 1 2\r\nok\r\n");
    EXPECT_EQ(sessions.services(0).pending(), 0u);
    c.Say("UNSUB 1\r\n");
    sessions.Settle();
    a.Say("PUB ask inbox 0\r\n\r\n");
    sessions.Settle();
    EXPECT_NE(a.Hear().find("Nats-Subject: ask\r\n"), std::string::npos);
    EXPECT_EQ(sessions.services(0).pending(), 0u);
  }
}

TEST(SessionAccounts, ARepliesSubjectIsNotAskedForWhereEverythingIsImported) {
  Options options = TwoTenants();
  options.accounts[0].service_imports = {{.account = "B", .subject = ">", .to = ">"}};
  options.accounts[1].service_exports = {{.subject = ">"}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB inbox 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB ask 1\r\nSUB inbox 2\r\n");
  a.Hear(), b.Hear();
  a.Say("PUB ask inbox 0\r\n\r\n");
  b.Say("PUB " + ReplyOf(b.Hear()) + " 2\r\nok\r\n");
  EXPECT_EQ(a.Hear(), "MSG inbox 1 2\r\nok\r\n");
  EXPECT_EQ(b.Hear(), "");
}

TEST(SessionAccounts, AConsumersDeliveryComesHomeUnderItsOwnSubject) {
  Sessions sessions(1, WithServices());
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB inbox 1\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB many 1\r\n");
  a.Hear(), b.Hear();
  a.Say("PUB many inbox 0\r\n\r\n");
  const std::string reply = ReplyOf(b.Hear());
  Router& router = sessions.shared(0).router;
  Message message;
  message.account = b.session().account();
  message.subject = "s";
  message.deliver_to = reply;
  message.reply = "$JS.ACK.x";
  message.payload = "1";
  for (const bool later : {false, true}) {
    message.sinks_later = later;
    EXPECT_TRUE(router.Publish(message, *router.interest().Match(message.account, reply).result).delivered);
    router.DeliverKept();
    EXPECT_EQ(a.Hear(), "MSG s 1 $JS.ACK.x 1\r\n1\r\n");
  }
}

TEST(SessionAccounts, WhatCameThroughAServiceIsNoStream) {
  Options options = WithServices();
  options.accounts[1].stream_exports = {{.subject = "q.x"}};
  options.accounts[0].stream_imports = {{.account = "B", .subject = "q.x", .to = "seen"}};
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, options);
    Sessions::Client& a = sessions.Connect(0).Say(AsRequestor("a"));
    Sessions::Client& seen = sessions.Connect(shards - 1).Say(AsRequestor("a")).Say("SUB seen 1\r\nSUB seen q 2\r\n");
    Sessions::Client& b = sessions.Connect(0).Say(AsRequestor("b"));
    sessions.Settle();
    seen.Hear();
    a.Say("PUB ask 1\r\n1\r\n");
    sessions.Settle();
    EXPECT_EQ(seen.Hear(), "");
    b.Say("PUB q.x 1\r\n2\r\n");
    sessions.Settle();
    EXPECT_EQ(seen.Hear(), "MSG seen 1 1\r\n2\r\nMSG seen 2 1\r\n2\r\n");
  }
}

TEST(SessionAccounts, AReloadChangesServiceImports) {
  Options options = WithServices();
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(AsRequestor("a")).Say("SUB ask 9\r\n");
  Sessions::Client& b = sessions.Connect().Say(AsRequestor("b")).Say("SUB > 1\r\n");
  const auto publish = [&](std::string_view subject) {
    b.Hear();
    a.Say("PUB " + std::string(subject) + " 0\r\n\r\n");
    return b.Hear();
  };
  const auto reload = [&] {
    sessions.SetConfig(options);
    a.session().OnConfigChanged(true, false);
    b.session().OnConfigChanged(true, false);
  };
  EXPECT_NE(publish("ask").find("HMSG q.x 1 "), std::string::npos);
  options.accounts[0].service_imports[0].to = "ask.another";
  reload();
  EXPECT_EQ(publish("ask"), "");
  EXPECT_NE(publish("ask.another").find("HMSG q.x 1 "), std::string::npos);
  EXPECT_NE(publish("wild.x").find("HMSG w.x 1 "), std::string::npos);
  options.accounts[0].service_imports.clear();
  reload();
  EXPECT_EQ(publish("ask.another"), "");
  a.Hear();
  EXPECT_EQ(a.Ask("PUB ask 0\r\n\r\n"), "MSG ask 9 0\r\n\r\n");
}

// ---- what all accounts have of the system account ------------------------------------------------------------------

TEST(SessionAccounts, EveryAccountAsksTheSystemAccountOfItself) {
  Options options = TwoTenants();
  options.accounts.push_back({.name = "$SYS"});
  options.account_users.push_back({.user = "s", .password = "x", .account = "$SYS"});
  for (const uint32_t shards : {1u, 2u}) {
    Sessions sessions(shards, options);
    Sessions::Client& system = sessions.Connect(0).Say(AsRequestor("s")).Say("SUB $SYS.REQ.> 1\r\n");
    Sessions::Client& a = sessions.Connect(shards - 1).Say(As("a")).Say("SUB in 1\r\n");
    sessions.Settle();
    const struct {
      std::string_view asked;
      std::string_view arrives;
      bool named;
    } kCases[] = {
        {"$SYS.REQ.USER.INFO", "$SYS.REQ.USER.A.INFO", true},
        {"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.A.CONNZ", false},
        {"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.A.CONNZ", false},
        {"$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.ACCOUNT.A.STATZ", false},
        {"$SYS.REQ.ACCOUNT.PING.INFO", "", false},
        {"$SYS.REQ.SERVER.PING", "", false},
        {"$SYS.REQ.USER.INFO.x", "", false},
        {"$SYS.REQ.USER", "", false},
    };
    for (const auto& each : kCases) {
      system.Hear();
      // Twice, and behind another one: what a match has found is remembered.
      for (int i = 0; i < 2; ++i) a.Say("PUB " + std::string(each.asked) + " in 0\r\n\r\nPUB $other 0\r\n\r\n");
      sessions.Settle();
      const std::string heard = system.Hear();
      const std::string begin = "MSG " + std::string(each.arrives) + " 1 _R_.";
      EXPECT_EQ(heard.find(each.arrives.empty() ? "MSG" : begin) != std::string::npos, !each.arrives.empty())
          << each.asked << ": " << heard;
      EXPECT_EQ(heard.find("\"user\":\"a\"") != std::string::npos, each.named) << each.asked << ": " << heard;
    }
    // The system account itself has none but who its user is.
    EXPECT_NE(system.Ask("PUB $SYS.REQ.USER.INFO in 0\r\n\r\n").find("MSG $SYS.REQ.USER.$SYS.INFO 1 _R_."),
              std::string::npos);
    sessions.Settle();
  }
}

TEST(SessionAccounts, WhoImportsTheSubjectHimselfHasItOnce) {
  Options options = TwoTenants();
  options.accounts[0].service_imports = {
      {.account = "$SYS", .subject = "$SYS.REQ.USER.INFO", .to = "$SYS.REQ.USER.INFO"}};
  options.accounts.push_back({.name = "$SYS", .service_exports = {{.subject = "$SYS.REQ.USER.INFO"}}});
  options.account_users.push_back({.user = "s", .password = "x", .account = "$SYS"});
  Sessions sessions(1, options);
  Sessions::Client& system = sessions.Connect().Say(As("s"));
  system.Say("SUB $SYS.REQ.USER.A.INFO 1\r\nSUB $SYS.REQ.USER.INFO 2\r\n");
  system.Hear();
  sessions.Connect().Say(As("a")).Say("PUB $SYS.REQ.USER.INFO in 0\r\n\r\n");
  const std::string heard = system.Hear();
  EXPECT_NE(heard.find("MSG $SYS.REQ.USER.INFO 2 "), std::string::npos) << heard;
  EXPECT_EQ(heard.find("USER.A.INFO"), std::string::npos) << heard;
}

TEST(SessionAccounts, AUserIsToldWhatItMay) {
  Options options = TwoTenants();
  options.account_users[0].permissions.emplace();
  Permissions& may = *options.account_users[0].permissions;
  may.publish = SubjectPermission{.allow = {{"b", "a.>"}}, .deny = {{"a.b"}}};
  may.subscribe = SubscribePermission{.allow = {{{.subject = "q", .queue = "work"}, {.subject = "_I.>"}}}};
  may.response = ResponsePermission{.max = 3, .expires = std::chrono::seconds(2)};
  Sessions sessions(1, options);
  EXPECT_EQ(sessions.Connect().session().UserInfoJson(), "");
  EXPECT_EQ(sessions.Connect().Say(As("b")).session().UserInfoJson(),
            R"({"user":"b","account":"B","account_name":"B"})");
  EXPECT_EQ(sessions.Connect().Say(As("a")).session().UserInfoJson(),
            R"({"user":"a","account":"A","account_name":"A","permissions":{"publish":{"allow":["a.\u003e","b"],)"
            R"("deny":["a.b"]},"subscribe":{"allow":["_I.\u003e","q work"]},"responses":{"max":3,"ttl":2000000000}}})");
}

TEST(SessionAccounts, OneClientMayBeSentAway) {
  Sessions sessions(1, TwoTenants());
  Sessions::Client& a = sessions.Connect().Say(As("a"));
  EXPECT_FALSE(a.session().AnnounceLameDuck());  // protocol 0
  Sessions::Client& b = sessions.Connect();
  EXPECT_FALSE(b.session().AnnounceLameDuck());
  b.Say("CONNECT {\"verbose\":false,\"user\":\"b\",\"pass\":\"x\",\"protocol\":1}\r\n");
  EXPECT_FALSE(b.session().AnnounceLameDuck());  // it has no first PONG yet
  b.Ask("PING\r\n");
  EXPECT_TRUE(b.session().AnnounceLameDuck());
  const std::string heard = b.Hear();
  EXPECT_TRUE(heard.starts_with("INFO {")) << heard;
  EXPECT_NE(heard.find("\"ldm\":true"), std::string::npos) << heard;
}

}  // namespace
}  // namespace millrace
