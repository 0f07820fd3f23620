// SPDX-License-Identifier: Apache-2.0
// Goal: the monitoring pages show what the engine holds, and no more than was asked for.
// Method: the engine of the harness, through its API; the bytes of pages are the business of tests/monitor/jsz_test.cc
//         and tests/monitor/compare_with_peer.py --jetstream.
#include "broker/jetstream/engine/pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/jetstream/engine_harness.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class JetStreamPagesTest : public testing::Test {
 protected:
  JetStreamPagesTest() : js_(Options()), pages_(js_.engine()) {
    js_.Request("$JS.API.STREAM.CREATE.B", R"({"name":"B","subjects":["b.*"],"storage":"memory","max_bytes":1000})");
    js_.Request("$JS.API.STREAM.CREATE.A", R"({"name":"A"})");
    js_.Request("b.1", "x");
    js_.Request("b.2", "y");
    js_.Request("$JS.API.CONSUMER.CREATE.B.C",
                R"({"stream_name":"B","config":{"durable_name":"C","ack_policy":"explicit"}})");
    js_.Request("$JS.API.STREAM.INFO.NONE", "");
  }
  static JetStreamEngineOptions Options() {
    JetStreamEngineOptions options;
    options.server_name = "here";
    return options;
  }
  JszSnapshot Jsz(const std::string& query) const {
    JszSnapshot jsz;
    pages_.FillJsz(*ParseJszParams(HttpTarget("/jsz?" + query)), &jsz);
    return jsz;
  }
  JetStreamHealth Health(const std::string& query) const {
    JetStreamHealth health;
    pages_.FillHealth(*ParseHealthzParams(HttpTarget("/healthz?" + query)), &health);
    return health;
  }
  EngineHarness js_;
  JetStreamPages pages_;
};

TEST_F(JetStreamPagesTest, TotalsAreThoseOfAllStreams) {
  const JszSnapshot jsz = Jsz("");
  EXPECT_EQ(jsz.total, 1);
  EXPECT_EQ(jsz.streams, 2);
  EXPECT_EQ(jsz.consumers, 1);
  EXPECT_EQ(jsz.messages, 2u);
  EXPECT_EQ(jsz.bytes, jsz.server.stats.memory);
  EXPECT_GT(jsz.bytes, 0u);
  EXPECT_EQ(jsz.server.stats.reserved_memory, 1000u);
  EXPECT_EQ(jsz.server.stats.accounts, 1);
  EXPECT_EQ(jsz.server.stats.api_errors, 1u);
  EXPECT_GE(jsz.server.stats.api_total, 4u);
  EXPECT_TRUE(jsz.accounts.empty());
}

TEST_F(JetStreamPagesTest, DetailsComeWhenAskedFor) {
  EXPECT_TRUE(Jsz("accounts=1").accounts.at(0).streams.empty());
  const JszSnapshot streams = Jsz("streams=1");
  ASSERT_EQ(streams.accounts.at(0).streams.size(), 2u);
  const JszStream& bare = streams.accounts[0].streams[1];
  EXPECT_EQ(streams.accounts[0].streams[0].name, "A");
  EXPECT_EQ(bare.name, "B");
  EXPECT_EQ(bare.cluster, R"({"leader":"here"})");
  EXPECT_THAT(bare.state, HasSubstr(R"("messages":2)"));
  EXPECT_TRUE(bare.config.empty());
  EXPECT_TRUE(bare.consumers.empty());
  const JszSnapshot all = Jsz("consumers=1&config=1&acc=$G");
  const JszStream& full = all.accounts.at(0).streams.at(1);
  EXPECT_THAT(full.config, HasSubstr(R"("name":"B")"));
  ASSERT_EQ(full.consumers.size(), 1u);
  EXPECT_THAT(full.consumers[0], HasSubstr(R"("config":{"durable_name":"C")"));
  const JszSnapshot consumers = Jsz("consumers=1");
  EXPECT_THAT(consumers.accounts.at(0).streams.at(1).consumers.at(0), Not(HasSubstr("config")));
}

TEST_F(JetStreamPagesTest, MirrorsAndSourcesShowWhereTheyAre) {
  js_.Request("$JS.API.STREAM.CREATE.M", R"({"name":"M","mirror":{"name":"B"}})");
  js_.Request("$JS.API.STREAM.CREATE.S", R"({"name":"S","sources":[{"name":"A"},{"name":"B"}]})");
  js_.Settle();
  const JszSnapshot jsz = Jsz("streams=1");
  EXPECT_THAT(jsz.accounts.at(0).streams.at(2).mirror, HasSubstr(R"({"name":"B","lag":0,)"));
  EXPECT_TRUE(jsz.accounts[0].streams[2].sources.empty());
  EXPECT_THAT(jsz.accounts[0].streams.at(3).sources, HasSubstr(R"([{"name":"A",)"));
  EXPECT_THAT(jsz.accounts[0].streams[3].sources, HasSubstr(R"(},{"name":"B",)"));
  EXPECT_TRUE(jsz.accounts[0].streams[0].mirror.empty());
}

TEST_F(JetStreamPagesTest, WhatCouldNotBeRecoveredIsInTheState) {
  js_.FindStream("A")->NoteLost({{3, 5}, {9, 9}});
  EXPECT_THAT(Jsz("streams=1").accounts.at(0).streams.at(0).state, HasSubstr(R"("lost":{"msgs":[3,4,5,9],"bytes":0})"));
}

TEST_F(JetStreamPagesTest, ProbesFindWhatIsThere) {
  const JetStreamHealth all = Health("account=$G&stream=B&consumer=C");
  EXPECT_TRUE(all.account_found && all.stream_found && all.consumer_found);
  const JetStreamHealth consumer = Health("account=$G&stream=A&consumer=C");
  EXPECT_TRUE(consumer.stream_found);
  EXPECT_FALSE(consumer.consumer_found);
  EXPECT_FALSE(Health("account=$G&stream=X").stream_found);
  EXPECT_FALSE(Health("account=other&stream=A").account_found);
  EXPECT_TRUE(all.broken.empty());
}

}  // namespace
}  // namespace millrace
