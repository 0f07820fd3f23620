// SPDX-License-Identifier: Apache-2.0
// Goal: requests on a connection are answered one after the other, whatever their split and whenever the shards answer;
//       what each shard says is in the page, and each is asked for what the page needs; a connection that goes takes
//       its query with it; nothing is left at the end.
// Method: a desk behind a FakeIo and a mesh of two shards that the test answers for.
#include "broker/control/monitor_desk.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "proto/base/bytes.h"
#include "tests/net/fake_io.h"

namespace millrace {
namespace {

constexpr int kNoDescriptor = 0x3fffffff;
constexpr int kListener = 0x3ffffffe;

struct World {
  World() {
    desk.Serve(kListener, "");
    io.accept->Finish(IoResult{kNoDescriptor, true, {}});
  }
  ~World() {
    desk.Stop();
    EndAll();
    if (io.accept->busy()) io.accept->Finish(IoResult{-ECANCELED, false, {}});
    Turn();
    EXPECT_TRUE(desk.stopped());
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) Queries(shard);  // a parcel belongs to who gets it
  }

  void EndAll() {
    if (io.send != nullptr && io.send->busy()) io.EndSend(-ECANCELED);
    if (io.recv != nullptr && io.recv->busy()) io.EndRecv(ECANCELED);
  }
  // What a wake-up of the control thread does; whatever is sent arrives.
  void Turn() {
    desk.BeginTurn();
    timers.Expire(io.now);
    desk.FinishTurn();
    while (io.send != nullptr && io.send->busy()) {
      io.EndSend(io.send_bytes);
      desk.FinishTurn();
    }
    mesh.port(mesh.control()).Ship([](uint32_t) {});
  }
  void Hear(std::string_view bytes) {
    // A paused connection has no receive under way; it comes with the rest of the input.
    if (io.recv->busy()) io.Receive(bytes);
    Turn();
  }
  // The queries that have arrived at the shards, by shard.
  std::vector<uint64_t> Queries(uint32_t shard) {
    std::vector<uint64_t> found;
    mesh.port(shard).Drain([this, &found](uint32_t, const MailHeader&, const char* body) {
      const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
      found.push_back(static_cast<const Query&>(*parcel).request);
      asked_for = static_cast<const Query&>(*parcel).question.needs;
    });
    return found;
  }
  // The answer to a request for which each shard says this, in turn.
  std::string Page(std::string_view target, std::vector<Answer*> answers) {
    io.sent.clear();
    Hear("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    asked_for = 0;
    const std::vector<uint64_t> query = Queries(0);
    EXPECT_EQ(Queries(1), query) << target;
    if (query.empty()) return io.sent;
    for (const Answer* said : answers) {
      Answer answer(query[0]);
      answer.open = said->open;
      answer.closed = said->closed;
      answer.subs = said->subs;
      answer.sublist = said->sublist;
      answer.accounts = said->accounts;
      answer.parts = said->parts;
      desk.OnAnswer(answer);
      Turn();
    }
    // The pause while it waited had cancelled the receive.
    if (io.recv != nullptr && io.recv->busy()) io.EndRecv(ECANCELED);
    Turn();
    return io.sent;
  }
  void AnswerFrom(uint64_t request, uint64_t cid) {
    Answer answer(request);
    answer.open.emplace_back().cid = cid;
    desk.OnAnswer(answer);
    Turn();
  }

  FakeIo io;
  TimerWheel timers{Nanos{0}};
  Mesh mesh{2, 1 << 16};
  Logger log{[] { return int64_t{0}; }};
  Options options;
  ServerInfo info;
  AccountTable accounts;
  AccountViews views{{}, accounts, nullptr};
  JetStreamSettings settings;
  bool jetstream = false;
  bool serving = false;
  uint32_t asked_for = 0;  // MonitorNeed bits of the last query
  ServerView View() {
    return {.options = options,
            .info = info,
            .accounts = accounts,
            .views = views,
            .now_ns = 1'700'000'000'000'000'000,
            .serving = serving,
            .jetstream = jetstream ? &settings : nullptr};
  }
  MonitorDesk desk{io,  timers, mesh, log, [] { return int64_t{1'700'000'000'000'000}; }, [this] { return View(); }};
};

// The status lines of the answers that have left.
std::vector<std::string> Statuses(std::string_view bytes) {
  std::vector<std::string> lines;
  for (size_t at = 0; (at = bytes.find("HTTP/1.1 ", at)) != std::string_view::npos; at += 9)
    lines.emplace_back(bytes.substr(at + 9, bytes.find("\r\n", at) - at - 9));
  return lines;
}

using Lines = std::vector<std::string>;

TEST(MonitorDesk, PipelinedRequestsAreAnsweredInOrderWhateverTheCut) {
  constexpr std::string_view kRequests =
      "GET /raftz HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t cut = 0; cut <= kRequests.size(); ++cut) {
    World world;
    if (cut > 0) world.Hear(kRequests.substr(0, cut));
    if (cut < kRequests.size()) world.Hear(kRequests.substr(cut));
    ASSERT_EQ(Statuses(world.io.sent), (Lines{"404 Not Found", "404 Not Found", "200 OK"})) << cut;
    ASSERT_TRUE(world.io.sent.find("No Raft nodes") < world.io.sent.find("404 page not found"));
  }
}

TEST(MonitorDesk, ARequestWaitsForAllShardsAndTheNextOneForIt) {
  World world;
  world.Hear("GET /connz HTTP/1.1\r\nHost: a\r\n\r\nGET /raftz HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(world.io.sent, "");
  const std::vector<uint64_t> first = world.Queries(0);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(world.Queries(1), first);
  world.AnswerFrom(first[0], 5);
  EXPECT_EQ(world.io.sent, "");
  world.AnswerFrom(first[0], 6);
  EXPECT_EQ(Statuses(world.io.sent), (Lines{"200 OK", "404 Not Found"}));
  EXPECT_NE(world.io.sent.find("\"cid\": 5"), std::string::npos);
  EXPECT_NE(world.io.sent.find("\"cid\": 6"), std::string::npos);
  // Two in a row that both need the shards, in one piece.
  world.io.sent.clear();
  world.io.EndRecv(ECANCELED);  // the pause had cancelled it
  world.Turn();
  ASSERT_TRUE(world.io.recv->busy());
  world.Hear("GET /connz HTTP/1.1\r\nHost: a\r\n\r\nGET /connz HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    const std::vector<uint64_t> query = world.Queries(0);
    ASSERT_EQ(query.size(), 1u) << i;
    world.AnswerFrom(query[0], 7);
    world.AnswerFrom(query[0], 8);
    EXPECT_EQ(Statuses(world.io.sent).size(), static_cast<size_t>(i + 1));
  }
}

TEST(MonitorDesk, AnswersForAConnectionThatHasGoneAreForNobody) {
  World world;
  world.Hear("GET /connz HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::vector<uint64_t> query = world.Queries(0);
  ASSERT_EQ(query.size(), 1u);
  world.io.EndRecv(ECONNRESET);
  world.Turn();
  world.AnswerFrom(query[0], 5);
  world.AnswerFrom(query[0], 6);
  world.AnswerFrom(query[0], 7);  // and one that nobody has asked for any more
  EXPECT_EQ(world.io.sent, "");
}

TEST(MonitorDesk, AClientThatSendsNoMoreStillGetsItsAnswer) {
  World world;
  world.Hear("GET /connz HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::vector<uint64_t> query = world.Queries(0);
  if (world.io.recv->busy()) world.io.recv->Finish(IoResult{0, false, {}});
  world.AnswerFrom(query[0], 5);
  world.AnswerFrom(query[0], 6);
  EXPECT_EQ(Statuses(world.io.sent), (Lines{"200 OK"}));
  EXPECT_EQ(world.io.closes, 1);
}

TEST(MonitorDesk, TheLastAnswerCloses) {
  for (const char* request :
       {"GET /raftz HTTP/1.0\r\n\r\n", "GET /raftz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "nonsense\r\n\r\n"}) {
    World world;
    world.Hear(request);
    world.EndAll();
    world.Turn();
    EXPECT_NE(world.io.sent, "") << request;
    EXPECT_EQ(world.io.closes, 1) << request;
  }
}

TEST(MonitorDesk, ARequestHasFiveSecondsToArrive) {
  World world;
  world.Hear("GET /raftz HTTP/1.1\r\n");
  for (int second = 0; second < 5; ++second) {
    EXPECT_EQ(world.io.sent, "");
    world.io.now += std::chrono::seconds(1);
    world.Turn();
  }
  world.io.now += std::chrono::seconds(1);
  world.Turn();
  EXPECT_EQ(Statuses(world.io.sent), (Lines{"400 Bad Request"}));
  // One that is silent between two requests may stay.
  World silent;
  silent.Hear("GET /raftz HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int second = 0; second < 20; ++second) {
    silent.io.now += std::chrono::seconds(1);
    silent.Turn();
  }
  EXPECT_EQ(silent.io.shutdowns, 0);
}

bool Says(const std::string& page, std::string_view what) { return page.find(what) != std::string::npos; }

TEST(MonitorDesk, WhatEachShardSaysIsInThePage) {
  World world;
  world.jetstream = world.serving = true;
  world.options.jetstream.enabled = true;
  Answer first(0), second(0);
  for (Answer* answer : {&first, &second}) {
    const bool is_first = answer == &first;
    answer->open.emplace_back().cid = is_first ? 5 : 6;
    answer->open.back().account = is_first ? "$G" : "$SYS";
    answer->closed.emplace_back().cid = is_first ? 15 : 16;
    answer->closed.back().stop_ns = 1'600'000'000'000'000'000;
    answer->closed.back().account = answer->open.back().account;
    answer->subs.emplace_back().subject = is_first ? "of.one" : "of.two";
    answer->sublist.num_subscriptions = is_first ? 10 : 20;
    answer->accounts[kGlobalAccount].connections = is_first ? 100 : 200;
  }
  // The part is on one of them; the other has nothing to say of it.
  first.parts.jetstream.emplace().stats.api_total = 1234567890123;
  first.parts.jsz.emplace().streams = 99;
  HealthError& lost = first.parts.health.emplace().broken.emplace_back();
  lost.type = HealthErrorType::kStream;
  lost.error = "lost";
  const struct {
    std::string_view target;
    uint32_t asked_for;
    std::vector<std::string_view> says;
    std::vector<std::string_view> says_not;
  } kPages[] = {
      {"/connz", kNeedOpenConnections, {"\"cid\": 5", "\"cid\": 6", "\"total\": 2"}, {"\"cid\": 15"}},
      {"/connz?state=closed", kNeedClosedConnections, {"\"cid\": 15", "\"cid\": 16", "\"total\": 2"}, {"\"cid\": 5,"}},
      {"/connz?subs=1", kNeedOpenConnections | kNeedConnectionSubs, {"\"cid\": 5"}, {}},
      {"/connz?acc=NOBODY", kNeedOpenConnections, {"\"total\": 0"}, {"\"cid\""}},
      {"/connz?acc=$G", kNeedOpenConnections, {"\"cid\": 5", "\"total\": 1"}, {"\"cid\": 6"}},
      {"/connz?acc=$SYS&state=all",
       kNeedOpenConnections | kNeedClosedConnections,
       {"\"cid\": 6", "\"cid\": 16", "\"total\": 2"},
       {"\"cid\": 5", "\"cid\": 15"}},
      // Besides, the global account has four services of the system account, which has one of its own.
      {"/subsz?subs=1", kNeedSublistStats | kNeedSubscriptions, {"of.one", "of.two", "\"num_subscriptions\": 35"}, {}},
      {"/subsz?acc=$G", kNeedSublistStats, {"\"num_subscriptions\": 34"}, {}},
      {"/subsz?acc=NOBODY", kNeedSublistStats, {"\"num_subscriptions\": 30"}, {}},
      {"/accstatz", kNeedAccountStats, {"\"conns\": 300"}, {"$SYS"}},
      {"/accstatz?unused=1", kNeedAccountStats, {"\"conns\": 300", "$SYS", "\"conns\": 0"}, {}},
      {"/accountz?acc=$G",
       kNeedAccountDetail | kNeedSublistStats,
       {"\"client_connections\": 300", "$SYS.REQ.ACCOUNT.$G.STATZ", "\"num_subscriptions\": 34",
        "\"subscriptions\": 4"},
       {"\"account_name\": \"$SYS\""}},
      {"/accountz?acc=$SYS",
       kNeedAccountDetail | kNeedSublistStats,
       {"\"client_connections\": 0", "\"is_system\": true", "$SYS.REQ.ACCOUNT.*.STATZ"},
       {"\"account_name\": \"$G\""}},
      {"/accountz", 0, {"$G", "$SYS"}, {"client_connections"}},
      {"/varz", kNeedJetStreamVarz, {"1234567890123"}, {}},
      {"/jsz", kNeedJsz, {"\"streams\": 99"}, {"\"disabled\": true"}},
      {"/healthz", kNeedJetStreamHealth, {"503 Service Unavailable", "lost"}, {}},
      {"/healthz?js-server-only=1", 0, {"200 OK"}, {"lost"}},
  };
  for (const auto& each : kPages) {
    for (const bool swapped : {false, true}) {
      const std::string page = swapped ? world.Page(each.target, {&second, &first})
                                       : world.Page(each.target, {&first, &second});
      EXPECT_EQ(world.asked_for, each.asked_for) << each.target;
      for (const std::string_view text : each.says) EXPECT_TRUE(Says(page, text)) << each.target << "\n" << page;
      for (const std::string_view text : each.says_not) EXPECT_FALSE(Says(page, text)) << each.target << "\n" << page;
    }
  }
  // Where JetStream does not run nobody is asked for it, and what is still under way of it is not shown.
  world.jetstream = false;
  EXPECT_FALSE(Says(world.Page("/varz", {}), "1234567890123"));
  EXPECT_EQ(world.asked_for, 0u);
  EXPECT_TRUE(Says(world.Page("/jsz", {}), "\"disabled\": true"));
  EXPECT_TRUE(Says(world.Page("/healthz", {}), "JetStream not enabled"));
  world.serving = false;
  EXPECT_TRUE(Says(world.Page("/healthz", {}), "500 Internal Server Error"));
}

TEST(MonitorDesk, OfTheClosedConnectionsOfAllShardsTheLastOnesAreShown) {
  World world;
  world.options.max_closed_clients = 3;
  Answer first(0), second(0);
  for (uint64_t cid = 11; cid <= 16; ++cid) {
    ConnInfo& info = (cid % 2 == 0 ? first : second).closed.emplace_back();
    info.cid = cid;
    info.stop_ns = 1'600'000'000'000'000'000 + static_cast<int64_t>(cid);
  }
  const std::string page = world.Page("/connz?state=closed", {&first, &second});
  for (uint64_t cid = 11; cid <= 16; ++cid) {
    EXPECT_EQ(Says(page, "\"cid\": " + std::to_string(cid)), cid >= 14) << cid;
  }
  EXPECT_TRUE(Says(page, "\"total\": 3")) << page;
}

}  // namespace
}  // namespace millrace
