// SPDX-License-Identifier: Apache-2.0
// Goal: every kind of ack does what it does at nats-server 2.15.2: to message, floors, redelivery and advisories.
// Method: as consumer_pull_test.cc.
#include <gtest/gtest.h>

#include <map>

#include "tests/jetstream/fake_consumer_host.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class AckTest : public ::testing::Test {
 protected:
  // A pull consumer with a request for plenty.
  Consumer& Make(ConsumerConfig config, int messages) {
    config.durable_name = "C";
    for (int i = 0; i < messages; ++i) host.Stage("a", "m" + std::to_string(i + 1));
    host.visible = host.stream->state().last_seq;
    host.fake.interest.insert("r");
    Consumer& made = host.Make(config);
    Ask();
    for (const FakePort::Record& one : host.last) replies.push_back(one.reply);
    return made;
  }
  ConsumerConfig Explicit() {
    ConsumerConfig config;
    config.ack_policy = AckPolicy::kExplicit;
    config.ack_wait_ns = 10 * kNsPerSecond;
    return config;
  }
  std::string Ask() {
    host.consumer->OnNextRequest("r", {}, R"({"batch":1000,"expires":3600000000000})");
    host.Turn();
    return host.Take();
  }
  std::string After(Nanos time) {
    host.fake.Advance(time);
    return host.Take();
  }
  // "delivered c/s floor c/s pending n redelivered n"
  std::string State() {
    const ConsumerInfo info = host.consumer->Info();
    return std::to_string(info.delivered.consumer_seq) + "/" + std::to_string(info.delivered.stream_seq) + " " +
           std::to_string(info.ack_floor.consumer_seq) + "/" + std::to_string(info.ack_floor.stream_seq) + " " +
           std::to_string(info.num_ack_pending) + " " + std::to_string(info.num_redelivered);
  }
  void Listen(std::string_view kind) { host.fake.interest.insert("$JS.EVENT." + std::string(kind) + ".S.C"); }

  FakeConsumerHost host;
  std::vector<std::string> replies;
};

TEST_F(AckTest, TheKindsOfAcks) {
  struct Case {
    std::string_view body;
    std::string_view state;  // after the ack of the first of two
    bool answered;
    std::string_view sent;   // at once
  };
  const Case cases[] = {
      {"", "2/2 1/1 1 0", true, ""},
      {"+ACK", "2/2 1/1 1 0", true, ""},
      {"+OK", "2/2 1/1 1 0", true, ""},
      {"+TERM", "2/2 1/1 1 0", true, ""},
      {"+TERM because", "2/2 1/1 1 0", true, ""},
      {"+NXT", "2/2 1/1 1 0", false, ""},
      {"+WPI", "2/2 0/0 2 0", true, ""},
      {"-NAK", "3/2 0/0 2 1", true, "r a m1 [2 1 3 0]"},
      {"-NAK 5s", "2/2 0/0 2 0", true, ""},
      {R"(-NAK {"delay":5000000000})", "2/2 0/0 2 0", true, ""},
      {"-NAK nonsense", "3/2 0/0 2 1", true, "r a m1 [2 1 3 0]"},
      {"what", "2/2 0/0 2 0", true, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    FakeConsumerHost fresh;
    fresh.Stage("a", "m1");
    fresh.Stage("a", "m2");
    fresh.visible = 2;
    fresh.fake.interest = {"r", "q"};
    ConsumerConfig config = Explicit();
    config.durable_name = "C";
    fresh.Make(config);
    fresh.consumer->OnNextRequest("r", {}, "100");
    fresh.Turn();
    fresh.Take();
    const std::string first = fresh.last[0].reply;
    fresh.Ack(first, c.body, "q");
    EXPECT_EQ(fresh.Take(), c.sent);
    EXPECT_EQ(fresh.replies, c.answered ? std::vector<std::string>{"q"} : std::vector<std::string>{});
    const ConsumerInfo info = fresh.consumer->Info();
    EXPECT_EQ(std::to_string(info.delivered.consumer_seq) + "/" + std::to_string(info.delivered.stream_seq) + " " +
                  std::to_string(info.ack_floor.consumer_seq) + "/" + std::to_string(info.ack_floor.stream_seq) + " " +
                  std::to_string(info.num_ack_pending) + " " + std::to_string(info.num_redelivered),
              c.state);
    // Whatever it was, a restart gives the same.
    fresh.Restart();
    const ConsumerInfo again = fresh.consumer->Info();
    EXPECT_EQ(again.delivered.consumer_seq, info.delivered.consumer_seq);
    EXPECT_EQ(again.ack_floor, SequenceInfo({info.ack_floor.consumer_seq, info.ack_floor.stream_seq, std::nullopt}));
    EXPECT_EQ(again.num_ack_pending, info.num_ack_pending);
    EXPECT_EQ(again.num_redelivered, info.num_redelivered);
    EXPECT_EQ(again.num_pending, info.num_pending);
  }
}

TEST_F(AckTest, ABackupKeepsHowOftenAMessageWasSent) {
  ConsumerConfig config = Explicit();
  config.max_deliver = 2;
  Make(config, 4);
  host.Ack(replies[0], "-NAK");
  EXPECT_EQ(host.Take(), "r a m1 [2 1 5 0]");
  host.Ack(host.LastReply(), "-NAK");  // it has been sent as often as it may be
  EXPECT_EQ(host.Take(), "");
  host.Ack(replies[1], "-NAK");
  EXPECT_EQ(host.Take(), "r a m2 [2 2 6 0]");
  EXPECT_EQ(State(), "6/4 1/1 3 2");
  ConsumerSnapshot snapshot;
  host.consumer->Export(3, &snapshot);  // the backup ends there
  EXPECT_EQ(snapshot.redelivered, (std::map<uint64_t, uint64_t>{{1, 2}, {2, 1}}));
  EXPECT_EQ(snapshot.pending.size(), 2u);
  ConsumerSnapshot none;
  host.consumer->Export(0, &none);
  EXPECT_TRUE(none.redelivered.empty() && none.pending.empty());

  FakeConsumerHost other;
  for (int i = 1; i <= 4; ++i) other.Stage("a", "m" + std::to_string(i));
  other.visible = 4;
  other.fake.interest.insert("r");
  ConsumerConfig more = host.consumer->config();
  more.max_deliver = 9;
  other.Make(more, /*start=*/false);
  snapshot.redelivered[2] = 3;
  other.consumer->Import(snapshot);
  other.consumer->Invariant();
  EXPECT_EQ(other.consumer->Info().num_redelivered, 2);
  EXPECT_EQ(other.consumer->Info().num_ack_pending, 2);
  other.consumer->OnNextRequest("r", {}, R"({"batch":1000,"expires":3600000000000})");
  other.Turn();
  EXPECT_EQ(other.Take(), "r a m4 [1 4 7 0]");
  other.fake.Advance(seconds(11));
  EXPECT_EQ(other.Take(), "r a m2 [5 2 8 0]\nr a m3 [2 3 9 0]\nr a m4 [2 4 10 0]");
  // What was given up stays so.
  EXPECT_TRUE(other.consumer->NeedsAck(1, "a"));
}

// A client makes the archive: what does not fit together must not reach what the consumer goes on with.
TEST_F(AckTest, ABackupWhosePositionsDoNotFitIsMadeToFit) {
  for (int i = 1; i <= 9; ++i) host.Stage("a", "m" + std::to_string(i));
  host.visible = 9;
  host.fake.interest.insert("r");
  host.Make(Explicit(), /*start=*/false);
  ConsumerSnapshot snapshot;
  snapshot.delivered_consumer = 3;
  snapshot.delivered_stream = 3;
  snapshot.floor_consumer = 7;
  snapshot.floor_stream = 8;
  snapshot.pending[0] = {1, 1};
  snapshot.pending[2] = {9, 1};
  snapshot.pending[6] = {2, 1};
  snapshot.redelivered = {{2, 1}, {6, 1}, {7, 2}};
  host.consumer->Import(snapshot);
  host.consumer->Invariant();
  EXPECT_EQ(State(), "3/3 3/3 1 1");
  EXPECT_EQ(Ask(), "r a m4 [1 4 4 5]\nr a m5 [1 5 5 4]\nr a m6 [1 6 6 3]\nr a m7 [1 7 7 2]\nr a m8 [1 8 8 1]\n"
                   "r a m9 [1 9 9 0]");
  EXPECT_EQ(After(milliseconds(10)), "r a m2 [3 2 10 0]");
}

TEST_F(AckTest, ASampleFrequencyThatIsNoneSamplesNothing) {
  ConsumerConfig config = Explicit();
  config.sample_freq = "often";  // of a backup: requests are checked
  Make(config, 1);
  host.Ack(replies[0]);
  EXPECT_EQ(State(), "1/1 1/1 0 0");
}

TEST_F(AckTest, AnAckOfWhatWasNeverDeliveredIsNotAnswered) {
  Make(Explicit(), 2);
  host.Ack("$JS.ACK.S.C.1.3.3.1.0", "+ACK", "q");
  host.Ack("$JS.ACK.S.C.1.0.0.1.0", "+ACK", "q");
  EXPECT_TRUE(host.replies.empty());
  // Twice is fine.
  host.Ack(replies[0], "", "q");
  host.Ack(replies[0], "", "q");
  EXPECT_EQ(host.replies.size(), 2u);
  EXPECT_EQ(State(), "2/2 1/1 1 0");
}

TEST_F(AckTest, NxtAsksForMore) {
  host.fake.interest.insert("n");
  ConsumerConfig config = Explicit();
  config.durable_name = "C";
  for (int i = 0; i < 4; ++i) host.Stage("a", "m" + std::to_string(i + 1));
  host.visible = 4;
  host.Make(config);
  host.consumer->OnNextRequest("n", {}, "1");
  host.Turn();
  host.Take();
  host.Ack(host.LastReply(), "+NXT 2", "n");
  EXPECT_EQ(host.Take(), "n a m2 [1 2 2 2]\nn a m3 [1 3 3 1]");
  host.Ack(host.LastReply(), R"(+NXT {"batch":1})", "n");
  EXPECT_EQ(host.Take(), "n a m4 [1 4 4 0]");
  host.Ack(host.LastReply(), R"(+NXT {"batch":1,"no_wait":true})", "n");
  EXPECT_EQ(host.Take(), "n 404 No Messages");
}

TEST_F(AckTest, FloorsFollowAcksInAnyOrder) {
  Make(Explicit(), 4);
  host.Ack(replies[1]);
  EXPECT_EQ(State(), "4/4 0/0 3 0");
  host.Ack(replies[0]);
  EXPECT_EQ(State(), "4/4 2/2 2 0");
  host.Ack(replies[3]);
  EXPECT_EQ(State(), "4/4 2/2 1 0");
  host.Ack(replies[2]);
  EXPECT_EQ(State(), "4/4 4/4 0 0");
}

TEST_F(AckTest, AckAllTakesWhatIsBelow) {
  ConsumerConfig config = Explicit();
  config.ack_policy = AckPolicy::kAll;
  host.keep = Retention::kInterest;
  Make(config, 5);
  host.Ack(replies[2]);
  EXPECT_EQ(State(), "5/5 3/3 2 0");
  EXPECT_EQ(host.acked, (std::vector<uint64_t>{3, 1, 2}));
  host.Ack(replies[0], "", "q");
  EXPECT_EQ(State(), "5/5 3/3 2 0");
  EXPECT_EQ(host.replies.size(), 1u);
}

TEST_F(AckTest, AckWaitSendsAgainInOrder) {
  Make(Explicit(), 3);
  host.Ack(replies[1]);
  EXPECT_EQ(After(milliseconds(9999)), "");
  EXPECT_EQ(After(milliseconds(2)), "r a m1 [2 1 4 0]\nr a m3 [2 3 5 0]");
  EXPECT_EQ(State(), "5/3 0/0 2 2");
  // Progress on one of them keeps it for another ack_wait.
  host.fake.Advance(seconds(8));
  host.Ack(replies[2], "+WPI");
  EXPECT_EQ(After(seconds(3)), "r a m1 [3 1 6 0]");
  EXPECT_EQ(After(seconds(7) + milliseconds(10)), "r a m3 [3 3 7 0]");
  EXPECT_EQ(After(seconds(2)), "r a m1 [4 1 8 0]");
  EXPECT_EQ(State(), "8/3 0/0 2 2");
}

TEST_F(AckTest, BackoffDecidesEachWait) {
  ConsumerConfig config = Explicit();
  config.backoff_ns = {kNsPerSecond, 3 * kNsPerSecond};
  config.ack_wait_ns = kNsPerSecond;
  Make(config, 1);
  EXPECT_EQ(After(milliseconds(1001)), "r a m1 [2 1 2 0]");
  EXPECT_EQ(After(milliseconds(2990)), "");
  EXPECT_EQ(After(milliseconds(20)), "r a m1 [3 1 3 0]");
  EXPECT_EQ(After(milliseconds(3010)), "r a m1 [4 1 4 0]");
}

TEST_F(AckTest, MaxDeliverGivesUpWithAnAdvisory) {
  for (const int64_t max : {1, 2, 3}) {
    SCOPED_TRACE(max);
    FakeConsumerHost fresh;
    fresh.fake.interest = {"r", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C"};
    fresh.Stage("a", "m1");
    fresh.visible = 1;
    ConsumerConfig config = Explicit();
    config.max_deliver = max;
    config.durable_name = "C";
    fresh.Make(config);
    fresh.consumer->OnNextRequest("r", {}, R"({"batch":1000,"expires":3600000000000})");
    fresh.Turn();
    for (int64_t i = 1; i < max; ++i) {
      fresh.fake.Advance(seconds(11));
      EXPECT_EQ(fresh.advisories.size(), 0u);
    }
    fresh.fake.Advance(seconds(11));
    ASSERT_EQ(fresh.advisories.size(), 1u);
    EXPECT_NE(fresh.advisories[0].find("\"deliveries\":" + std::to_string(max)), std::string::npos);
    EXPECT_EQ(fresh.fake.sent.size(), static_cast<size_t>(max));
    const ConsumerInfo info = fresh.consumer->Info();
    EXPECT_EQ(info.num_ack_pending, 0);
    EXPECT_EQ(info.num_redelivered, max == 1 ? 0 : 1);
    EXPECT_TRUE(fresh.consumer->NeedsAck(1, "a"));  // kept in interest streams
    fresh.Restart();
    EXPECT_TRUE(fresh.consumer->NeedsAck(1, "a"));
    // A late ack is still one.
    fresh.Ack(fresh.fake.sent[0].reply);
    EXPECT_FALSE(fresh.consumer->NeedsAck(1, "a"));
    EXPECT_EQ(fresh.consumer->Info().num_redelivered, 0);
  }
}

TEST_F(AckTest, NakDelays) {
  Make(Explicit(), 1);
  host.Ack(replies[0], "-NAK 3s");
  EXPECT_EQ(After(milliseconds(2990)), "");
  EXPECT_EQ(After(milliseconds(20)), "r a m1 [2 1 2 0]");
  host.Ack(host.LastReply(), R"(-NAK {"delay": 100000000})");
  EXPECT_EQ(After(milliseconds(110)), "r a m1 [3 1 3 0]");
}

TEST_F(AckTest, AdvisoriesAndSamples) {
  Listen("ADVISORY.CONSUMER.MSG_NAKED");
  Listen("ADVISORY.CONSUMER.MSG_TERMINATED");
  Listen("METRIC.CONSUMER.ACK");
  ConsumerConfig config = Explicit();
  config.sample_freq = "100%";
  Make(config, 4);
  host.fake.Advance(milliseconds(250));
  host.Ack(replies[0]);
  host.Ack(replies[1], "-NAK 1s");
  host.Ack(replies[2], "+TERM no good");
  host.Remove(4);
  ASSERT_EQ(host.advisories.size(), 4u);
  EXPECT_NE(host.advisories[0].find("METRIC.CONSUMER.ACK.S.C"), std::string::npos);
  EXPECT_NE(host.advisories[0].find("\"ack_time\":250000000"), std::string::npos) << host.advisories[0];
  EXPECT_NE(host.advisories[1].find("MSG_NAKED.S.C"), std::string::npos);
  EXPECT_NE(host.advisories[2].find("\"reason\":\"no good\""), std::string::npos);
  EXPECT_NE(host.advisories[3].find("Unacknowledged message was deleted"), std::string::npos);
  EXPECT_EQ(State(), "4/4 1/1 1 0");
}

TEST_F(AckTest, WorkQueuesHearOfEachAck) {
  host.keep = Retention::kWorkQueue;
  Make(Explicit(), 3);
  host.Ack(replies[2]);
  host.Ack(replies[0], "+TERM");
  host.Ack(replies[1], "-NAK");
  EXPECT_EQ(host.acked, (std::vector<uint64_t>{3, 1}));
  EXPECT_TRUE(host.consumer->NeedsAck(2, "a"));
  EXPECT_FALSE(host.consumer->NeedsAck(3, "a"));
  EXPECT_TRUE(host.consumer->NeedsAck(4, "a"));
}

TEST_F(AckTest, QueuedMessagesThatAreAcknowledgedAreNotSentAgain) {
  ConsumerConfig config = Explicit();
  Make(config, 3);
  host.fake.interest.erase("r");  // nobody to send to
  host.fake.Advance(seconds(11));
  EXPECT_EQ(host.Take(), "");
  host.Ack(replies[0]);
  host.Ack(replies[1], "-NAK 5s");
  host.fake.interest.insert("r");
  EXPECT_EQ(Ask(), "r a m3 [2 3 4 0]");
  EXPECT_EQ(After(milliseconds(5010)), "r a m2 [2 2 5 0]");
}

TEST_F(AckTest, ResetGoesBack) {
  Make(Explicit(), 4);
  host.Ack(replies[0]);
  host.Ack(replies[2]);
  const absl::StatusOr<uint64_t> to = host.consumer->Reset(0);
  ASSERT_TRUE(to.ok());
  EXPECT_EQ(*to, 2u);
  EXPECT_EQ(host.consumer->Info().num_pending, 3u);
  host.Turn();
  EXPECT_EQ(host.Take(), "r a m2 [1 2 1 2]\nr a m3 [1 3 2 1]\nr a m4 [1 4 3 0]");
  EXPECT_EQ(*host.consumer->Reset(4), 4u);
  host.Turn();
  EXPECT_EQ(host.Take(), "r a m4 [1 4 1 0]");
  host.Restart();
  EXPECT_EQ(State(), "1/4 0/3 1 0");
}

TEST_F(AckTest, PurgeForgetsWhatIsGone) {
  Make(Explicit(), 6);
  host.Ack(replies[1]);
  host.stream->TrimBelow(5);
  host.consumer->OnPurged("", 5, 6);
  host.Turn();
  EXPECT_EQ(State(), "6/6 4/4 2 0");
  host.stream->Purge();
  host.consumer->OnPurged("", 7, 6);
  host.Turn();
  EXPECT_EQ(State(), "6/6 6/6 0 0");
  host.Store("a", "m7");
  host.Turn();
  EXPECT_EQ(host.Take(), "r a m7 [1 7 7 0]");
}

TEST_F(AckTest, ARestartGoesOnWaiting) {
  Make(Explicit(), 3);
  host.Ack(replies[0]);
  host.fake.Advance(seconds(4));
  host.Restart();
  EXPECT_EQ(Ask(), "");
  EXPECT_EQ(After(seconds(5)), "");
  EXPECT_EQ(After(milliseconds(1010)), "r a m2 [2 2 4 0]\nr a m3 [2 3 5 0]");
}

TEST_F(AckTest, AStreamThatLostItsEndTakesTheConsumerBack) {
  Make(Explicit(), 3);
  host.Ack(replies[0]);
  const std::vector<std::string> deltas = host.deltas;
  FakeConsumerHost other;
  other.Stage("a", "m1");
  other.visible = 1;
  other.fake.interest.insert("r");
  other.deltas = deltas;
  ConsumerConfig config = Explicit();
  config.durable_name = "C";
  other.Make(config, false);
  other.Restart();
  other.Store("a", "n2");
  other.consumer->OnNextRequest("r", {}, "");
  other.Turn();
  EXPECT_EQ(other.Take(), "r a n2 [1 2 2 0]");
}

}  // namespace
}  // namespace millrace
