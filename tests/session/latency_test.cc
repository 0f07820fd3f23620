// SPDX-License-Identifier: Apache-2.0
// Goal: of each request to a measured export its account hears once what became of it, wherever both ends are (A-33);
//       and nothing is kept of it afterwards.
// Method: conversations with real sessions on one and two shards, as session_test.cc; nats-server 2.15.2 says the same
//         (tests/interop/service_latency.py).
#include <gtest/gtest.h>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

// A asks B, who measures; A shares who it is with `told` only.
Options Measured() {
  Options options;
  options.accounts = {{.name = "A"}, {.name = "B"}};
  options.account_users = {{.user = "a", .password = "x", .account = "A"},
                           {.user = "b", .password = "x", .account = "B"}};
  options.accounts[0].service_imports = {{.account = "B", .subject = "q", .to = "ask"},
                                         {.account = "B", .subject = "told", .to = "told", .share = true},
                                         {.account = "B", .subject = "head", .to = "head"}};
  options.accounts[1].service_exports = {
      {.subject = "q", .threshold = std::chrono::seconds(3), .latency = ServiceLatency{.subject = "lat.q"}},
      {.subject = "told", .latency = ServiceLatency{.subject = "lat.told"}},
      {.subject = "head",
       .latency = ServiceLatency{.subject = "lat.head", .sampling = ServiceLatency::kByHeader}}};
  return options;
}

std::string As(std::string_view user) {
  return "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"" + std::string(user) +
         "\",\"pass\":\"x\"}\r\n";
}

// A requestor and a responder on the first and the last shard, and somebody in between who listens to metrics.
struct Scene {
  explicit Scene(uint32_t shards)
      : sessions(shards, Measured()),
        a(sessions.Connect(0).Say(As("a")).Say("SUB inbox.* 1\r\n")),
        b(sessions.Connect(shards - 1).Say(As("b")).Say("SUB q 1\r\nSUB told 2\r\nSUB head 3\r\n")),
        listener(sessions.Connect(shards / 2).Say(As("b")).Say("SUB lat.* 1\r\n")) {
    sessions.Settle();
    a.Hear(), b.Hear(), listener.Hear();
  }
  // What is heard of metrics, without what differs from time to time.
  std::string Metrics() {
    sessions.Settle();
    sessions.services(0).Invariant();
    return listener.Hear();
  }
  std::string Ask(std::string_view subject, std::string_view reply) {
    a.Say("PUB " + std::string(subject) + " " + std::string(reply) + " 2\r\nhi\r\n");
    sessions.Settle();
    const std::string heard = b.Hear();
    const size_t at = heard.find("_R_.");
    return at == std::string::npos ? "" : heard.substr(at, heard.find(' ', at) - at);
  }
  void Reply(std::string_view reply) {
    b.Say("PUB " + std::string(reply) + " 3\r\nyes\r\n");
    sessions.Settle();
  }

  Sessions sessions;
  Sessions::Client& a;
  Sessions::Client& b;
  Sessions::Client& listener;
};

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

TEST(ServiceLatencies, AReplyIsMeasured) {
  for (const uint32_t shards : {1u, 2u, 3u}) {
    Scene scene(shards);
    const std::string reply = scene.Ask("ask", "inbox.1");
    ASSERT_NE(reply, "");
    EXPECT_EQ(scene.Metrics(), "");
    scene.sessions.Advance(std::chrono::milliseconds(5));
    scene.Reply(reply);
    EXPECT_EQ(scene.a.Hear(), "MSG inbox.1 1 3\r\nyes\r\n");
    const std::string heard = scene.Metrics();
    EXPECT_EQ(heard.find("MSG lat.q 1 "), 0u) << heard;
    EXPECT_TRUE(Has(heard, R"({"type":"io.nats.server.metric.v1.service_latency","id":")")) << heard;
    EXPECT_TRUE(Has(heard, R"("status":200,"requestor":{"acc":"A","rtt":1},"responder":{"start":"2023-)")) << heard;
    EXPECT_TRUE(Has(heard, R"("acc":"B","user":"b","rtt":1,"server":"test","kind":"Client","client_type":"nats"},)"))
        << heard;
    EXPECT_TRUE(Has(heard, R"("service":4999999,"system":0,"total":5000001})")) << heard;
    EXPECT_EQ(scene.Metrics(), "");
    scene.Reply(reply);  // a second one is none
    EXPECT_EQ(scene.Metrics(), "");
  }
}

TEST(ServiceLatencies, WhoSharesIsNamedAsTheResponderIs) {
  Scene scene(2);
  scene.Reply(scene.Ask("told", "inbox.1"));
  const std::string heard = scene.Metrics();
  EXPECT_EQ(heard.find("MSG lat.told 1 "), 0u);
  EXPECT_TRUE(Has(heard, R"("host":"127.0.0.1","id":5,"acc":"A","user":"a","rtt":1,"server":"test","kind":)")) << heard;
}

TEST(ServiceLatencies, ARequestThatWantsNoReplyIsABadOne) {
  Scene scene(2);
  scene.a.Say("PUB ask 2\r\nhi\r\n");
  const std::string heard = scene.Metrics();
  EXPECT_TRUE(Has(heard, R"("status":400,"description":"Bad Request","requestor":{"acc":"A","rtt":1},"start":)"))
      << heard;
  EXPECT_TRUE(Has(heard, R"("service":0,"system":0,"total":0})")) << heard;
  scene.a.Say("PUB head 2\r\nhi\r\n");
  EXPECT_EQ(scene.Metrics(), "");
}

TEST(ServiceLatencies, NobodyThereIsUnavailable) {
  for (const uint32_t shards : {1u, 2u}) {
    Scene scene(shards);
    scene.b.Say("UNSUB 1\r\n");
    scene.sessions.Settle();
    EXPECT_EQ(scene.Ask("ask", "inbox.1"), "");
    EXPECT_TRUE(Has(scene.Metrics(), R"("status":503,"description":"Service Unavailable","requestor":)"));
    // It goes while the request is on its way there.
    Sessions::Client& late = scene.sessions.Connect(shards - 1).Say(As("b")).Say("SUB q 1\r\n");
    scene.sessions.Settle();
    if (shards == 1) continue;
    scene.a.Say("PUB ask inbox.2 2\r\nhi\r\n");
    late.Say("UNSUB 1\r\n");
    EXPECT_TRUE(Has(scene.Metrics(), R"("status":503,)"));
    EXPECT_EQ(scene.sessions.services(0).pending(), 0u);
  }
}

TEST(ServiceLatencies, NoReplyInTimeIsATimeout) {
  Scene scene(2);
  const std::string reply = scene.Ask("ask", "inbox.1");
  scene.sessions.Advance(std::chrono::seconds(3));
  EXPECT_EQ(scene.Metrics(), "");
  EXPECT_EQ(scene.sessions.services(0).NextTick(), scene.sessions.shared(0).now + Nanos{1});
  scene.sessions.Advance(Nanos{1});
  EXPECT_TRUE(Has(scene.Metrics(), R"("status":504,"description":"Service Timeout","requestor":)"));
  EXPECT_EQ(scene.sessions.services(0).NextTick(), Nanos::max());
  scene.Reply(reply);
  EXPECT_EQ(scene.Metrics(), "");
}

TEST(ServiceLatencies, WhoDoesNotWaitAnyLongerHasTimedOut) {
  for (const uint32_t shards : {1u, 2u}) {
    Scene scene(shards);
    const std::string first = scene.Ask("ask", "inbox.1");
    // Somebody on another shard waits for it as well.
    Sessions::Client& other = scene.sessions.Connect(shards - 1).Say(As("a")).Say("SUB inbox.1 1\r\n");
    scene.sessions.Settle();
    scene.a.Say("UNSUB 1\r\n");
    EXPECT_EQ(scene.Metrics(), "");
    other.Close();
    EXPECT_TRUE(Has(scene.Metrics(), R"("status":408,"description":"Request Timeout","requestor":)"));
    scene.Reply(first);
    EXPECT_EQ(scene.Metrics(), "");
  }
}

TEST(ServiceLatencies, ASubscriptionThatEndsWithTheReplyHasHadIt) {
  Scene scene(1);
  scene.a.Say("UNSUB 1\r\nSUB inbox.1 2\r\nUNSUB 2 1\r\n");
  scene.Reply(scene.Ask("ask", "inbox.1"));
  const std::string heard = scene.Metrics();
  EXPECT_TRUE(Has(heard, R"("status":200,)"));
  EXPECT_FALSE(Has(heard, R"("status":408,)"));
}

TEST(ServiceLatencies, AResponderThatHasGoneIsNotNamed) {
  Scene scene(2);
  const std::string reply = scene.Ask("ask", "inbox.1");
  scene.b.Say("PUB " + reply + " 3\r\nyes\r\n");
  scene.b.Close(ClosedReason::kClientClosed);
  const std::string heard = scene.Metrics();
  EXPECT_TRUE(Has(heard, R"("status":200,"requestor":{"acc":"A","rtt":1},"start":)")) << heard;
}

TEST(ServiceLatencies, HeadersDecideWhereTheExportSaysSo) {
  Scene scene(2);
  scene.Reply(scene.Ask("head", "inbox.1"));
  EXPECT_EQ(scene.Metrics(), "");
  scene.a.Say("HPUB head inbox.2 19 21\r\nNATS/1.0\r\nb3: 1\r\n\r\nhi\r\n");
  scene.sessions.Settle();
  const std::string heard = scene.b.Hear();
  const size_t at = heard.find("_R_.");
  ASSERT_NE(at, std::string::npos);
  scene.Reply(heard.substr(at, heard.find(' ', at) - at));
  EXPECT_TRUE(Has(scene.Metrics(), R"("header":{"B3":["1"]},"start":)"));
}

}  // namespace
}  // namespace millrace
