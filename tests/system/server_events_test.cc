// SPDX-License-Identifier: Apache-2.0
// Goal: an event is told in the peer's words, to whom it is for, once somebody listens, and nothing after the end.
// Method: one shard with a sink in two accounts. The texts are nats-server 2.15.2's, with ids and times of this test.
#include "broker/system/server_events.h"

#include <gtest/gtest.h>

#include <regex>
#include <vector>

#include "tests/route/shards.h"

namespace millrace {
namespace {

constexpr std::string_view kServer = R"("server":{"name":"","host":"","id":"","ver":"2.15.2","feature_flags":)"
                                     R"({"js_ack_fc_v2":false,"js_api_reply_v2":false,"js_raft_delete_range":true,)"
                                     R"("js_snapshot_sources":false},"jetstream":false,"flags":0,"seq":1,)"
                                     R"("time":"2023-11-14T22:13:20.5Z"})";

class Ear final : public Sink {
 public:
  bool Deliver(const Subscription&, const Message& message) override {
    const std::regex id(R"("id":"[0-9A-Za-z]{22}")");
    heard.push_back(std::string(message.subject) + " " +
                    std::regex_replace(std::string(message.payload), id, R"("id":"*")"));
    return true;
  }
  std::vector<std::string> heard;
};

class ServerEventsTest : public ::testing::Test {
 protected:
  ServerEventsTest() { port_.set_server(ServerObject({}, {})); }
  ~ServerEventsTest() override {
    for (Subscription* sub : subscribed_) port_.route().Unsubscribe(sub);
    shards_.Settle();
  }
  void Listen(AccountId account, std::string_view filter, Ear* ear) {
    subscribed_.push_back(port_.route().Subscribe(account, filter, ear));
  }
  ClientFacts Client() const {
    return {.account = 7,
            .about = {.start_ns = 1'700'000'000'000'000'000,
                      .host = "10.0.0.1",
                      .id = 9,
                      .account = "A",
                      .user = "u",
                      .name = "n",
                      .lang = "go",
                      .version = "1.2",
                      .rtt_ns = 1000},
            .in_messages = 1,
            .in_bytes = 2,
            .out_messages = 3,
            .out_bytes = 4};
  }

  Shards shards_{1};
  int64_t wall_ns_ = 1'700'000'000'500'000'000;
  SharedSequence sequence_{0};
  SystemPort port_{shards_[0].router, wall_ns_, sequence_};
  AccountTable accounts_{{{.name = "A"}}, {}, nullptr};
  ServerEvents events_{port_, shards_[0].router, wall_ns_, "NID", accounts_};
  std::vector<Subscription*> subscribed_;
};

TEST_F(ServerEventsTest, AClientComes) {
  Ear ear;
  Listen(kSystemAccount, "$SYS.>", &ear);
  events_.OnConnect(Client());
  EXPECT_TRUE(ear.heard.empty()) << "not from inside of what has made it happen";
  port_.Flush();
  ASSERT_EQ(ear.heard.size(), 1u);
  EXPECT_EQ(ear.heard[0],
            std::string(R"($SYS.ACCOUNT.A.CONNECT {"type":"io.nats.server.advisory.v1.client_connect",)") +
                R"("id":"*","timestamp":"2023-11-14T22:13:20.5Z",)" + std::string(kServer) +
                R"(,"client":{"start":"2023-11-14T22:13:20Z","host":"10.0.0.1","id":9,"acc":"A",)" +
                R"("user":"u","name":"n","lang":"go","ver":"1.2","name_tag":"A","kind":"Client",)" +
                R"("client_type":"nats"}})");
}

TEST_F(ServerEventsTest, AClientGoes) {
  Ear ear;
  Listen(kSystemAccount, "$SYS.ACCOUNT.A.DISCONNECT", &ear);
  events_.OnDisconnect(Client(), "Stale Connection");
  port_.Flush();
  ASSERT_EQ(ear.heard.size(), 1u);
  EXPECT_EQ(ear.heard[0],
            std::string(R"($SYS.ACCOUNT.A.DISCONNECT {"type":"io.nats.server.advisory.v1.client_disconnect",)") +
                R"("id":"*","timestamp":"2023-11-14T22:13:20.5Z",)" + std::string(kServer) +
                R"(,"client":{"start":"2023-11-14T22:13:20Z","host":"10.0.0.1","id":9,"acc":"A","user":"u",)" +
                R"("name":"n","lang":"go","ver":"1.2","rtt":1000,"stop":"2023-11-14T22:13:20.5Z","name_tag":"A",)" +
                R"("kind":"Client","client_type":"nats"},"sent":{"msgs":1,"bytes":2},)" +
                R"("received":{"msgs":3,"bytes":4},"reason":"Stale Connection"})");
}

TEST_F(ServerEventsTest, OneWhoIsRefusedIsToldOfTwice) {
  Ear system;
  Ear account;
  Listen(kSystemAccount, ">", &system);
  Listen(7, ">", &account);
  events_.OnRefused(Client(), "Authentication Failure");
  events_.OnAuthError(Client(), "Authentication Failure");
  port_.Flush();
  ASSERT_EQ(system.heard.size(), 1u);
  ASSERT_EQ(account.heard.size(), 1u);
  EXPECT_TRUE(system.heard[0].starts_with("$SYS.SERVER.NID.CLIENT.AUTH.ERR {")) << system.heard[0];
  EXPECT_TRUE(account.heard[0].starts_with("$SYS.ACCOUNT.CLIENT.AUTH.ERR {")) << account.heard[0];
}

TEST_F(ServerEventsTest, WhereNobodyListensNothingIsMade) {
  Ear ear;
  Listen(kSystemAccount, "$SYS.ACCOUNT.B.>", &ear);
  events_.OnConnect(Client());
  events_.OnDisconnect(Client(), "Client Closed");
  events_.OnRefused(Client(), "Authentication Failure");
  events_.OnAuthError(Client(), "Authentication Failure");
  events_.LameDuck();
  EXPECT_FALSE(port_.HasPosted());
  EXPECT_EQ(sequence_.Next(), 1u) << "no number is taken";
}

TEST_F(ServerEventsTest, ShutdownIsTheLastWord) {
  Ear ear;
  Listen(kSystemAccount, "$SYS.>", &ear);
  events_.LameDuck();
  ASSERT_EQ(ear.heard.size(), 1u) << "told in place";
  EXPECT_TRUE(ear.heard[0].starts_with(R"($SYS.SERVER.NID.LAMEDUCK {"name":"","host":"",)")) << ear.heard[0];
  events_.OnConnect(Client());
  events_.Shutdown();
  ASSERT_EQ(ear.heard.size(), 3u) << "behind what has been told before";
  EXPECT_TRUE(ear.heard[2].starts_with("$SYS.SERVER.NID.SHUTDOWN {")) << ear.heard[2];
  EXPECT_NE(ear.heard[2].find(R"("seq":3,)"), std::string::npos);
  events_.OnDisconnect(Client(), "Server Shutdown");
  EXPECT_FALSE(port_.HasPosted());
}

}  // namespace
}  // namespace millrace
