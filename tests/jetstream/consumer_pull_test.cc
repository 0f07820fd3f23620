// SPDX-License-Identifier: Apache-2.0
// Goal: pull requests are accepted, served and ended as nats-server 2.15.2 does it, with its exact status lines.
// Method: one consumer on a stream in memory, a fake port and a clock that the test moves; what was published is
//         compared line by line: "to subject body [deliveries stream-seq consumer-seq pending]" or "to status".
#include <gtest/gtest.h>

#include "tests/jetstream/fake_consumer_host.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kHead = "NATS/1.0\r\nA: b\r\n\r\n";

class PullTest : public ::testing::Test {
 protected:
  ConsumerConfig Config() {
    ConsumerConfig config;
    config.durable_name = "C";
    config.ack_policy = AckPolicy::kExplicit;
    return config;
  }
  Consumer& Make(const ConsumerConfig& config) {
    for (const char* reply : {"r", "r1", "r2", "r3"}) host.fake.interest.insert(reply);
    return host.Make(config);
  }
  std::string Ask(std::string_view reply, std::string_view body) {
    host.consumer->OnNextRequest(reply, {}, body);
    host.Turn();
    return host.Take();
  }
  std::string After(Nanos time) {
    host.fake.Advance(time);
    return host.Take();
  }
  void Store(int count) {
    for (int i = 0; i < count; ++i) host.Store("a", "m" + std::to_string(host.stream->state().last_seq + 1));
    host.Turn();
  }

  FakeConsumerHost host;
};

TEST_F(PullTest, MayBeginBeyondTheEnd) {
  Store(2);
  ConsumerConfig config = Config();
  config.deliver_policy = DeliverPolicy::kByStartSequence;
  config.opt_start_seq = 5;
  Make(config);
  EXPECT_EQ(host.consumer->Info().delivered.stream_seq, 4u);
  EXPECT_EQ(host.consumer->Info().ack_floor.stream_seq, 4u);
  EXPECT_EQ(host.consumer->Info().num_pending, 0u);
  EXPECT_EQ(Ask("r", "10"), "");
  Store(2);
  EXPECT_EQ(host.Take(), "");
  Store(2);
  // What came before its start counts as pending until the end is reached, as at the peer.
  EXPECT_EQ(host.Take(), "r a m5 [1 5 1 3]\nr a m6 [1 6 2 2]");
  EXPECT_EQ(host.consumer->Info().num_pending, 0u);
}

TEST_F(PullTest, BeginsWithWhatComesNextWhereTheStartIsLater) {
  Store(3);
  struct Case {
    DeliverPolicy policy;
    std::string_view filter;
  };
  for (const Case& c : {Case{DeliverPolicy::kNew, ""}, Case{DeliverPolicy::kByStartTime, ""},
                        Case{DeliverPolicy::kByStartTime, "a"}}) {
    ConsumerConfig config = Config();
    config.deliver_policy = c.policy;
    config.filter_subject = c.filter;
    if (c.policy == DeliverPolicy::kByStartTime) config.opt_start_time_ns = host.fake.WallNs() + kNsPerSecond;
    Make(config);
    const uint64_t last = host.stream->state().last_seq;
    EXPECT_EQ(host.consumer->Info().delivered.stream_seq, last);
    EXPECT_EQ(host.consumer->Info().num_pending, 0u);
    EXPECT_EQ(Ask("r", "1"), "");
    Store(1);
    const std::string next = std::to_string(last + 1);
    EXPECT_EQ(host.Take(), "r a m" + next + " [1 " + next + " 1 0]");
  }
}

TEST_F(PullTest, RequestsThatAreRefusedHearWhy) {
  struct Case {
    std::string_view body;
    std::string_view status;
  };
  const Case cases[] = {
      {R"({"batch":11})", "r 409 Exceeded MaxRequestBatch of 10"},
      {"11", "r 409 Exceeded MaxRequestBatch of 10"},
      {R"({"batch":1,"expires":61000000000})", "r 409 Exceeded MaxRequestExpires of 1m0s"},
      {R"({"batch":1,"max_bytes":1001})", "r 409 Exceeded MaxRequestMaxBytes of 1000"},
      {R"({"batch":1,"no_wait":true})", "r 404 No Messages"},
      {R"({"batch":1,"expires":1000,"idle_heartbeat":501})", "r 400 Bad Request - heartbeat value too large"},
      {R"({"batch":1,"expires":1000000,"min_pending":5})", "r 400 Bad Request - Not a Overflow Priority consumer"},
      {R"({"batch":1,"expires":1000000,"min_ack_pending":5})", "r 400 Bad Request - Not a Overflow Priority consumer"},
      {R"({"batch":1,"id":"x"})", "r 400 Bad Request - Not a Pinned Client Priority consumer"},
      {R"({"batch":1,"priority":10})", "r 400 Bad Request - Priority must be between 0 and 9"},
  };
  ConsumerConfig config = Config();
  config.max_batch = 10;
  config.max_expires_ns = 60 * kNsPerSecond;
  config.max_bytes = 1000;
  Make(config);
  for (const Case& c : cases) EXPECT_EQ(Ask("r", c.body), c.status) << c.body;
  host.consumer->OnNextRequest("r", "NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n", "");
  EXPECT_EQ(host.Take(), "r 412 Required Api Level");
  EXPECT_EQ(host.consumer->Info().num_waiting, 0);
  ConsumerConfig push;
  push.deliver_subject = "d";
  host.Make(push);
  EXPECT_EQ(Ask("r", ""), "r 409 Consumer is push based");
}

TEST_F(PullTest, AnEmptyBodyANumberAndJsonAskForMessages) {
  Make(Config());
  Store(4);
  EXPECT_EQ(Ask("r", ""), "r a m1 [1 1 1 3]");
  EXPECT_EQ(Ask("r", "2"), "r a m2 [1 2 2 2]\nr a m3 [1 3 3 1]");
  EXPECT_EQ(Ask("r", R"({"batch":2})"), "r a m4 [1 4 4 0]");
  EXPECT_EQ(host.consumer->Info().num_waiting, 1);
  EXPECT_EQ(host.consumer->Info().num_ack_pending, 4);
  Store(1);
  EXPECT_EQ(host.Take(), "r a m5 [1 5 5 0]");
  EXPECT_EQ(host.consumer->Info().num_waiting, 0);
}

TEST_F(PullTest, RequestsTakeTurns) {
  Make(Config());
  EXPECT_EQ(Ask("r1", R"({"batch":2})"), "");
  EXPECT_EQ(Ask("r2", R"({"batch":3})"), "");
  Store(5);
  EXPECT_EQ(host.Take(),
            "r1 a m1 [1 1 1 4]\nr2 a m2 [1 2 2 3]\nr1 a m3 [1 3 3 2]\nr2 a m4 [1 4 4 1]\nr2 a m5 [1 5 5 0]");
}

TEST_F(PullTest, ARequestExpiresWithWhatItMissed) {
  Make(Config());
  Store(1);
  EXPECT_EQ(Ask("r", R"({"batch":3,"expires":1000000000,"max_bytes":500})"), "r a m1 [1 1 1 0]");
  EXPECT_EQ(After(milliseconds(999)), "");
  const std::string status = After(milliseconds(2));
  EXPECT_EQ(status.substr(0, status.rfind(' ')),
            "r 408 Request Timeout Nats-Pending-Messages: 2 Nats-Pending-Bytes:");
  Store(1);
  EXPECT_EQ(host.Take(), "");
}

TEST_F(PullTest, NoWaitTakesWhatIsThere) {
  Make(Config());
  Store(2);
  EXPECT_EQ(Ask("r", R"({"batch":5,"no_wait":true})"), "r a m1 [1 1 1 1]\nr a m2 [1 2 2 0]\nr 404 No Messages");
  EXPECT_EQ(Ask("r", R"({"batch":5,"no_wait":true})"), "r 404 No Messages");
  // With expires it waits for the first message, and then takes no more than there is.
  EXPECT_EQ(Ask("r", R"({"batch":5,"no_wait":true,"expires":1000000000})"), "");
  Store(1);
  EXPECT_EQ(host.Take(), "r a m3 [1 3 3 0]\nr 404 No Messages");
  EXPECT_EQ(Ask("r", R"({"batch":5,"no_wait":true,"expires":1000000000})"), "");
  EXPECT_EQ(After(milliseconds(1001)), "r 408 Request Timeout Nats-Pending-Messages: 5 Nats-Pending-Bytes: 0");
}

TEST_F(PullTest, NoWaitIsRefusedWhenOthersWantMoreThanThereIs) {
  ConsumerConfig config = Config();
  config.max_ack_pending = 1;
  Make(config);
  Store(3);
  EXPECT_EQ(Ask("r1", R"({"batch":4,"expires":1000000000})"), "r1 a m1 [1 1 1 2]");
  EXPECT_EQ(Ask("r2", R"({"batch":1,"no_wait":true})"), "r2 408 Requests Pending");
}

TEST_F(PullTest, MaxWaitingIsALimitAndHeartbeatsAreSilent) {
  ConsumerConfig config = Config();
  config.max_waiting = 2;
  Make(config);
  EXPECT_EQ(Ask("r1", ""), "");
  EXPECT_EQ(Ask("r2", ""), "");
  EXPECT_EQ(Ask("r3", ""), "r3 409 Exceeded MaxWaiting");
  EXPECT_EQ(Ask("r3", R"({"batch":1,"expires":10000000000,"idle_heartbeat":1000000000})"), "");
  EXPECT_EQ(host.consumer->Info().num_waiting, 2);
  // Requests whose clients are gone make room.
  host.fake.interest.erase("r1");
  host.fake.Advance(seconds(2));
  EXPECT_EQ(Ask("r3", ""), "");
  EXPECT_EQ(host.consumer->Info().num_waiting, 2);
}

TEST_F(PullTest, MaxBytesEndsARequest) {
  Make(Config());
  const std::string body(100, 'x');
  for (int i = 0; i < 3; ++i) host.Store("a", body);
  host.Turn();
  host.Take();
  const std::string got = Ask("r", R"({"batch":10,"max_bytes":200})");
  const size_t line = got.find('\n');
  const std::string left = std::to_string(200 - 1 - 100 - host.last[0].reply.size());
  EXPECT_EQ(got.substr(line + 1),
            "r 409 Message Size Exceeds MaxBytes Nats-Pending-Messages: 9 Nats-Pending-Bytes: " + left);
  // The message that did not fit is the next one's.
  EXPECT_TRUE(Ask("r", "").ends_with("[1 2 2 1]"));
  // Exactly used up: it ends with that message, and says nothing.
  const size_t size = 1 + 100 + host.LastReply().size();
  EXPECT_TRUE(Ask("r", R"({"batch":10,"max_bytes":)" + std::to_string(size) + "}").ends_with("[1 3 3 0]"));
  EXPECT_EQ(host.consumer->Info().num_waiting, 0);
  // The batch is full and bytes are left.
  host.Store("a", "m");
  const std::string full = Ask("r", R"({"batch":1,"max_bytes":200})");
  const std::string_view completed = "\nr 409 Batch Completed Nats-Pending-Messages: 0 Nats-Pending-Bytes: ";
  EXPECT_NE(full.find(completed), std::string::npos) << full;
}

TEST_F(PullTest, HeartbeatsComeWhileARequestWaits) {
  Make(Config());
  Store(1);
  EXPECT_EQ(Ask("r", R"({"batch":2,"expires":2000000000,"idle_heartbeat":500000000})"), "r a m1 [1 1 1 0]");
  const std::string beat = "r 100 Idle Heartbeat Nats-Last-Consumer: 1 Nats-Last-Stream: 1";
  EXPECT_EQ(After(milliseconds(501)), beat);
  EXPECT_EQ(After(milliseconds(501)), beat);
  host.fake.Advance(milliseconds(300));
  Store(1);
  EXPECT_EQ(host.Take(), "r a m2 [1 2 2 0]");
  EXPECT_EQ(After(seconds(3)), "");
}

TEST_F(PullTest, AClientThatIsGoneLosesNothing) {
  Make(Config());
  EXPECT_EQ(Ask("r1", "2"), "");
  EXPECT_EQ(Ask("r2", "2"), "");
  host.fake.interest.erase("r1");
  Store(1);
  EXPECT_EQ(host.Take(), "r2 a m1 [1 1 1 0]");
  host.fake.interest.erase("r2");
  Store(1);
  EXPECT_EQ(host.Take(), "");
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  EXPECT_EQ(Ask("r3", ""), "r3 a m2 [1 2 2 0]");
}

TEST_F(PullTest, StopTellsThoseThatWait) {
  Make(Config());
  Ask("r1", R"({"batch":3,"max_bytes":77})");
  host.consumer->Stop(StopReason::kDeleted);
  EXPECT_EQ(host.Take(), "r1 409 Consumer Deleted");
  Make(Config());
  Ask("r1", R"({"batch":3,"max_bytes":77})");
  host.consumer->Stop(StopReason::kServerShutdown);
  EXPECT_EQ(host.Take(), "r1 409 Server Shutdown Nats-Pending-Messages: 3 Nats-Pending-Bytes: 77");
  Make(Config());
  Ask("r1", R"({"batch":3,"max_bytes":77})");
  host.consumer->Stop(StopReason::kLeadershipChange);
  EXPECT_EQ(host.Take(), "r1 409 Leadership Change");
}

TEST_F(PullTest, MaxAckPendingStallsUntilAcks) {
  ConsumerConfig config = Config();
  config.max_ack_pending = 2;
  Make(config);
  Store(4);
  EXPECT_EQ(Ask("r", "4"), "r a m1 [1 1 1 3]\nr a m2 [1 2 2 2]");
  host.Ack(host.LastReply());
  EXPECT_EQ(host.Take(), "r a m3 [1 3 3 1]");
}

TEST_F(PullTest, BudgetCongestionAndVisibilityStopDelivery) {
  Make(Config());
  Store(3);
  host.Stage("a", "m4", {});
  host.consumer->OnNextRequest("r", {}, "10");
  host.ready = false;
  DeliverBudget budget{1, 1 << 20};
  EXPECT_EQ(host.consumer->Deliver(&budget), DeliverStatus::kMore);
  EXPECT_EQ(host.Take(), "r a m1 [1 1 1 2]");
  host.fake.congested_after = 1;
  budget = {10, 1 << 20};
  EXPECT_EQ(host.consumer->Deliver(&budget), DeliverStatus::kCongested);
  EXPECT_EQ(host.Take(), "r a m2 [1 2 2 1]");
  host.fake.congested_after = 0;
  EXPECT_EQ(host.consumer->Deliver(&budget), DeliverStatus::kIdle);
  EXPECT_EQ(host.Take(), "r a m3 [1 3 3 0]");
  host.Show(4);
  host.Turn();
  EXPECT_EQ(host.Take(), "r a m4 [1 4 4 0]");
}

TEST_F(PullTest, AnInactiveConsumerIsDeleted) {
  ConsumerConfig config = Config();
  config.inactive_threshold_ns = 2 * kNsPerSecond;
  Make(config);
  Ask("r", R"({"batch":1,"expires":5000000000})");
  host.fake.Advance(seconds(6));
  EXPECT_FALSE(host.deleted);
  host.fake.Advance(seconds(3));
  EXPECT_TRUE(host.deleted);
}

TEST_F(PullTest, AWorkingClientKeepsAnInactiveConsumer) {
  ConsumerConfig config = Config();
  config.inactive_threshold_ns = 2 * kNsPerSecond;
  config.ack_wait_ns = 10 * kNsPerSecond;
  Make(config);
  Store(1);
  Ask("r", "");
  const std::string reply = host.LastReply();
  host.fake.Advance(seconds(9));
  EXPECT_FALSE(host.deleted);
  host.Ack(reply);
  host.fake.Advance(seconds(1));
  EXPECT_FALSE(host.deleted);
}

TEST_F(PullTest, AnUpdateOfTheInactiveThresholdCountsFromThen) {
  const struct {
    int64_t before_s, after_s;  // 0: never
    int64_t kept_s, gone_s;     // behind the update; 0: not at all
  } kCases[] = {{2, 10, 9, 12}, {10, 2, 1, 4}, {0, 3, 2, 5}, {3, 0, 1000, 0}, {5, 5, 3, 6}};
  for (const auto& one : kCases) {
    FakeConsumerHost fresh;
    ConsumerConfig config = Config();
    config.inactive_threshold_ns = one.before_s * kNsPerSecond;
    Consumer& consumer = fresh.Make(config);
    fresh.fake.Advance(seconds(1));
    ConsumerConfig changed = consumer.config();
    changed.inactive_threshold_ns = one.after_s * kNsPerSecond;
    consumer.UpdateConfig(changed);
    EXPECT_EQ(consumer.Info().config->inactive_threshold_ns, one.after_s * kNsPerSecond);
    fresh.fake.Advance(seconds(one.kept_s));
    EXPECT_FALSE(fresh.deleted) << one.before_s << " to " << one.after_s;
    if (one.gone_s == 0) continue;
    fresh.fake.Advance(seconds(one.gone_s - one.kept_s));
    EXPECT_TRUE(fresh.deleted) << one.before_s << " to " << one.after_s;
  }
}

// A purge makes room among what may be unacknowledged, and what waited for it goes on without anybody asking again.
TEST_F(PullTest, APurgeMakesRoomForWhatWaited) {
  for (const std::string_view filter : {"", ">", "a"}) {
    FakeConsumerHost fresh;
    fresh.fake.interest.insert("r");
    ConsumerConfig config = Config();
    config.max_ack_pending = 2;
    if (filter == "a") config.filter_subject = "a";
    Consumer& consumer = fresh.Make(config);
    for (int i = 1; i <= 5; ++i) fresh.Store("a", "m" + std::to_string(i));
    consumer.OnNextRequest("r", {}, R"({"batch":10,"expires":60000000000})");
    fresh.Turn();
    EXPECT_EQ(fresh.Take(), "r a m1 [1 1 1 4]\nr a m2 [1 2 2 3]");
    fresh.stream->TrimBelow(3);
    consumer.OnPurged(filter, 3, 5);
    fresh.Turn();
    EXPECT_EQ(fresh.Take(), "r a m3 [1 3 3 2]\nr a m4 [1 4 4 1]") << filter;
  }
}

// --- priority groups

TEST_F(PullTest, PriorityGroupsAreChecked) {
  ConsumerConfig config = Config();
  config.priority_groups = {"G"};
  config.priority_policy = PriorityPolicy::kOverflow;
  Make(config);
  EXPECT_EQ(Ask("r", R"({"batch":1})"), "r 400 Bad Request - Priority Group missing");
  EXPECT_EQ(Ask("r", R"({"batch":1,"group":"H"})"), "r 400 Bad Request - Invalid Priority Group");
  EXPECT_EQ(Ask("r", R"({"batch":1,"group":"G"})"), "");
}

TEST_F(PullTest, OverflowServesOnlyWhenThereIsEnough) {
  ConsumerConfig config = Config();
  config.priority_groups = {"G"};
  config.priority_policy = PriorityPolicy::kOverflow;
  Make(config);
  EXPECT_EQ(Ask("r1", R"({"batch":5,"expires":60000000000,"group":"G","min_pending":3})"), "");
  Store(2);
  EXPECT_EQ(host.Take(), "");
  Store(1);
  EXPECT_EQ(host.Take(), "r1 a m1 [1 1 1 2]");
  EXPECT_EQ(Ask("r2", R"({"batch":5,"expires":60000000000,"group":"G","min_ack_pending":1})"),
            "r2 a m2 [1 2 2 1]\nr2 a m3 [1 3 3 0]");
}

TEST_F(PullTest, PrioritizedServesTheLowestNumberFirst) {
  ConsumerConfig config = Config();
  config.priority_groups = {"G"};
  config.priority_policy = PriorityPolicy::kPrioritized;
  Make(config);
  Ask("r1", R"({"batch":2,"expires":60000000000,"group":"G","priority":2})");
  Ask("r2", R"({"batch":2,"expires":60000000000,"group":"G","priority":1})");
  Ask("r3", R"({"batch":2,"expires":60000000000,"group":"G","priority":1})");
  Store(5);
  EXPECT_EQ(host.Take(),
            "r2 a m1 [1 1 1 4]\nr3 a m2 [1 2 2 3]\nr2 a m3 [1 3 3 2]\nr3 a m4 [1 4 4 1]\nr1 a m5 [1 5 5 0]");
}

TEST_F(PullTest, PinnedClientsKeepTheConsumerToThemselves) {
  ConsumerConfig config = Config();
  config.priority_groups = {"G"};
  config.priority_policy = PriorityPolicy::kPinnedClient;
  config.priority_timeout_ns = 10 * kNsPerSecond;
  host.fake.interest = {"$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C", "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C"};
  Make(config);
  Ask("r1", R"({"batch":1,"expires":60000000000,"group":"G"})");
  Ask("r2", R"({"batch":5,"expires":60000000000,"group":"G"})");
  host.Store("a", "x", kHead);
  host.Turn();
  ASSERT_EQ(host.advisories.size(), 1u);
  EXPECT_NE(host.advisories[0].find("CONSUMER.PINNED.S.C"), std::string::npos);
  const std::string first = host.Take();
  ASSERT_TRUE(first.starts_with("r1 a {A: b,Nats-Pin-Id: ID")) << first;
  const size_t at = first.find("ID");
  const std::string id = first.substr(at, first.find('}') - at);
  EXPECT_EQ(host.consumer->Info().priority_groups[0].pinned_client_id, id);
  // The others wait; the pinned one goes on with its id.
  Store(1);
  EXPECT_EQ(host.Take(), "");
  EXPECT_EQ(Ask("r3", R"({"batch":1,"group":"G","id":"other"})"), "r3 423 Nats-Pin-Id mismatch");
  EXPECT_EQ(Ask("r1", R"({"batch":1,"expires":60000000000,"group":"G","id":")" + id + "\"}"),
            "r1 a {Nats-Pin-Id: " + id + "} m2 [1 2 2 0]");
  Ask("r1", R"({"batch":1,"expires":60000000000,"group":"G","id":")" + id + "\"}");
  // Unpinned, the next one gets it, and the old id is refused.
  EXPECT_FALSE(host.consumer->Unpin("H"));
  EXPECT_TRUE(host.consumer->Unpin("G"));
  Store(1);
  const std::string second = host.Take();
  EXPECT_TRUE(second.starts_with("r2 a {Nats-Pin-Id: ID")) << second;
  Store(1);
  const std::string third = host.Take();
  const std::string_view wrong = "r1 423 Nats-Wrong-Pin-Id Nats-Pending-Messages: 1 Nats-Pending-Bytes: 0";
  EXPECT_NE(third.find(wrong), std::string::npos) << third;
  // A pin nobody renews runs out.
  host.advisories.clear();
  host.fake.Advance(seconds(11));
  ASSERT_EQ(host.advisories.size(), 1u);
  EXPECT_NE(host.advisories[0].find("timeout"), std::string::npos);
  EXPECT_EQ(host.consumer->Info().priority_groups[0].pinned_client_id, "");
}

}  // namespace
}  // namespace millrace
