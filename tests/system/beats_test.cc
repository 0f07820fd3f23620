// SPDX-License-Identifier: Apache-2.0
// Goal: the server's heartbeat comes as often as the peer's and only when somebody listens; an account is told of half
//       a minute after it has last been told of, and what was gathered of it is told under both subjects.
// Method: the part on one shard, with the time in the test's hand; what it sends the control thread is read from the
//         mesh.
#include "broker/system/beats/system_beats.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "proto/base/bytes.h"
#include "tests/clock_start.h"
#include "tests/route/shards.h"

namespace millrace {
namespace {

TEST(ServerBeat, ComesLessAndLessOften) {
  const Nanos start = ClockStart(std::chrono::hours(1));
  ServerBeat beat(start);
  std::vector<int64_t> at_ms;
  for (int64_t ms = 0; ms < 60'000; ++ms) {
    if (beat.Take(start + std::chrono::milliseconds(ms))) at_ms.push_back(ms);
  }
  EXPECT_EQ(at_ms, (std::vector<int64_t>{250, 1250, 3250, 7250, 15250, 25250, 35250, 45250, 55250}));
}

TEST(AccountBeats, ComeAgainAsLongAsItHasConnections) {
  const Nanos start = ClockStart(std::chrono::hours(1));
  AccountBeats beats;
  EXPECT_EQ(beats.next(), Nanos::max());
  beats.Told(3, 1, start);
  beats.Told(4, 1, start + std::chrono::seconds(10));
  beats.Told(3, 2, start + std::chrono::seconds(20));
  EXPECT_TRUE(beats.TakeDue(start + std::chrono::seconds(39)).empty());
  EXPECT_EQ(beats.next(), start + std::chrono::seconds(40));
  EXPECT_EQ(beats.TakeDue(start + std::chrono::seconds(40)), std::vector<AccountId>{4});
  EXPECT_EQ(beats.TakeDue(start + std::chrono::seconds(50)), std::vector<AccountId>{3});
  beats.Told(3, 0, start + std::chrono::seconds(55));
  EXPECT_EQ(beats.TakeDue(start + std::chrono::seconds(100)), std::vector<AccountId>{4});
  beats.Find(4, start + std::chrono::seconds(101));
  EXPECT_TRUE(beats.TakeDue(start + std::chrono::seconds(101)).empty()) << "it is known";
}

class Ear final : public Sink {
 public:
  bool Deliver(const Subscription&, const Message& message) override {
    subjects.push_back(std::string(message.subject));
    payloads.push_back(std::string(message.payload));
    return true;
  }
  std::vector<std::string> subjects;
  std::vector<std::string> payloads;
};

class SystemBeatsTest : public ::testing::Test {
 protected:
  SystemBeatsTest() {
    connections_.Reserve(8);
    port_.set_server(ServerObject({}, {}));
    beats_.emplace(PartHost{.router = shards_[0].router,
                            .subscriptions = subscriptions_,
                            .chunks = shards_[0].chunks,
                            .timers = timers_,
                            .log = log_,
                            .now = now_,
                            .wall_ns = wall_ns_,
                            .random = [] { return uint64_t{1}; },
                            .relieved = [](const ConnectionId&) { return true; }},
                   events_, connections_);
  }
  ~SystemBeatsTest() override {
    beats_->StartStop();
    EXPECT_TRUE(beats_->StepStop());
    EXPECT_EQ(beats_->NextTick(), Nanos::max());
    if (heard_ != nullptr) port_.route().Unsubscribe(heard_);
    Asked();
    shards_.Settle();
  }
  void Listen(std::string_view filter) { heard_ = port_.route().Subscribe(kSystemAccount, filter, &ear_); }
  void Advance(Nanos by) {
    now_ += by;
    beats_->RunTurn();
  }

  // How often the control thread has been asked for statistics.
  int Asked() {
    shards_.Finish(0);
    int requests = 0;
    shards_.mesh().port(shards_.mesh().control()).Drain([&](uint32_t, const MailHeader&, const char* body) {
      const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
      ASSERT_EQ(parcel->type, Parcel::Type::kSystemRequest);
      EXPECT_EQ(static_cast<const SystemRequest&>(*parcel).subject, "$SYS.REQ.SERVER.PING");
      EXPECT_EQ(static_cast<const SystemRequest&>(*parcel).reply, "");
      ++requests;
    });
    return requests;
  }

  Shards shards_{1};
  SinkSubscriptions subscriptions_{shards_[0].interest};
  Nanos now_ = ClockStart(std::chrono::hours(1));
  int64_t wall_ns_ = 1'700'000'000'000'000'000;
  TimerWheel timers_{now_};
  LogPort log_{[] { return int64_t{0}; }, [](std::vector<LogLine>&&) {}, LogVerbosity{}};
  SharedSequence sequence_{0};
  SharedCounts connections_;
  SystemPort port_{shards_[0].router, wall_ns_, sequence_};
  AccountTable accounts_{{{.name = "A"}}, {}, nullptr};
  const AccountId a_ = accounts_.Find("A")->id;
  ServerEvents events_{port_, shards_[0].router, wall_ns_, "NID", accounts_};
  Ear ear_;
  Subscription* heard_ = nullptr;
  std::optional<SystemBeats> beats_;
};

TEST_F(SystemBeatsTest, StatisticsAreAskedForOnlyWhenSomebodyListens) {
  Advance(std::chrono::milliseconds(250));
  EXPECT_EQ(Asked(), 0);
  Listen("$SYS.SERVER.*.STATSZ");
  Advance(std::chrono::milliseconds(999));
  EXPECT_EQ(Asked(), 0);
  Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(Asked(), 1);
}

TEST_F(SystemBeatsTest, WhatWasGatheredIsToldUnderBothSubjects) {
  Listen(">");
  auto stats = std::make_unique<AccountStats>();
  stats->stats.push_back({{a_, 2}, R"({"acc":"A","conns":2})"});
  beats_->OnMail(std::move(stats));
  port_.Flush();
  EXPECT_EQ(ear_.subjects, (std::vector<std::string>{"$SYS.SERVER.ACCOUNT.A.CONNS", "$SYS.ACCOUNT.A.SERVER.CONNS"}));
  ASSERT_EQ(ear_.payloads.size(), 2u);
  for (const std::string& payload : ear_.payloads) {
    EXPECT_TRUE(payload.starts_with(R"({"type":"io.nats.server.advisory.v1.account_connections","id":")")) << payload;
    EXPECT_TRUE(payload.ends_with(R"("time":"2023-11-14T22:13:20Z"},"acc":"A","conns":2})")) << payload;
  }
  EXPECT_NE(ear_.payloads[0].find(R"("seq":1,)"), std::string::npos);
  EXPECT_NE(ear_.payloads[1].find(R"("seq":2,)"), std::string::npos);
}

TEST_F(SystemBeatsTest, AnAccountIsToldOfAgainThoughNothingChanges) {
  Listen("$SYS.ACCOUNT.A.SERVER.CONNS");
  ASSERT_TRUE(connections_.TryTake(a_, -1));
  auto stats = std::make_unique<AccountStats>();
  stats->stats.push_back({{a_, 1}, R"({"acc":"A"})"});
  beats_->OnMail(std::move(stats));
  Advance(std::chrono::seconds(29));
  EXPECT_FALSE(events_.HasNoted());
  Advance(std::chrono::seconds(1));
  const std::vector<AccountConnections> noted = events_.TakeNoted();
  ASSERT_EQ(noted.size(), 1u);
  EXPECT_EQ(noted[0].account, a_);
  EXPECT_EQ(noted[0].connections, 1);
  connections_.GiveBack(a_);
  Advance(std::chrono::seconds(90));
  EXPECT_FALSE(events_.HasNoted());
}

TEST_F(SystemBeatsTest, AnAccountWhoseChangesNobodyHeardIsFound) {
  ASSERT_TRUE(connections_.TryTake(a_, -1));
  ASSERT_TRUE(connections_.TryTake(kGlobalAccount, -1));
  events_.OnConnections(a_, 1);
  EXPECT_FALSE(events_.HasNoted()) << "nobody listens";
  Listen("$SYS.SERVER.ACCOUNT.*.CONNS");
  Advance(std::chrono::seconds(30));
  EXPECT_EQ(events_.TakeNoted().size(), 1u) << "and of the global account nothing is told";
  connections_.GiveBack(a_);
  connections_.GiveBack(kGlobalAccount);
}

}  // namespace
}  // namespace millrace
