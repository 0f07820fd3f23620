// SPDX-License-Identifier: Apache-2.0
// Goal: a traced message is followed into other accounts as far as they let it be, on all shards, and its publisher's
//       account hears of it once (C-42).
// Method: conversations with real sessions on one and two shards; nats-server 2.15.2 says the same
//         (tests/interop/message_traces.py).
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

// A publishes; B hears its streams, C serves it, and D serves C.
Options Ways() {
  Options options;
  for (const std::string_view name : {"A", "B", "C", "D"}) {
    options.accounts.push_back({.name = std::string(name)});
    options.account_users.push_back({.user = std::string(name), .password = "x", .account = std::string(name)});
  }
  options.accounts[0].mappings = {{"mapped", {{.subject = "x.open"}}}};
  options.accounts[0].stream_exports = {{.subject = "x.*"}};
  options.accounts[0].service_imports = {{.account = "C", .subject = "open", .to = "ask.open"},
                                         {.account = "C", .subject = "shut", .to = "ask.shut"},
                                         {.account = "C", .subject = "chain", .to = "chain"}};
  options.accounts[1].stream_imports = {
      {.account = "A", .subject = "x.open", .to = "heard.open", .allow_trace = true},
      {.account = "A", .subject = "x.shut", .to = "heard.shut"}};
  options.accounts[2].service_exports = {{.subject = "open", .allow_trace = true},
                                         {.subject = "shut"},
                                         {.subject = "chain", .allow_trace = true}};
  options.accounts[2].service_imports = {{.account = "D", .subject = "end", .to = "chain"}};
  options.accounts[3].service_exports = {{.subject = "end", .allow_trace = true}};
  return options;
}

std::string As(std::string_view user) {
  return "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"" + std::string(user) +
         "\",\"pass\":\"x\",\"name\":\"n" + std::string(user) + "\"}\r\n";
}

struct Scene {
  explicit Scene(uint32_t shards) : sessions(shards, Ways()), a(sessions.Connect(0).Say(As("A"))) {
    const std::string subs[] = {"SUB in.> 1\r\n", "SUB heard.* 1\r\nSUB heard.* q 2\r\n",
                                "SUB open 1\r\nSUB shut 2\r\nSUB open q 3\r\n", "SUB end 1\r\n"};
    a.Say(subs[0]);
    for (size_t i = 1; i < 4; ++i) {
      others.push_back(&sessions.Connect(shards - 1).Say(As(std::string(1, "ABCD"[i])) + subs[i]));
    }
    sessions.Settle();
    a.Hear();
    for (Sessions::Client* other : others) other->Hear();
  }
  // The events behind the first one, without what they all have, in alphabetical order; what else A heard is in
  // `heard`.
  std::vector<std::string> Trace(std::string_view subject, std::string_view reply, bool only) {
    std::string block = "NATS/1.0\r\nNats-Trace-Dest: in.t\r\n";
    if (only) block += "Nats-Trace-Only: 1\r\n";
    block += "\r\n";
    a.Say("HPUB " + std::string(subject) + " " + std::string(reply) + " " + std::to_string(block.size()) + " " +
          std::to_string(block.size()) + "\r\n" + block + "\r\n");
    sessions.Settle();
    sessions.services(0).Invariant();
    a.session().Invariant();
    heard = a.Hear();
    std::vector<std::string> events;
    size_t at = heard.find("\"events\":[");
    EXPECT_NE(at, std::string::npos) << heard;
    EXPECT_EQ(heard.find("\"events\":[", at + 1), std::string::npos) << heard;
    for (at = heard.find("{\"type\":", at); at != std::string::npos; at = heard.find("{\"type\":", at + 1)) {
      std::string event = heard.substr(at, heard.find('}', at) + 1 - at);
      const size_t ts = event.find("\"ts\":");
      event.erase(ts, event.find(',', ts) + 1 - ts);
      const size_t cid = event.find("\"kind\":0,\"cid\":");
      if (cid != std::string::npos) event.erase(cid, event.find(',', cid + 9) + 1 - cid);
      events.push_back(std::move(event));
    }
    EXPECT_EQ(events.front(), R"({"type":"in","name":"nA","acc":"A","subj":")" + std::string(subject) + "\"}");
    events.erase(events.begin());
    std::sort(events.begin(), events.end());
    return events;
  }

  Sessions sessions;
  Sessions::Client& a;
  std::vector<Sessions::Client*> others;
  std::string heard;
};

using Events = std::vector<std::string>;

TEST(TraceWays, IntoStreamsOfOtherAccounts) {
  for (const uint32_t shards : {1u, 2u}) {
    for (const bool only : {false, true}) {
      Scene scene(shards);
      EXPECT_EQ(scene.Trace("x.open", "", only),
                (Events{R"({"type":"eg","name":"nB","acc":"B","sub":"x.open","queue":"q"})",
                        R"({"type":"eg","name":"nB","acc":"B","sub":"x.open"})",
                        R"({"type":"se","acc":"B","to":"heard.open"})",
                        R"({"type":"se","acc":"B","to":"heard.open"})"}));
      EXPECT_EQ(scene.others[0]->Hear().empty(), only);
      EXPECT_EQ(scene.Trace("x.shut", "", only),
                (Events{R"({"type":"se","acc":"B","to":"heard.shut"})",
                        R"({"type":"se","acc":"B","to":"heard.shut"})"}));
      EXPECT_EQ(scene.others[0]->Hear().empty(), only);
      const Events mapped = scene.Trace("mapped", "", only);
      EXPECT_EQ(mapped.size(), 5u);
      EXPECT_EQ(mapped.back(), R"({"type":"sm","to":"x.open"})");
    }
  }
}

TEST(TraceWays, IntoServicesOfOtherAccounts) {
  for (const uint32_t shards : {1u, 2u, 3u}) {
    Scene scene(shards);
    EXPECT_EQ(scene.Trace("ask.open", "in.r", false),
              (Events{R"({"type":"eg","name":"nC","acc":"C","sub":"open","queue":"q"})",
                      R"({"type":"eg","name":"nC","acc":"C","sub":"open"})",
                      R"({"type":"si","acc":"C","from":"ask.open","to":"open"})"}));
    const std::string open = scene.others[1]->Hear();
    EXPECT_NE(open.find("\"rtt\":1}\r\nNats-Trace-Dest: _R_."), std::string::npos) << open;
    EXPECT_EQ(scene.sessions.services(0).pending(), 1u);
    EXPECT_EQ(scene.Trace("ask.shut", "in.r", false),
              (Events{R"({"type":"si","acc":"C","from":"ask.shut","to":"shut"})"}));
    const std::string shut = scene.others[1]->Hear();
    EXPECT_NE(shut.find("\"rtt\":1}\r\nNats-Trace-Dest: trace disabled\r\n\r\n"), std::string::npos) << shut;
    EXPECT_EQ(scene.Trace("chain", "in.r", false),
              (Events{R"({"type":"eg","name":"nD","acc":"D","sub":"end"})",
                      R"({"type":"si","acc":"C","from":"chain","to":"chain"})",
                      R"({"type":"si","acc":"D","from":"chain","to":"end"})"}));
  }
}

TEST(TraceWays, WhatIsOnlyTracedWaitsForNoReply) {
  for (const uint32_t shards : {1u, 2u}) {
    Scene scene(shards);
    EXPECT_EQ(scene.Trace("ask.open", "in.r", true).size(), 3u);
    EXPECT_EQ(scene.heard.find("503"), std::string::npos);
    EXPECT_EQ(scene.Trace("ask.shut", "in.r", true).size(), 1u);
    EXPECT_NE(scene.heard.find("HMSG in.r 1 "), std::string::npos);  // nobody has got it
    EXPECT_EQ(scene.Trace("chain", "in.r", true).size(), 3u);
    for (Sessions::Client* other : scene.others) EXPECT_EQ(other->Hear(), "");
    EXPECT_EQ(scene.sessions.services(0).pending(), 0u);
  }
}

TEST(TraceWays, AReplysWayEndsWithItsRequestor) {
  for (const uint32_t shards : {1u, 2u}) {
    Scene scene(shards);
    scene.a.Say("PUB ask.shut in.r 0\r\n\r\n");
    scene.sessions.Settle();
    Sessions::Client& c = *scene.others[1];
    const std::string request = c.Hear();
    const size_t at = request.find("_R_.");
    const std::string reply = request.substr(at, request.find(' ', at) - at);
    c.Say("SUB t 5\r\nHPUB " + reply + " 32 34\r\nNATS/1.0\r\nNats-Trace-Dest: t\r\n\r\nhi\r\n");
    scene.sessions.Settle();
    EXPECT_NE(c.Hear().find("\"acc\":\"A\",\"from\":\"" + reply + "\",\"to\":\"in.r\"}]}"), std::string::npos);
    EXPECT_EQ(scene.a.Hear(), "HMSG in.r 1 45 47\r\nNATS/1.0\r\nNats-Trace-Dest: trace disabled\r\n\r\nhi\r\n");
    EXPECT_EQ(scene.sessions.services(0).pending(), 0u);
  }
}

TEST(TraceWays, AnAccountMayHaveTracesOfItsOwn) {
  Options options = Ways();
  options.accounts[0].trace = {.dest = "in.own"};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("A")).Say("SUB in.> 1\r\nSUB y 2\r\n");
  Sessions::Client& b = sessions.Connect().Say(As("B")).Say("SUB y 2\r\n");
  const auto publish = [](Sessions::Client& client) {
    client.Hear();
    client.Say("HPUB y 37 39\r\nNATS/1.0\r\ntraceparent: 0-1-2-01\r\n\r\n\r\nhi\r\n");
    return client.Hear();
  };
  const std::string traced = publish(a);
  EXPECT_EQ(traced.find("HMSG y 2 37 39\r\nNATS/1.0\r\ntraceparent: 0-1-2-01\r\n"), 0u) << traced;
  EXPECT_NE(traced.find("MSG in.own 1 "), std::string::npos) << traced;
  EXPECT_EQ(publish(b).find("MSG in."), std::string::npos);
  // A share: of the others nobody further on makes a trace.
  options.accounts[0].trace.sampling = 50;
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  int with = 0, without = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string heard = publish(a);
    const bool is_traced = heard.find("MSG in.own 1 ") != std::string::npos;
    EXPECT_EQ(heard.find("Nats-Trace-Dest: trace disabled\r\n") != std::string::npos, !is_traced) << heard;
    ++(is_traced ? with : without);
  }
  EXPECT_GT(with, 60);
  EXPECT_GT(without, 60);
  options.accounts[0].trace = {};
  sessions.SetConfig(options);
  a.session().OnConfigChanged(true, false);
  EXPECT_EQ(publish(a), "HMSG y 2 37 39\r\nNATS/1.0\r\ntraceparent: 0-1-2-01\r\n\r\n\r\nhi\r\n");
}

TEST(TraceWays, WhatIsRefusedIsTold) {
  Options options = Ways();
  options.account_users[0].permissions = Permissions{};
  options.account_users[0].permissions->publish = SubjectPermission{.allow = std::vector<std::string>{"in.t"}};
  Sessions sessions(1, options);
  Sessions::Client& a = sessions.Connect().Say(As("A")).Say("SUB in.> 1\r\n");
  const auto publish = [&a](std::string_view dest) {
    const std::string block = "NATS/1.0\r\nNats-Trace-Dest: " + std::string(dest) + "\r\n\r\n";
    const std::string size = std::to_string(block.size());
    return a.Ask("HPUB no " + size + " " + size + "\r\n" + block + "\r\n");
  };
  const std::string told = publish("in.t");
  EXPECT_EQ(told.find("-ERR 'Permissions Violation for Publish to \"no\"'\r\nMSG in.t 1 "), 0u) << told;
  EXPECT_NE(told.find(R"("subj":"no","error":"Permissions Violation for Publish to \"no\""}]})"), std::string::npos);
  EXPECT_EQ(publish("in.no"), "-ERR 'Permissions Violation for Publish to \"in.no\"'\r\n");
}

}  // namespace
}  // namespace millrace
