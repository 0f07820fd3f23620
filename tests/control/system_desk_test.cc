// SPDX-License-Identifier: Apache-2.0
// Goal: a request to the system account is answered once, to where it says, with what the shards say; who gives no
//       reply subject is not answered; what acts on connections reaches the one that is meant.
// Method: a desk and a mesh of two shards that the test answers for.
#include "broker/control/system_desk.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "broker/jetstream/archive/s2.h"
#include "proto/base/bytes.h"
#include "proto/headers.h"

namespace millrace {
namespace {

struct World {
  World() {
    info.server_name = "srv";
    info.server_id = "NID";
    info.host = "127.0.0.1";
    log.Open({}).IgnoreError();
  }
  ~World() { Collect(); }

  // Parcels at the shards: queries are kept, answers for clients are written down.
  void Collect() {
    mesh.port(mesh.control()).Ship([](uint32_t) {});
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) {
      mesh.port(shard).Drain([&](uint32_t, const MailHeader&, const char* body) {
        std::unique_ptr<Parcel> parcel(Load<Parcel*>(body));
        if (parcel->type == Parcel::Type::kQuery) {
          const auto& query = static_cast<const Query&>(*parcel);
          queries[shard].push_back({query.request, query.order});
          needs = query.question.needs;
          return;
        }
        ASSERT_EQ(parcel->type, Parcel::Type::kPartMail);
        ASSERT_EQ(shard, 0u);
        auto& mail = static_cast<SystemReply&>(*static_cast<PartParcel&>(*parcel).mail);
        EXPECT_EQ(mail.notice.account, accounts.system().id);
        replies.push_back(mail.notice);
      });
    }
  }
  void Ask(std::string subject, std::string payload = {}, std::string reply = "in", std::string header = {}) {
    SystemRequest request;
    request.subject = std::move(subject);
    request.payload = std::move(payload);
    request.reply = std::move(reply);
    request.header = std::move(header);
    request.cid = 7;
    desk.OnRequest(request);
    Collect();
  }
  // All that was asked of the shards is answered so, by the last shard that was asked.
  void Answer(ConnectionReply said = {}) {
    for (uint32_t shard = 0; shard < mesh.shards(); ++shard) {
      for (const auto& [id, order] : std::exchange(queries[shard], {})) {
        millrace::Answer answer(id);
        if (shard + 1 == mesh.shards()) answer.connection = said;
        page_queries.OnAnswer(answer);
      }
    }
    Collect();
  }
  // The one answer since the last call; times and numbers of all servers' JSON are cut.
  std::string Heard() {
    if (replies.size() != 1) return std::to_string(replies.size()) + " answers";
    std::string text = replies[0].payload;
    replies.clear();
    const size_t begin = text.find(R"({"name":"srv")");
    const size_t end = text.find(R"(Z"})", begin);
    return begin == std::string::npos || end == std::string::npos ? text : text.replace(begin, end + 3 - begin, "S");
  }

  Mesh mesh{2, 1 << 16};
  Logger log{[] { return int64_t{0}; }};
  Options options;
  ServerInfo info;
  AccountTable accounts;
  AccountViews views{{}, accounts, nullptr};
  SharedSequence notices{1};
  absl::Status reloaded = absl::OkStatus();
  int reloads = 0;
  const std::map<std::string, uint64_t> no_stats;
  PageQueries::View view = [this] {
    return ServerView{.options = options,
                      .info = info,
                      .accounts = accounts,
                      .views = views,
                      .now_ns = 1'000'000'000,
                      .serving = true};
  };
  PageQueries page_queries{mesh, log, view};
  SystemDesk desk{mesh, page_queries, log, notices,
                  {.view = view,
                   .reload = [this] { return ++reloads, reloaded; },
                   .http_req_stats = [this]() -> const auto& { return no_stats; },
                   .tell_connections = [this](AccountId account, std::string reply) {
                     asked_connections.emplace_back(account, std::move(reply));
                   }}};
  std::vector<std::pair<AccountId, std::string>> asked_connections;
  std::vector<std::pair<uint64_t, ConnectionOrder>> queries[2];
  uint32_t needs = 0;
  std::vector<SystemPort::Notice> replies;
};

TEST(SystemDesk, APageIsAnsweredWhenAllShardsHaveAnswered) {
  World world;
  world.Ask("$SYS.REQ.SERVER.PING.CONNZ");
  EXPECT_TRUE(world.replies.empty());
  EXPECT_EQ(world.queries[0].size(), 1u);
  EXPECT_EQ(world.queries[1].size(), 1u);
  EXPECT_EQ(world.needs, kNeedOpenConnections);
  world.Answer();
  ASSERT_EQ(world.replies.size(), 1u);
  EXPECT_EQ(world.replies[0].subject, "in");
  EXPECT_EQ(world.Heard(), R"({"server":S,"data":{"server_id":"NID","now":"1970-01-01T00:00:01Z",)"
                           R"("num_connections":0,"total":0,"offset":0,"limit":1024,"connections":[]}})");
  world.Ask("$SYS.REQ.SERVER.NID.LEAFZ");
  EXPECT_EQ(world.Heard(),
            R"({"server":S,"data":{"server_id":"NID","now":"1970-01-01T00:00:01Z","leafnodes":0,"leafs":[]}})");
  world.Ask("$SYS.REQ.ACCOUNT.nope.INFO");
  world.Answer();
  EXPECT_EQ(world.Heard(),
            R"({"server":S,"data":null,"error":{"code":500,"description":"Account nope does not exist"}})");
}

TEST(SystemDesk, WhoIsNotMeantOrWantsNoReplyIsNotAnswered) {
  World world;
  world.Ask("$SYS.REQ.SERVER.PING.LEAFZ", R"({"server_name":"other"})");
  world.Ask("$SYS.REQ.SERVER.PING.LEAFZ", "", "");
  world.Ask("$SYS.REQ.SERVER.NID.RELOAD", "", "");
  world.Ask("$SYS.REQ.SERVER.NID.KICK", R"({"cid":1})", "");
  world.Ask("$SYS.REQ.SERVER.PING.IDZ", "", "");
  world.Ask("$SYS.REQ.USER.A.INFO", "", "");
  EXPECT_TRUE(world.replies.empty() && world.queries[0].empty());
  EXPECT_EQ(world.reloads, 0);
  world.Ask("$SYS.REQ.SERVER.PING.LEAFZ", "x");
  EXPECT_EQ(world.Heard(), R"({"server":S,"error":{"code":400,"description":"invalid character 'x' looking for )"
                           R"(beginning of value"}})");
}

TEST(SystemDesk, AHeartbeatIsSentWhereItBelongs) {
  World world;
  world.Ask("$SYS.REQ.SERVER.PING", "", "");
  world.Answer();
  ASSERT_EQ(world.replies.size(), 1u);
  EXPECT_EQ(world.replies[0].subject, "$SYS.SERVER.NID.STATSZ");
  EXPECT_NE(world.Heard().find(R"({"server":S,"statsz":{"start":)"), std::string::npos);
  world.Ask("$SYS.REQ.SERVER.PING.IDZ");
  EXPECT_EQ(world.Heard(), R"({"name":"srv","host":"127.0.0.1","id":"NID"})");
}

TEST(SystemDesk, AnswersAreCompressedForWhoCanReadThem) {
  World world;
  world.Ask("$SYS.REQ.SERVER.PING.LEAFZ", "", "in", "NATS/1.0\r\nAccept-Encoding: gzip, S2\r\n\r\n");
  ASSERT_EQ(world.replies.size(), 1u);
  const std::string& sent = world.replies[0].payload;
  EXPECT_EQ(sent.substr(0, world.replies[0].header_bytes), "NATS/1.0\r\nContent-Encoding: snappy\r\n\r\n");
  std::string plain;
  EXPECT_TRUE(S2Reader().Read(std::string_view(sent).substr(world.replies[0].header_bytes), &plain).ok());
  EXPECT_NE(plain.find(R"("leafs":[])"), std::string::npos);
  EXPECT_NE(sent.find("sNaPpY"), std::string::npos);
  world.replies.clear();
  world.Ask("$SYS.REQ.SERVER.PING.LEAFZ", "", "in", "NATS/1.0\r\nAccept-Encoding: br\r\n\r\n");
  EXPECT_NE(world.Heard().find("Content-Encoding: identity"), std::string::npos);
}

TEST(SystemDesk, ConnectionsAreFoundByTheirNumber) {
  World world;
  world.Ask("$SYS.REQ.SERVER.NID.KICK", R"({"cid":9})");
  ASSERT_EQ(world.queries[1].size(), 1u);
  EXPECT_EQ(world.queries[1][0].second.cid, 9u);
  EXPECT_EQ(world.queries[1][0].second.kind, ConnectionOrder::Kind::kKick);
  world.Answer({.found = true});
  EXPECT_EQ(world.Heard(), R"({"server":S})");
  world.Ask("$SYS.REQ.SERVER.NID.KICK", R"({"cid":9})");
  world.Answer();
  EXPECT_EQ(world.Heard(), R"({"server":S,"error":{"code":500,"description":"no such client or leafnode id"}})");
  world.Ask("$SYS.REQ.SERVER.NID.KICK", "x");
  EXPECT_TRUE(world.replies.empty() && world.queries[0].empty());
  world.Ask("$SYS.REQ.SERVER.NID.LDM", R"({"cid":9})");
  world.Answer({.found = true});
  EXPECT_NE(world.Heard().find("client does not support Lame Duck Mode"), std::string::npos);
  world.Ask("$SYS.REQ.USER.A.INFO");
  EXPECT_EQ(world.queries[0][0].second.cid, 7u);
  world.Answer({.found = true, .said = R"({"user":"a"})"});
  EXPECT_EQ(world.Heard(), R"({"server":S,"data":{"user":"a"}})");
}

TEST(SystemDesk, AReloadSaysWhatWasWrong) {
  World world;
  world.Ask("$SYS.REQ.SERVER.NID.RELOAD");
  EXPECT_EQ(world.Heard(), R"({"server":S})");
  world.reloaded = absl::InvalidArgumentError("why");
  world.Ask("$SYS.REQ.SERVER.NID.RELOAD");
  EXPECT_EQ(world.Heard(), R"({"server":S,"error":{"code":500,"description":"why"}})");
  EXPECT_EQ(world.reloads, 2);
}

TEST(SystemDesk, ConnectionsOfAnAccountAreTheOtherDesksBusiness) {
  World world;
  const std::pair<AccountId, std::string> global(kGlobalAccount, "in");
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS");
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS", R"({"acc":"$G"})");
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS", "{}");
  EXPECT_EQ(world.asked_connections, std::vector(3, global));
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS", R"({"acc":"$SYS"})");
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS", "no");
  world.Ask("$SYS.REQ.ACCOUNT.nobody.CONNS");
  world.Ask("$SYS.REQ.ACCOUNT.$G.CONNS", {}, {});
  EXPECT_EQ(world.asked_connections.size(), 3u);
  EXPECT_TRUE(world.replies.empty());
}

}  // namespace
}  // namespace millrace
