// SPDX-License-Identifier: Apache-2.0
// Goal: pushes start where they should, at the pace they should, and count what is pending as nats-server 2.15.2 does.
// Method: as consumer_pull_test.cc.
#include <gtest/gtest.h>

#include "tests/jetstream/fake_consumer_host.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PushTest : public ::testing::Test {
 protected:
  ConsumerConfig Config() {
    ConsumerConfig config;
    config.durable_name = "C";
    config.deliver_subject = "d";
    config.ack_policy = AckPolicy::kNone;
    return config;
  }
  void Fill(std::initializer_list<std::string_view> subjects) {
    for (const std::string_view subject : subjects) {
      host.Store(subject, "m" + std::to_string(host.stream->state().last_seq + 1));
    }
    host.Turn();
  }
  std::string After(Nanos time) {
    host.fake.Advance(time);
    return host.Take();
  }
  std::string Make(const ConsumerConfig& config) {
    host.fake.interest.insert("d");
    host.Make(config);
    return host.Take();
  }

  FakeConsumerHost host;
};

TEST_F(PushTest, DeliverPoliciesDecideTheFirstMessage) {
  struct Case {
    DeliverPolicy policy;
    std::vector<std::string> filters;
    uint64_t start_seq;
    int64_t start_after_ns;  // of the first message's time
    std::string_view sent;
  };
  const Case cases[] = {
      {DeliverPolicy::kAll, {}, 0, -1, "m1 3 m2 2 m3 1 m4 0"},
      {DeliverPolicy::kLast, {}, 0, -1, "m4 0"},
      {DeliverPolicy::kLast, {"a"}, 0, -1, "m3 0"},
      {DeliverPolicy::kLast, {"z"}, 0, -1, ""},
      {DeliverPolicy::kNew, {}, 0, -1, ""},
      {DeliverPolicy::kByStartSequence, {}, 3, -1, "m3 1 m4 0"},
      {DeliverPolicy::kByStartSequence, {"b"}, 2, -1, "m2 1 m4 0"},
      {DeliverPolicy::kByStartTime, {}, 0, 1500, "m3 1 m4 0"},
      {DeliverPolicy::kByStartTime, {"b"}, 0, 1500, "m4 0"},
      {DeliverPolicy::kLastPerSubject, {}, 0, -1, "m3 1 m4 0"},
      {DeliverPolicy::kLastPerSubject, {"b"}, 0, -1, "m4 0"},
      {DeliverPolicy::kAll, {"a", "c"}, 0, -1, "m1 1 m3 0"},
      {DeliverPolicy::kLastPerSubject, {"a", "c"}, 0, -1, "m3 0"},
  };
  for (const Case& c : cases) {
    FakeConsumerHost fresh;
    fresh.fake.interest.insert("d");
    int64_t first_ns = 0;
    for (const std::string_view subject : {"a", "b", "a", "b"}) {
      const uint64_t seq = fresh.Store(subject, "m" + std::to_string(fresh.stream->state().last_seq + 1));
      if (seq == 1) first_ns = fresh.fake.WallNs();
      fresh.fake.Advance(seconds(1));
    }
    ConsumerConfig config = Config();
    config.deliver_policy = c.policy;
    config.opt_start_seq = c.start_seq;
    if (c.start_after_ns >= 0) config.opt_start_time_ns = first_ns + c.start_after_ns * kNsPerMs;
    if (c.filters.size() == 1) config.filter_subject = c.filters[0];
    if (c.filters.size() > 1) config.filter_subjects = c.filters;
    fresh.Make(config);
    std::string sent;
    for (const FakePort::Record& one : fresh.fake.sent) {
      AckSubject ack;
      ASSERT_TRUE(ParseAckSubject(one.reply, &ack));
      sent += (sent.empty() ? "" : " ") + one.body + " " + std::to_string(ack.pending());
    }
    EXPECT_EQ(sent, c.sent) << static_cast<int>(c.policy) << " " << c.filters.size();
    // And then everything new that matches.
    fresh.fake.sent.clear();
    fresh.Store("a", "n");
    fresh.Store("b", "n");
    fresh.Turn();
    EXPECT_EQ(fresh.fake.sent.size(), c.filters.empty() ? 2u : c.filters[0] == "z" ? 0u : 1u);
    EXPECT_EQ(fresh.consumer->Info().num_pending, 0u);
  }
}

TEST_F(PushTest, AFutureSequenceIsWaitedForAndTheMessagesBeforeCountAsPending) {
  ConsumerConfig config = Config();
  config.deliver_policy = DeliverPolicy::kByStartSequence;
  config.opt_start_seq = 3;
  EXPECT_EQ(Make(config), "");
  Fill({"a", "a", "a"});
  EXPECT_EQ(host.Take(), "d a m3 [1 3 1 2]");
}

TEST_F(PushTest, ActiveWhileSomebodyListens) {
  ConsumerConfig config = Config();
  config.inactive_threshold_ns = 2 * kNsPerSecond;
  host.Make(config);
  Fill({"a"});
  EXPECT_EQ(host.Take(), "");
  EXPECT_FALSE(host.consumer->Info().push_bound);
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  host.fake.interest.insert("d");
  host.consumer->CheckInterest();
  host.Turn();
  EXPECT_EQ(host.Take(), "d a m1 [1 1 1 0]");
  EXPECT_TRUE(host.consumer->Info().push_bound);
  host.fake.Advance(seconds(5));
  EXPECT_FALSE(host.deleted);
  host.fake.interest.clear();
  host.consumer->CheckInterest();
  Fill({"a"});
  host.fake.Advance(seconds(1));
  EXPECT_FALSE(host.deleted);
  host.fake.Advance(seconds(2));
  EXPECT_TRUE(host.deleted);
}

TEST_F(PushTest, NobodyTakesAPushAndNothingIsLost) {
  Make(Config());
  host.fake.interest.clear();  // gone, and the consumer was not told yet
  Fill({"a", "a"});
  EXPECT_EQ(host.Take(), "");
  EXPECT_EQ(host.consumer->Info().num_pending, 2u);
  host.fake.interest.insert("d");
  host.consumer->CheckInterest();
  host.Turn();
  EXPECT_EQ(host.Take(), "d a m1 [1 1 1 1]\nd a m2 [1 2 2 0]");
}

TEST_F(PushTest, AckNoneInInterestStreamsReportsWhatItSent) {
  host.keep = Retention::kInterest;
  Make(Config());
  Fill({"a", "b"});
  EXPECT_EQ(host.acked, (std::vector<uint64_t>{1, 2}));
  EXPECT_FALSE(host.consumer->NeedsAck(2, "b"));
  EXPECT_TRUE(host.consumer->NeedsAck(3, "b"));
}

TEST_F(PushTest, PendingCountsFollowTheStream) {
  ConsumerConfig config = Config();
  config.filter_subject = "a";
  host.Stage("a", "staged before");  // counted, not visible
  host.Make(config);
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  host.Show(1);
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  Fill({"a", "b", "a"});
  EXPECT_EQ(host.consumer->Info().num_pending, 3u);
  host.Remove(3);
  EXPECT_EQ(host.consumer->Info().num_pending, 3u);
  host.Remove(2);
  EXPECT_EQ(host.consumer->Info().num_pending, 2u);
  // Gone before it was ever visible: never counted.
  host.Stage("a", "x");
  host.Remove(5);
  EXPECT_EQ(host.consumer->Info().num_pending, 2u);
  host.stream->TrimBelow(4);
  host.consumer->OnPurged("", 4, 5);
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  host.consumer->OnPurged("b", 4, 5);
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
}

TEST_F(PushTest, HeadersOnlyTellsTheSize) {
  ConsumerConfig config = Config();
  config.headers_only = true;
  Make(config);
  host.Store("a", "12345");
  host.Store("a", "123", "NATS/1.0\r\nK: v\r\n\r\n");
  host.Turn();
  EXPECT_EQ(host.Take(), "d a {Nats-Msg-Size: 5}  [1 1 1 1]\nd a {K: v,Nats-Msg-Size: 3}  [1 2 2 0]");
}

TEST_F(PushTest, IdleHeartbeats) {
  ConsumerConfig config = Config();
  config.idle_heartbeat_ns = kNsPerSecond;
  Make(config);
  EXPECT_EQ(After(milliseconds(1001)), "d 100 Idle Heartbeat Nats-Last-Consumer: 0 Nats-Last-Stream: 0");
  host.fake.Advance(milliseconds(500));
  Fill({"a"});
  EXPECT_EQ(host.Take(), "d a m1 [1 1 1 0]");
  EXPECT_EQ(After(milliseconds(900)), "");
  EXPECT_EQ(After(milliseconds(110)), "d 100 Idle Heartbeat Nats-Last-Consumer: 1 Nats-Last-Stream: 1");
}

TEST_F(PushTest, FlowControlAsksAndStalls) {
  ConsumerConfig config = Config();
  config.idle_heartbeat_ns = kNsPerSecond;
  config.flow_control = true;
  Make(config);
  const std::string body(100'000, 'x');
  for (int i = 0; i < 40; ++i) host.Store("a", body);
  host.Turn();
  // The window is 2 MiB; the question comes when half of it is out.
  size_t messages = 0, questions = 0, before = 0;
  std::string question;
  for (const FakePort::Record& one : host.fake.sent) {
    if (one.subject.empty()) {
      EXPECT_EQ(one.header, "NATS/1.0 100 FlowControl Request\r\n\r\n");
      ++questions;
      question = one.reply;
      before = messages;
    } else {
      ++messages;
    }
  }
  EXPECT_EQ(questions, 1u);
  EXPECT_EQ(before, 11u);
  EXPECT_EQ(messages, 21u);
  EXPECT_TRUE(question.starts_with("$JS.FC.S.C."));
  EXPECT_EQ(question.size(), 15u);
  host.fake.sent.clear();
  EXPECT_EQ(After(milliseconds(1001)), "d 100 Idle Heartbeat Nats-Last-Consumer: 21 Nats-Last-Stream: 21 "
                                       "Nats-Consumer-Stalled: " + question);
  host.consumer->OnFlowControlReply("$JS.FC.S.C.else", {});
  host.Turn();
  EXPECT_EQ(host.Take(), "");
  host.consumer->OnFlowControlReply(question, {});
  host.Turn();
  EXPECT_EQ(host.fake.sent.size(), 20u);  // the rest, and the next question
}

// A message as large as the window, behind a question: the answer gives it back with what was asked for, or nothing
// would ever be sent again.
TEST_F(PushTest, FlowControlGivesBackAWindowThatWasSentBehindTheQuestion) {
  ConsumerConfig config = Config();
  config.idle_heartbeat_ns = kNsPerSecond;
  config.flow_control = true;
  Make(config);
  const auto questions = [this] {
    std::vector<std::string> found;
    for (const FakePort::Record& one : host.fake.sent) {
      if (one.subject.empty()) found.push_back(one.reply);
    }
    return found;
  };
  for (int i = 0; i < 11; ++i) host.Store("a", std::string(100'000, 'x'));
  host.Store("a", std::string(3'000'000, 'y'));
  host.Turn();
  ASSERT_EQ(questions().size(), 1u);
  ASSERT_EQ(host.fake.sent.size(), 13u);
  const std::string question = questions()[0];
  host.fake.sent.clear();
  host.consumer->OnFlowControlReply(question, {});
  host.Turn();
  EXPECT_EQ(host.fake.sent.size(), 0u);
  // A window again, twice as large behind an answer: a question behind its half, and then until it is full.
  for (int i = 0; i < 60; ++i) host.Store("a", std::string(100'000, 'x'));
  host.Turn();
  EXPECT_EQ(questions().size(), 1u);
  EXPECT_EQ(host.fake.sent.size(), 43u);
  EXPECT_TRUE(host.fake.sent[21].subject.empty());
}

TEST_F(PushTest, FlowControlAcknowledges) {
  host.keep = Retention::kInterest;
  ConsumerConfig config = Config();
  config.ack_policy = AckPolicy::kFlowControl;
  config.idle_heartbeat_ns = kNsPerSecond;
  config.flow_control = true;
  config.max_ack_pending = 2;
  host.fake.interest.insert("d");
  config.ack_wait_ns = 1;  // taken back below: the fake sets a wait where there is none
  host.Make(config);
  config.ack_wait_ns = 0;
  host.consumer->UpdateConfig(config);
  Fill({"a", "a", "a"});
  const std::string first = host.Take();
  EXPECT_TRUE(first.starts_with("d a m1 [1 1 1 2]\nd a m2 [1 2 2 1]\nd 100 FlowControl Request [$JS.FC.S.C]")) << first;
  const std::string_view received = "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n";
  host.consumer->OnFlowControlReply(host.LastReply(), received);
  host.Turn();
  EXPECT_EQ(host.acked, (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(host.Take(), "d a m3 [1 3 3 0]");
  EXPECT_EQ(host.consumer->Info().ack_floor.stream_seq, 2u);
  // Whatever a client says it has received.
  const std::string_view all =
      "NATS/1.0\r\nNats-Last-Consumer: 18446744073709551615\r\nNats-Last-Stream: 18446744073709551615\r\n\r\n";
  host.consumer->OnFlowControlReply(host.LastReply(), all);
  host.Turn();
  EXPECT_LE(host.consumer->Info().ack_floor.stream_seq, 3u);
  const absl::StatusOr<uint64_t> reset = host.consumer->Reset(0);
  ASSERT_TRUE(reset.ok());
  EXPECT_LE(*reset, 4u);
}

TEST_F(PushTest, ARateLimitBelowAByteASecondIsSlow) {
  ConsumerConfig config = Config();
  config.rate_limit_bps = 4;
  Make(config);
  const std::string body(450, 'x');
  for (int i = 0; i < 4; ++i) host.Store("a", body);
  host.Turn();
  EXPECT_EQ(host.fake.sent.size(), 2u);
  host.fake.Advance(seconds(100));
  EXPECT_EQ(host.fake.sent.size(), 2u);
  host.fake.Advance(seconds(10'000));
  EXPECT_GE(host.fake.sent.size(), 3u);
}

TEST_F(PushTest, RateLimitSpreadsMessages) {
  ConsumerConfig config = Config();
  config.rate_limit_bps = 8000;  // 1000 bytes a second, and as much at once
  Make(config);
  const std::string body(450, 'x');
  for (int i = 0; i < 4; ++i) host.Store("a", body);
  host.Turn();
  EXPECT_EQ(host.fake.sent.size(), 2u);
  host.fake.Advance(milliseconds(300));
  EXPECT_EQ(host.fake.sent.size(), 2u);
  host.fake.Advance(milliseconds(250));
  EXPECT_EQ(host.fake.sent.size(), 3u);
  host.fake.Advance(milliseconds(600));
  EXPECT_EQ(host.fake.sent.size(), 4u);
}

TEST_F(PushTest, ReplayKeepsTheOriginalPace) {
  host.Store("a", "m1");
  host.fake.Advance(seconds(3));
  host.Store("a", "m2");
  host.fake.Advance(seconds(1));
  host.Store("a", "m3");
  ConsumerConfig config = Config();
  config.replay_policy = ReplayPolicy::kOriginal;
  EXPECT_EQ(Make(config), "d a m1 [1 1 1 2]");
  EXPECT_EQ(After(milliseconds(2990)), "");
  EXPECT_EQ(After(milliseconds(20)), "d a m2 [1 2 2 1]");
  EXPECT_EQ(After(milliseconds(1010)), "d a m3 [1 3 3 0]");
  host.fake.Advance(seconds(50));
  host.Store("a", "m4");
  host.Turn();
  EXPECT_EQ(host.Take(), "d a m4 [1 4 4 0]");
}

TEST_F(PushTest, PauseHoldsAndResumes) {
  host.fake.interest.insert("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C");
  Make(Config());
  host.consumer->Pause(host.fake.WallNs() + 2 * kNsPerSecond);
  Fill({"a"});
  EXPECT_EQ(host.Take(), "");
  EXPECT_TRUE(host.consumer->Info().paused);
  EXPECT_EQ(host.consumer->Info().pause_remaining_ns, 2 * kNsPerSecond);
  EXPECT_EQ(After(milliseconds(2001)), "d a m1 [1 1 1 0]");
  EXPECT_FALSE(host.consumer->Info().paused);
  ASSERT_EQ(host.advisories.size(), 2u);
  EXPECT_NE(host.advisories[0].find("\"paused\":true"), std::string::npos);
  EXPECT_NE(host.advisories[1].find("\"paused\":false"), std::string::npos);
  host.consumer->Pause(host.fake.WallNs() + 2 * kNsPerSecond);
  Fill({"a"});
  host.consumer->Pause(0);
  host.Turn();
  EXPECT_EQ(host.Take(), "d a m2 [1 2 2 0]");
}

TEST_F(PushTest, ANewDeliverSubjectGetsWhatIsNotAcknowledged) {
  ConsumerConfig config = Config();
  config.ack_policy = AckPolicy::kExplicit;
  config.ack_wait_ns = 30 * kNsPerSecond;
  config.max_deliver = -1;
  Make(config);
  Fill({"a", "a"});
  host.Take();
  host.Ack(host.last[0].reply);
  host.fake.interest = {"e"};
  config.deliver_subject = "e";
  config.name = "C";
  host.consumer->UpdateConfig(config);
  host.Turn();
  EXPECT_EQ(host.Take(), "e a m2 [2 2 3 0]");
}

TEST_F(PushTest, NewFiltersAreCounted) {
  ConsumerConfig config = Config();
  config.filter_subject = "a";
  host.Make(config);
  Fill({"a", "b", "b"});
  EXPECT_EQ(host.consumer->Info().num_pending, 1u);
  config.filter_subject = "";
  config.filter_subjects = {"a", "b"};
  host.consumer->UpdateConfig(config);
  EXPECT_EQ(host.consumer->Info().num_pending, 3u);
  host.fake.interest.insert("d");
  host.consumer->CheckInterest();
  host.Turn();
  EXPECT_EQ(host.Take(), "d a m1 [1 1 1 2]\nd b m2 [1 2 2 1]\nd b m3 [1 3 3 0]");
}

TEST_F(PushTest, AnIdleConsumerIsSmall) { EXPECT_LE(sizeof(Consumer), 1900u); }

}  // namespace
}  // namespace millrace
