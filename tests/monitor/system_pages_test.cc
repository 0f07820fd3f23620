// SPDX-License-Identifier: Apache-2.0
// Goal: each service of the system account shows its page on one line, or says what was wrong, in the peer's envelope.
// Method: pages of known data; what nats-server 2.15.2 answers to the same.
#include "broker/monitor/system_pages.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

const std::map<std::string, uint64_t> kNoStats;

MonitorData Data() {
  MonitorData data;
  data.server_id = "NID";
  data.now_ns = 1'000'000'000;
  data.account_names = {"$G", "A"};
  AccountSnapshot used;
  used.name = used.name_tag = "A";
  used.clients = 1;
  AccountSnapshot unused;
  unused.name = unused.name_tag = "$G";
  data.accounts = {unused, used};
  return data;
}

// The answer, or "CODE text" of its error, or "-" when there is none.
std::string Ask(std::string_view name, SystemPage::Scope scope, std::string_view account, std::string_view json,
                MonitorData data = Data()) {
  const SystemPage* page = FindSystemPage(name, scope);
  if (page == nullptr) return "no such service";
  EventOptions options;
  if (!json.empty()) {
    EXPECT_TRUE(ReadEventOptions(json, *page->options, &options).ok());
  }
  if (const absl::Status prepared = page->prepare(account, &options); !prepared.ok()) {
    return "500 " + std::string(prepared.message());
  }
  const EventAnswer answer = AnswerOf(*page, options, std::move(data), kNoStats);
  if (answer.kind == EventAnswer::Kind::kNothing) return "-";
  if (answer.kind == EventAnswer::Kind::kData) return answer.data;
  return std::to_string(answer.error.code) + " " + answer.error.description;
}

TEST(SystemPages, PagesAreOnOneLine) {
  const auto server = SystemPage::kServer;
  const auto account = SystemPage::kAccount;
  EXPECT_EQ(Ask("LEAFZ", account, "A", ""),
            R"({"server_id":"NID","now":"1970-01-01T00:00:01Z","leafnodes":0,"leafs":[]})");
  EXPECT_EQ(Ask("CONNZ", server, "", R"({"state":7})"),
            R"({"server_id":"NID","now":"1970-01-01T00:00:01Z","num_connections":0,"total":0,"offset":0,"limit":1024,)"
            R"("connections":[]})");
  EXPECT_EQ(Ask("HEALTHZ", server, "", R"({"stream":"x"})"),
            R"({"status":"error","status_code":400,)"
            R"("error":"\"account\" must not be empty when checking stream health"})");
  EXPECT_EQ(Ask("PROFILEZ", server, "", ""), R"({"profile":null,"error":"Profile name not specified"})");
  EXPECT_EQ(Ask("PROFILEZ", server, "", R"({"name":"cpu","duration":16000000000})"),
            R"({"profile":null,"error":"Duration 16s should be between 0s and 15s"})");
  EXPECT_EQ(Ask("RAFTZ", server, "", ""), "{}");
  EXPECT_EQ(Ask("EXPVARZ", server, "", "").rfind(R"({"memstats":{)", 0), 0u);
}

TEST(SystemPages, WhatIsNotToBeHadIsAnError) {
  const auto server = SystemPage::kServer;
  const auto account = SystemPage::kAccount;
  EXPECT_EQ(Ask("CONNZ", server, "", R"({"sort":"zzz"})"), "500 invalid sorting option: zzz");
  EXPECT_EQ(Ask("SUBSZ", server, "", R"({"test":"a.*"})"),
            "500 invalid test subject, must be valid publish subject: a.*");
  MonitorData none = Data();
  none.accounts.clear();
  EXPECT_EQ(Ask("ACCOUNTZ", server, "", R"({"account":"nope"})", none), "500 Account nope does not exist");
  EXPECT_EQ(Ask("INFO", account, "nope", "", none), "500 Account nope does not exist");
  EXPECT_EQ(Ask("JSZ", account, "A", ""), "500 jetstream not enabled");
  EXPECT_EQ(Ask("JSZ", server, "", R"({"leader_only":true})"), "-");
  MonitorData on = Data();
  on.jsz.emplace();
  EXPECT_EQ(Ask("JSZ", account, "nope", "", on), R"(500 account "nope" not found)");
  EXPECT_EQ(Ask("JSZ", account, "A", "", on), R"(500 account "A" not jetstream enabled)");
  EXPECT_EQ(Ask("INFO", server, "", ""), "no such service");
  EXPECT_EQ(Ask("VARZ", account, "A", ""), "no such service");
}

TEST(SystemPages, OnlyAccountsInUseHaveStatistics) {
  const auto account = SystemPage::kAccount;
  const std::string begin = R"({"server_id":"NID","now":"1970-01-01T00:00:01Z","account_statz":[)";
  EXPECT_EQ(Ask("STATZ", account, "PING", "").rfind(begin + R"({"acc":"A",)", 0), 0u);
  EXPECT_EQ(Ask("STATZ", account, "A", "").rfind(begin + R"({"acc":"A",)", 0), 0u);
  EXPECT_EQ(Ask("STATZ", account, "$G", ""), "-");
  EXPECT_EQ(Ask("STATZ", account, "nope", ""), "-");
  EXPECT_EQ(Ask("STATZ", account, "nope", R"({"include_unused":true})"), begin + "]}");
  EXPECT_EQ(Ask("STATZ", account, "PING", R"({"include_unused":true})").rfind(begin + R"({"acc":"$G",)", 0), 0u);
}

TEST(SystemPages, TheEnvelopeSaysWhoAnswers) {
  const EventError error{500, "why"};
  EXPECT_EQ(EventEnvelope(R"({"id":"N"})", "{}", nullptr, false), R"({"server":{"id":"N"},"data":{}})");
  EXPECT_EQ(EventEnvelope("{}", "", nullptr, false), R"({"server":{}})");
  EXPECT_EQ(EventEnvelope("{}", "", &error, false), R"({"server":{},"error":{"code":500,"description":"why"}})");
  EXPECT_EQ(EventEnvelope("{}", "", &error, true),
            R"({"server":{},"data":null,"error":{"code":500,"description":"why"}})");
}

TEST(SystemPages, AHeartbeatSaysNotWhereFilesAre) {
  VarzSnapshot varz;
  varz.start_ns = 1'000'000'000;
  varz.slow_consumer_stats.clients = 2;
  varz.jetstream.emplace().config.store_dir = "/secret";
  JsonWriter out(JsonLayout::kCompact);
  RenderStatsz(varz, 3, &out);
  EXPECT_EQ(out.text().find("secret"), std::string::npos);
  EXPECT_EQ(out.text().rfind(R"({"start":"1970-01-01T00:00:01Z","mem":0,"cores":1,"cpu":0,"connections":0,)"
                             R"("total_connections":0,"active_accounts":3,"subscriptions":0,)"
                             R"("sent":{"msgs":0,"bytes":0},)",
                             0),
            0u)
      << out.text();
  EXPECT_NE(out.text().find(R"("slow_consumers":0,)"
                            R"("slow_consumer_stats":{"clients":2,"routes":0,"gateways":0,"leafs":0},)"
                            R"("active_servers":1,"jetstream":{"config":{"max_memory":0,"max_storage":0},)"),
            std::string::npos)
      << out.text();
}

}  // namespace
}  // namespace millrace
