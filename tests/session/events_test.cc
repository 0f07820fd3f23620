// SPDX-License-Identifier: Apache-2.0
// Goal: the system account hears of every client that comes, goes or is refused, once, under the account that it is in
//       at that time; a refusal is heard in that account, too (E-02, E-06).
// Method: conversations with real sessions; what is told is compared by subject, user and reason. The same on the real
//         binary, to the byte: tests/interop/system_events.py.
#include <gtest/gtest.h>

#include <regex>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

Options Tenants() {
  Options options;
  AccountSpec limited{.name = "B"};
  limited.limits.connections = 1;
  options.accounts = {{.name = "A"}, limited};
  options.account_users = {{.user = "a", .password = "x", .account = "A"},
                           {.user = "b", .password = "x", .account = "B"},
                           {.user = "g", .password = "x"},
                           {.user = "s", .password = "x", .account = "$SYS"}};
  return options;
}

std::string As(std::string_view user, std::string_view more = "") {
  return R"(CONNECT {"verbose":false,"user":")" + std::string(user) + R"(","pass":"x")" + std::string(more) + "}\r\n";
}

// "subject user[ reason]" of each event.
std::string Events(Sessions* sessions, Sessions::Client& listener) {
  sessions->Settle();
  const std::string heard = listener.Hear();
  static const std::regex event(
      R"re(MSG (\S+) 1 \d+\r\n\{[^\r]*?"client":\{[^}]*?(?:"user":"([^"]*)"[^}]*)?\})re"
      R"re((?:[^\r]*"reason":"([^"]*)")?[^\r]*\r\n)re");
  std::string events;
  for (std::sregex_iterator at(heard.begin(), heard.end(), event), end; at != end; ++at) {
    events += (*at)[1].str() + " " + (*at)[2].str() + ((*at)[3].matched ? " " + (*at)[3].str() : "") + "\n";
  }
  return events;
}

Sessions::Client& Listener(Sessions* sessions, std::string_view user, uint32_t shard = 0) {
  Sessions::Client& listener = sessions->Connect(shard);
  listener.Say(As(user)).Say("SUB $SYS.> 1\r\n");
  sessions->Settle();
  listener.Hear();
  return listener;
}

TEST(SessionEvents, WhoComesAndGoesIsToldOnEveryShard) {
  Sessions sessions(2, Tenants());
  Sessions::Client& listener = Listener(&sessions, "s");
  for (const uint32_t shard : {0u, 1u}) {
    Sessions::Client& a = sessions.Connect(shard);
    EXPECT_EQ(Events(&sessions, listener), "");
    a.Say(As("a"));
    EXPECT_EQ(Events(&sessions, listener), "$SYS.ACCOUNT.A.CONNECT a\n");
    a.Close(ClosedReason::kStaleConnection);
    EXPECT_EQ(Events(&sessions, listener), "$SYS.ACCOUNT.A.DISCONNECT a Stale Connection\n");
  }
}

TEST(SessionEvents, ASecondConnectIsToldAgain) {
  Sessions sessions(1, Tenants());
  Sessions::Client& listener = Listener(&sessions, "s");
  Sessions::Client& client = sessions.Connect().Say(As("a")).Say(As("b"));
  EXPECT_EQ(Events(&sessions, listener), "$SYS.ACCOUNT.A.CONNECT a\n$SYS.ACCOUNT.B.CONNECT b\n");
  client.Close(ClosedReason::kClientClosed);
  EXPECT_EQ(Events(&sessions, listener), "$SYS.ACCOUNT.B.DISCONNECT b Client Closed\n");
}

TEST(SessionEvents, ARefusalIsHeardInTheAccountOfNobody) {
  Sessions sessions(1, Tenants());
  Sessions::Client& listener = Listener(&sessions, "s");
  Sessions::Client& global = Listener(&sessions, "g");
  Sessions::Client& tenant = Listener(&sessions, "a");
  Events(&sessions, listener);
  Sessions::Client& wrong = sessions.Connect().Say(As("nobody"));
  EXPECT_EQ(Events(&sessions, listener),
            "$SYS.ACCOUNT.$G.DISCONNECT nobody Authentication Failure\n"
            "$SYS.SERVER.NSERVER.CLIENT.AUTH.ERR nobody Authentication Failure\n");
  EXPECT_EQ(Events(&sessions, global), "$SYS.ACCOUNT.CLIENT.AUTH.ERR nobody Authentication Failure\n");
  EXPECT_EQ(Events(&sessions, tenant), "");
  EXPECT_EQ(wrong.Describe().user, "nobody") << "monitoring shows who it said it was";
  // Nothing was said that could have been judged.
  sessions.Connect().Say("PUB x 0\r\n\r\n");
  EXPECT_EQ(Events(&sessions, listener),
            "$SYS.ACCOUNT.$G.DISCONNECT  Authentication Failure\n"
            "$SYS.SERVER.NSERVER.CLIENT.AUTH.ERR  Authentication Failure\n");
  EXPECT_EQ(Events(&sessions, global), "");
  // It has been judged well, but asks for what nobody may.
  sessions.Connect().Say(As("a", ",\"account\":\"A\""));
  EXPECT_EQ(Events(&sessions, listener),
            "$SYS.ACCOUNT.A.CONNECT a\n"
            "$SYS.ACCOUNT.A.DISCONNECT a Authentication Failure\n"
            "$SYS.SERVER.NSERVER.CLIENT.AUTH.ERR a Authentication Failure\n");
  EXPECT_EQ(Events(&sessions, tenant), "");
}

TEST(SessionEvents, OneForWhomThereIsNoRoomGoesFromTheAccountThatHadNone) {
  Sessions sessions(1, Tenants());
  Sessions::Client& listener = Listener(&sessions, "s");
  sessions.Connect().Say(As("b"));
  Events(&sessions, listener);
  Sessions::Client& more = sessions.Connect().Say(As("b"));
  EXPECT_EQ(Events(&sessions, listener), "$SYS.ACCOUNT.B.DISCONNECT b Maximum Account Connections Exceeded\n");
  EXPECT_EQ(more.Describe().account, "B");
}

TEST(SessionEvents, AReloadTellsOfAllWhomItLooksAt) {
  Sessions sessions(1, Tenants());
  Sessions::Client& listener = Listener(&sessions, "s");
  Sessions::Client& a = sessions.Connect().Say(As("a"));
  Sessions::Client& g = Listener(&sessions, "g");
  Sessions::Client& b = sessions.Connect().Say(As("b"));
  Events(&sessions, listener);
  Options changed = Tenants();
  changed.account_users[1].password = "y";
  sessions.SetConfig(changed);
  for (Sessions::Client* client : {&a, &g, &b}) client->session().OnConfigChanged(true, false);
  EXPECT_EQ(Events(&sessions, listener),
            "$SYS.ACCOUNT.A.CONNECT a\n"
            "$SYS.ACCOUNT.$G.CONNECT g\n"
            "$SYS.ACCOUNT.B.DISCONNECT b Authentication Failure\n"
            "$SYS.SERVER.NSERVER.CLIENT.AUTH.ERR b Authentication Failure\n");
}

// "A=1 B=0 " of what is noted on a shard.
std::string Noted(Sessions* sessions, uint32_t shard = 0) {
  std::string text;
  ServerEvents& events = *sessions->shared(shard).server_events;
  for (const AccountConnections& each : events.TakeNoted()) {
    text += events.accounts()[each.account].name + "=" + std::to_string(each.connections) + " ";
  }
  return text;
}

TEST(SessionEvents, EveryChangeOfAnAccountsConnectionsIsNoted) {
  Sessions sessions(2, Tenants());
  Sessions::Client& before = sessions.Connect().Say(As("a"));
  EXPECT_EQ(Noted(&sessions), "") << "nobody listens";
  Listener(&sessions, "s", 1);
  sessions.Connect().Say(As("g"));
  EXPECT_EQ(Noted(&sessions), "") << "those who are in no account are not told of";
  Sessions::Client& there = sessions.Connect(1).Say(As("a"));
  EXPECT_EQ(Noted(&sessions, 1), "A=2 ") << "of all shards";
  there.Say(As("b"));
  EXPECT_EQ(Noted(&sessions, 1), "A=1 B=1 ");
  sessions.Connect().Say(As("b"));
  EXPECT_EQ(Noted(&sessions), "") << "it was refused for its account's limit";
  sessions.SetConfig(Tenants());
  before.session().OnConfigChanged(true, false);
  EXPECT_EQ(Noted(&sessions), "A=0 A=1 ") << "its place is given up and taken again";
  before.Close(ClosedReason::kClientClosed);
  there.Close(ClosedReason::kClientClosed);
  EXPECT_EQ(Noted(&sessions), "A=0 ");
  EXPECT_EQ(Noted(&sessions, 1), "B=0 ");
}

}  // namespace
}  // namespace millrace
