// SPDX-License-Identifier: Apache-2.0
// Goal: PONG means that whatever the client did before has happened on every shard; requests that
//       another shard could not
// deliver are answered; a traced message is reported over shards.
// Method: sessions on two or three shards whose turns the test takes one by one.
#include <gtest/gtest.h>

#include "broker/session/session.h"
#include "tests/session/sessions.h"

namespace millrace {
namespace {

constexpr std::string_view kQuiet = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";
constexpr std::string_view kRequester =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

class Barrier : public testing::Test {
 protected:
  Barrier() {
    here.Say(kQuiet).Hear();
    there.Say(kQuiet).Hear();
  }
  // One turn of a shard, barriers included.
  void Turn(uint32_t shard) {
    sessions.shards().Drain(shard);
    for (Sessions::Client* client : {&here, &there}) {
      if (client->id().shard != shard || !client->awaiting || !client->session().CheckBarrier()) continue;
      client->awaiting = false;
      client->Go();
    }
    sessions.shards().Finish(shard);
  }

  Sessions sessions{2};
  Sessions::Client& here = sessions.Connect(0);
  Sessions::Client& there = sessions.Connect(1);
};

TEST_F(Barrier, WithNothingOutstandingPongComesAtOnce) {
  EXPECT_EQ(here.Ask("PING\r\n"), "PONG\r\n");
  EXPECT_EQ(here.Ask("SUB local 1\r\nPING\r\n"), "") << "the other shard must have heard of the subscription";
  sessions.Settle();
  EXPECT_EQ(here.Hear(), "PONG\r\n");
  EXPECT_EQ(here.Ask("PUB local 0\r\n\r\nPING\r\n"), "MSG local 1 0\r\n\r\nPONG\r\n");
}

TEST_F(Barrier, PongWaitsUntilTheOtherShardHasDelivered) {
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 2\r\nhi\r\nPING\r\n");
  EXPECT_TRUE(here.awaiting);
  EXPECT_TRUE(here.paused);
  Turn(0);
  EXPECT_EQ(here.Hear(), "");
  Turn(0);
  EXPECT_EQ(here.Hear(), "");
  sessions.shards().Drain(1);
  EXPECT_EQ(there.Hear(), "MSG x 1 2\r\nhi\r\n");
  Turn(0);
  EXPECT_EQ(here.Hear(), "") << "the other shard has not ended its turn";
  sessions.shards().Finish(1);
  Turn(0);
  EXPECT_EQ(here.Hear(), "PONG\r\n");
  EXPECT_FALSE(here.awaiting);
}

TEST_F(Barrier, WhatFollowsWaitsBehindThePong) {
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\nSUB y 1\r\nPUB y 1\r\n!\r\nPING\r\nPING\r\n");
  EXPECT_EQ(here.session().subscription_count(), 0u);
  sessions.Settle();
  EXPECT_EQ(here.Hear(), "PONG\r\nMSG y 1 1\r\n!\r\nPONG\r\nPONG\r\n");
}

TEST_F(Barrier, DeliveriesOfOthersDoNotWait) {
  there.Say("SUB x 1\r\n");
  here.Say("SUB y 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\n");
  there.Say("PUB y 0\r\n\r\n");
  sessions.shards().Finish(1);  // ships what was published before, but has not drained
  Turn(0);
  EXPECT_EQ(here.Hear(), "MSG y 1 0\r\n\r\n");
}

TEST_F(Barrier, TheAnswerOfAnotherShardComesBeforeThePong) {
  Sessions::Client& requester = sessions.Connect(0);
  requester.Say(kRequester).Say("SUB _INBOX.* 1\r\n");
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  requester.Hear();
  there.Say("UNSUB 1\r\n");
  requester.Say("PUB x _INBOX.1 0\r\n\r\nPING\r\n");  // before the news
  sessions.Settle();
  EXPECT_EQ(requester.Hear(),
            "HMSG _INBOX.1 1 33 33\r\nNATS/1.0 503\r\nNats-Subject: x\r\n\r\n\r\nPONG\r\n");
}

TEST_F(Barrier, AShardAboutToSleepIsWokenForIt) {
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\n");
  Turn(0);
  here.session().RequestBarrierWake();
  ASSERT_TRUE(sessions.shards().mesh().port(0).TrySleep());
  std::vector<uint32_t> woken;
  sessions.shards().Drain(1);
  sessions.shards().mesh().port(1).Ship([&](uint32_t target) { woken.push_back(target); });
  EXPECT_EQ(woken, (std::vector<uint32_t>{0}));
  sessions.shards().mesh().port(0).Awake();
  Turn(0);
  EXPECT_EQ(here.Hear(), "PONG\r\n");
}

TEST_F(Barrier, ClosingInTheMeantimeIsHarmless) {
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\n");
  here.Close();
  sessions.Settle();
  EXPECT_TRUE(here.session().CheckBarrier());
  EXPECT_EQ(here.Hear(), "");
  here.session().Invariant();
}

TEST_F(Barrier, AnUnsubscribeIsKnownElsewhereWhenPongComes) {
  here.Say("SUB x 1\r\nPING\r\n");
  sessions.Settle();
  here.Say("UNSUB 1\r\nPING\r\n");
  sessions.Settle();
  EXPECT_EQ(here.Hear(), "PONG\r\nPONG\r\n");
  there.Say("PUB x 0\r\n\r\n");
  sessions.shards().Finish(1);
  EXPECT_EQ(sessions.shards().Drain(0), 0u) << "not even a record is sent";
}

// Each of the ways in which something of a client reaches other shards: before it, a PING that owes nothing; with it,
// one that has to wait.
TEST(Barriers, WhateverReachesAnotherShardHoldsThePong) {
  const auto traced = [](std::string_view subject) {
    const std::string headers = "NATS/1.0\r\nNats-Trace-Dest: dest\r\n\r\n";
    const std::string bytes = std::to_string(headers.size());
    return "HPUB " + std::string(subject) + " " + bytes + " " + bytes + "\r\n" + headers + "\r\n";
  };
  const std::string publish = "PUB x 64\r\n" + std::string(64, '.') + "\r\n";  // long enough to join a run
  const struct {
    std::string_view what;
    std::string there;  // what the client of the other shard has said
    std::string before;
    std::string input;
  } kCases[] = {
      {"a publish", "SUB x 1\r\n", "", "PUB x 0\r\n\r\n"},
      {"a request", "SUB x 1\r\n", "", "PUB x reply 0\r\n\r\n"},
      {"a publish of a run", "SUB x 1\r\n", publish + publish, publish},
      {"a publish like the last ones", "SUB x 1\r\n", publish + publish + publish, publish},
      {"a publish to a group", "SUB x q 1\r\n", "", "PUB x 0\r\n\r\n"},
      {"a traced publish", "SUB x 1\r\n", "", traced("x")},
      {"the event of a trace", "SUB dest 1\r\n", "", traced("x")},
      {"a subscription", "", "", "SUB y 1\r\n"},
      {"its end", "", "SUB y 1\r\n", "UNSUB 1\r\n"},
      {"its end with its last message", "", "SUB y 1\r\nUNSUB 1 1\r\n", "PUB y 0\r\n\r\n"},
      {"the end of all with another CONNECT", "", "SUB y 1\r\n", std::string(kQuiet)},
  };
  for (const auto& test : kCases) {
    SCOPED_TRACE(test.what);
    Sessions sessions(2);
    Sessions::Client& here = sessions.Connect(0);
    Sessions::Client& there = sessions.Connect(1);
    here.Say(kQuiet);
    there.Say(kQuiet).Say(test.there);
    sessions.Settle();
    here.Say(test.before).Say("PING\r\n");
    sessions.Settle();
    EXPECT_TRUE(here.Ask("PING\r\n").ends_with("PONG\r\n"));
    here.Say(test.input).Say("PING\r\n");
    EXPECT_TRUE(here.awaiting);
    EXPECT_FALSE(here.Hear().ends_with("PONG\r\n"));
    here.session().Invariant();
    sessions.Settle();
    EXPECT_TRUE(here.Hear().ends_with("PONG\r\n"));
    here.session().Invariant();
  }
}

TEST_F(Barrier, WhatOthersHaveSentSinceDoesNotHoldIt) {
  Sessions::Client& other = sessions.Connect(0);
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\n");
  sessions.Settle();
  here.Hear();
  other.Say("PUB x 0\r\n\r\n");
  EXPECT_EQ(here.Ask("PING\r\n"), "PONG\r\n");
}

TEST_F(Barrier, AReloadDoesNotOpenIt) {
  there.Say("SUB x 1\r\n");
  sessions.Settle();
  here.Say("PUB x 0\r\n\r\nPING\r\n");
  here.session().OnConfigChanged(true, false);
  Turn(0);
  EXPECT_TRUE(here.awaiting);
  EXPECT_EQ(here.Hear(), "");
  sessions.Settle();
  EXPECT_EQ(here.Hear(), "PONG\r\n");
}

TEST(Tracing, TheWayOfAMessageIsToldOverShards) {
  for (const uint32_t shards : {1u, 2u}) {
    for (const bool only : {false, true}) {
      Sessions sessions(shards);
      Sessions::Client& publisher = sessions.Connect(0);
      Sessions::Client& subscriber = sessions.Connect(shards - 1);
      Sessions::Client& watcher = sessions.Connect(0);
      for (Sessions::Client* client : {&publisher, &subscriber, &watcher}) client->Say(kQuiet);
      subscriber.Say("SUB x.* 1\r\nSUB *.y workers 2\r\n");
      watcher.Say("SUB dest 1\r\n");
      sessions.Settle();
      for (Sessions::Client* client : {&publisher, &subscriber, &watcher}) client->Hear();
      std::string headers = "NATS/1.0\r\nNats-Trace-Dest: dest\r\n";
      if (only) headers += "Nats-Trace-Only: true\r\n";
      headers += "\r\n";
      publisher.Say("HPUB x.y " + std::to_string(headers.size()) + " " + std::to_string(headers.size()) + "\r\n" +
                    headers + "\r\n");
      sessions.Settle();
      EXPECT_EQ(subscriber.Hear().empty(), only);
      const std::string event = watcher.Hear();
      EXPECT_NE(event.find("\"type\":\"in\""), std::string::npos) << event;
      EXPECT_NE(event.find("\"sub\":\"x.*\"}"), std::string::npos) << event << ": no group is named";
      EXPECT_NE(event.find("\"sub\":\"*.y\",\"queue\":\"workers\"}"), std::string::npos) << event;
      EXPECT_NE(event.find("\"subj\":\"x.y\""), std::string::npos) << event;
      EXPECT_TRUE(event.starts_with("MSG dest 1 ")) << event;
    }
  }
}

}  // namespace
}  // namespace millrace
