// SPDX-License-Identifier: Apache-2.0
// Goal: each change of an account's connections is told once, in order, with the number that it has led to; however
//       many there are, the shards are asked once a round.
// Method: a desk whose rounds the test answers; what it tells shard 0 is read from the mesh.
#include "broker/control/connections_desk.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "broker/system/beats/system_beats.h"
#include "proto/base/bytes.h"

namespace millrace {
namespace {

struct World {
  ~World() { Collect(); }

  void Collect() {
    mesh.port(mesh.control()).Ship([](uint32_t) {});
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) {
      mesh.port(shard).Drain([&](uint32_t, const MailHeader&, const char* body) {
        const std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
        ASSERT_EQ(parcel->type, Parcel::Type::kPartMail);
        ASSERT_EQ(shard, 0u);
        const auto& mail = static_cast<const PartParcel&>(*parcel);
        ASSERT_EQ(mail.to, kBeatsPart);
        for (const AccountStats::Stat& stat : static_cast<const AccountStats&>(*mail.mail).stats) {
          told.push_back(stat.change.reply + stat.json.substr(0, stat.json.find(R"(,"leafnodes")")));
          last = stat.json;
        }
      });
    }
  }
  void Change(std::vector<AccountConnections> changes) {
    desk.OnChanges(AccountChanges(std::move(changes)));
    Collect();
  }
  void Answer() {
    MonitorData data;
    for (const Account& account : accounts.all()) data.accounts.emplace_back().name = account.name;
    data.accounts[a].received.msgs = 3;
    data.accounts[a].clients = clients_of_a;
    std::exchange(rounds, {}).at(0)(std::move(data));
    Collect();
  }

  Mesh mesh{1, 1 << 16};
  Options options;
  ServerInfo info;
  AccountTable accounts{{{.name = "A"}}, {}, nullptr};
  const AccountId a = accounts.Find("A")->id;
  AccountViews views{{}, accounts, nullptr};
  // Rounds that have not been answered.
  std::vector<PageQueries::Done> rounds;
  ConnectionsDesk desk{mesh,
                       [this](const MonitorRequest& request, PageQueries::Done done) {
                         EXPECT_EQ(request.needs, kNeedAccountStats);
                         rounds.push_back(std::move(done));
                       },
                       [this] {
                         return ServerView{.options = options,
                                           .info = info,
                                           .accounts = accounts,
                                           .views = views,
                                           .now_ns = 1'000'000'000,
                                           .serving = true};
                       }};
  int clients_of_a = 0;
  std::vector<std::string> told;
  std::string last;
};

TEST(ConnectionsDesk, EachChangeIsToldWithItsNumber) {
  World world;
  world.Change({{.account = world.a, .connections = 1}, {.account = kSystemAccount, .connections = 5}});
  EXPECT_TRUE(world.told.empty());
  world.Answer();
  EXPECT_EQ(world.told, (std::vector<std::string>{R"({"acc":"A","name":"A","conns":1)",
                                                  R"({"acc":"$SYS","name":"$SYS","conns":5)"}));
}

TEST(ConnectionsDesk, WhatWasGatheredIsToldWithIt) {
  World world;
  world.Change({{.account = world.a, .connections = 2}});
  world.Answer();
  EXPECT_NE(world.last.find(R"("received":{"msgs":3,"bytes":0)"), std::string::npos) << world.last;
}

TEST(ConnectionsDesk, ChangesDuringARoundWaitForTheNext) {
  World world;
  world.Change({{.account = world.a, .connections = 1}});
  world.Change({{.account = world.a, .connections = 2}});
  world.Change({{.account = world.a, .connections = 3}});
  EXPECT_EQ(world.rounds.size(), 1u);
  world.Answer();
  EXPECT_EQ(world.told.size(), 1u);
  EXPECT_EQ(world.rounds.size(), 1u);
  world.Answer();
  EXPECT_EQ(world.told.size(), 3u);
  EXPECT_TRUE(world.rounds.empty());
}

TEST(ConnectionsDesk, WhoAsksHearsTheNumberOfNowUnlessThereAreNone) {
  World world;
  world.desk.OnRequest(world.a, "me: ");
  world.Answer();
  EXPECT_TRUE(world.told.empty());
  world.clients_of_a = 7;
  world.Change({{.account = world.a, .connections = 1}});
  world.desk.OnRequest(world.a, "me: ");
  world.Answer();
  world.Answer();
  EXPECT_EQ(world.told, (std::vector<std::string>{R"({"acc":"A","name":"A","conns":1)",
                                                  R"(me: {"acc":"A","name":"A","conns":7)"}));
}

}  // namespace
}  // namespace millrace
