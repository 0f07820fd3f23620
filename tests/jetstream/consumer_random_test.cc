// SPDX-License-Identifier: Apache-2.0
// Goal: whatever happens in whatever order, every message that stays in the stream is delivered until it is
//       acknowledged, counts are exact, and a restart at any moment changes nothing.
// Method: seeded random publishes, requests, acks of all kinds, removals, purges, waits and vanishing clients against
//         one consumer; a second one is restored from what was persisted after every step and compared. In the end all
//         is acknowledged, and nothing may be left.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/jetstream/fake_consumer_host.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Chaos {
 public:
  explicit Chaos(uint64_t seed) : random_(seed) {
    config_.durable_name = "C";
    config_.ack_policy = AckPolicy::kExplicit;
    config_.ack_wait_ns = 5 * kNsPerSecond;
    config_.max_deliver = -1;
    push_ = Roll(3) == 0;
    if (push_) config_.deliver_subject = "d";
    if (Roll(2) == 0) config_.filter_subject = "a.*";
    if (Roll(3) == 0) config_.max_ack_pending = 1 + static_cast<int64_t>(Roll(10));
    if (Roll(3) == 0) config_.backoff_ns = {5 * kNsPerSecond, kNsPerSecond, 8 * kNsPerSecond};
    if (Roll(4) == 0) config_.deliver_policy = DeliverPolicy::kNew;
    if (Roll(4) == 0) config_.headers_only = true;
    host_.fake.interest = {"d", "r0", "r1", "r2"};
    for (uint64_t i = Roll(20); i != 0; --i) Publish();
    host_.Make(config_);
  }

  void Step() {
    switch (Roll(14)) {
      case 0: case 1: case 2:
        for (uint64_t i = 1 + Roll(4); i != 0; --i) Publish();
        break;
      case 3: case 4:
        if (!push_) Ask();
        break;
      case 5: case 6: case 7: case 8:
        AckSome();
        break;
      case 9:
        host_.fake.Advance(milliseconds(Roll(4000)));
        break;
      case 10:
        if (Roll(3) == 0 && host_.stream->state().messages != 0) {
          host_.Remove(host_.stream->state().first_seq + Roll(host_.stream->state().last_seq -
                                                              host_.stream->state().first_seq + 1));
        }
        break;
      case 11:
        if (Roll(10) == 0) Purge();
        break;
      case 12:
        Vanish();
        break;
      default:
        if (Roll(4) == 0) {
          host_.Turn();
          host_.Restart();
          held_.clear();
        }
    }
    host_.Turn(Roll(3) == 0 ? 1 : 1'000'000);
    Collect();
  }

  // Counts agree with a walk over the stream, and with a consumer restored from the record.
  void Check() {
    host_.Turn();
    Collect();
    const ConsumerInfo info = host_.consumer->Info();
    Consumer restored(host_.consumer->config(), ConsumerIdentity{"C", 5, 7, true}, *host_.stream, host_);
    ASSERT_TRUE(restored.RestoreState("", {host_.deltas.begin(), host_.deltas.end()}).ok());
    const ConsumerInfo again = restored.Info();
    ASSERT_EQ(again.delivered.consumer_seq, info.delivered.consumer_seq);
    ASSERT_EQ(again.delivered.stream_seq, info.delivered.stream_seq);
    ASSERT_EQ(again.ack_floor.consumer_seq, info.ack_floor.consumer_seq);
    ASSERT_EQ(again.ack_floor.stream_seq, info.ack_floor.stream_seq);
    ASSERT_EQ(again.num_ack_pending, info.num_ack_pending);
    ASSERT_EQ(again.num_redelivered, info.num_redelivered);
    ASSERT_EQ(again.num_pending, info.num_pending);
    std::string one, other;
    host_.consumer->EncodeState(&one);
    restored.EncodeState(&other);
    ASSERT_EQ(one, other);
    ASSERT_EQ(info.num_pending, host_.stream->Count(host_.consumer->filters(), info.delivered.stream_seq + 1, false));
  }

  void Finish() {
    host_.fake.interest = {"d", "r0", "r1", "r2"};
    host_.consumer->CheckInterest();
    for (int round = 0; round < 400; ++round) {
      if (!push_) Ask();
      host_.Turn();
      Collect();
      for (const auto& [seq, reply] : held_) host_.Ack(reply);
      held_.clear();
      host_.Turn();
      const ConsumerInfo info = host_.consumer->Info();
      if (info.num_pending == 0 && info.num_ack_pending == 0) break;
      host_.fake.Advance(seconds(1));
    }
    const ConsumerInfo info = host_.consumer->Info();
    ASSERT_EQ(info.num_pending, 0u);
    ASSERT_EQ(info.num_ack_pending, 0);
    ASSERT_EQ(info.ack_floor.consumer_seq, info.delivered.consumer_seq);
    for (const auto& [seq, subject] : published_) {
      StoredMessage message;
      if (host_.stream->Load(seq, &message) != LoadStatus::kFound) continue;
      if (!host_.consumer->Matches(message.subject)) continue;
      ASSERT_TRUE(delivered_.contains(seq) || seq < first_expected_) << seq;
      ASSERT_FALSE(host_.consumer->NeedsAck(seq, message.subject)) << seq;
    }
  }

 private:
  uint64_t Roll(uint64_t n) { return random_() % n; }

  void Publish() {
    const std::string subject = (Roll(2) == 0 ? "a." : "b.") + std::to_string(Roll(3));
    published_[host_.Store(subject, "body")] = subject;
    if (config_.deliver_policy == DeliverPolicy::kNew && host_.consumer == nullptr) {
      first_expected_ = host_.stream->state().last_seq + 1;
    }
  }
  void Ask() {
    const std::string reply = "r" + std::to_string(Roll(3));
    std::string body = R"({"batch":)" + std::to_string(1 + Roll(5));
    if (Roll(2) == 0) body += R"(,"expires":)" + std::to_string((1 + Roll(5)) * 1'000'000'000);
    if (Roll(5) == 0) body += R"(,"no_wait":true)";
    if (Roll(5) == 0) body += R"(,"max_bytes":200)";
    host_.consumer->OnNextRequest(reply, {}, body + "}");
  }
  void AckSome() {
    for (uint64_t i = 1 + Roll(3); i != 0 && !held_.empty(); --i) {
      auto it = held_.begin();
      std::advance(it, static_cast<ptrdiff_t>(Roll(std::min<size_t>(held_.size(), 5))));
      static constexpr std::string_view kBodies[] = {"", "", "+ACK", "+TERM", "-NAK", "-NAK 2s", "+WPI"};
      const std::string_view body = kBodies[Roll(std::size(kBodies))];
      const std::string reply = it->second;
      if (!body.starts_with("+W")) held_.erase(it);
      host_.Ack(reply, body, Roll(3) == 0 ? "q" : "");
    }
  }
  void Purge() {
    const StreamLogState& state = host_.stream->state();
    if (state.messages == 0) return;
    const uint64_t first = state.first_seq + Roll(state.last_seq - state.first_seq + 2);
    host_.stream->TrimBelow(first);
    host_.consumer->OnPurged("", host_.stream->state().first_seq, host_.stream->state().last_seq);
  }
  void Vanish() {
    const std::string who = push_ ? "d" : "r" + std::to_string(Roll(3));
    if (host_.fake.interest.contains(who)) {
      host_.fake.interest.erase(who);
    } else {
      host_.fake.interest.insert(who);
    }
    host_.consumer->CheckInterest();
  }
  void Collect() {
    for (const FakePort::Record& one : host_.fake.sent) {
      AckSubject ack;
      if (one.subject.empty() || !ParseAckSubject(one.reply, &ack)) continue;
      delivered_[ack.stream_seq] = ack.deliveries;
      held_[ack.stream_seq] = one.reply;
    }
    host_.fake.sent.clear();
  }

  std::mt19937_64 random_;
  FakeConsumerHost host_;
  ConsumerConfig config_;
  bool push_ = false;
  uint64_t first_expected_ = 0;
  std::map<uint64_t, std::string> published_;
  std::map<uint64_t, uint64_t> delivered_;
  std::map<uint64_t, std::string> held_;  // what clients have and did not acknowledge
};

TEST(ConsumerRandom, NothingIsLostAndRestartsChangeNothing) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    Chaos chaos(seed);
    for (int step = 0; step < 250; ++step) {
      chaos.Step();
      chaos.Check();
      if (testing::Test::HasFatalFailure()) return;
    }
    chaos.Finish();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace millrace
