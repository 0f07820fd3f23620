// SPDX-License-Identifier: Apache-2.0
// FakeConsumerHost: the port and the host of one consumer: a clock that the test moves, interest that the test sets,
//                   and a list of everything that was published.
// Owner:  caller.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/jetstream/consumer/consumer.h"
#include "store/segment/memory_stream_log.h"
#include "tests/clock_start.h"

namespace millrace {

class FakePort : public JetStreamPort {
 public:
  struct Record {
    std::string to, subject, reply, header, body;
  };

  FakePort() : timers_(now_), log_([this] { return wall_ns_ / 1000; }, [](std::vector<LogLine>&&) {}, LogVerbosity{}) {}

  Nanos Now() override { return now_; }
  int64_t WallNs() override { return wall_ns_; }
  uint64_t Random() override { return random_ = random_ * 6364136223846793005u + 1442695040888963407u; }
  TimerWheel& timers() override { return timers_; }
  LogPort& log() override { return log_; }
  Sent Publish(const Outgoing& out) override {
    if (!HasInterest(out.account, out.deliver_to)) return Sent::kNobody;
    ++published_;
    if (recording_) {
      sent.push_back({std::string(out.deliver_to), std::string(out.subject), std::string(out.reply),
                      std::string(out.payload.substr(0, out.header_bytes)),
                      std::string(out.payload.substr(out.header_bytes))});
    }
    return congested_after != 0 && ++since_relief_ >= congested_after ? Sent::kCongested : Sent::kDelivered;
  }
  bool Relieved(const ConnectionId&) const override { return relieved; }
  bool HasInterest(AccountId, std::string_view subject) override {
    return everybody_listens || interest.contains(std::string(subject));
  }
  bool HasSubscription(AccountId, std::string_view, std::string_view) override { return false; }
  uint64_t InterestEpoch() override { return epoch; }
  Subscription* Subscribe(AccountId, std::string_view, Sink*) override { return nullptr; }
  void Unsubscribe(Subscription*) override {}

  void Advance(Nanos by) {
    const Nanos end = now_ + by;
    while (now_ < end) {  // as turns do: from deadline to deadline
      const Nanos next = std::min(end, std::max(timers_.NextDeadline(), now_ + std::chrono::milliseconds(1)));
      wall_ns_ += (next - now_).count();
      now_ = next;
      timers_.Expire(now_);
      if (turn) turn();
    }
  }
  void set_recording(bool recording) { recording_ = recording; }
  uint64_t published() const { return published_; }
  void Relieve() { since_relief_ = 0; }

  std::vector<Record> sent;
  std::set<std::string> interest;
  bool everybody_listens = false;
  uint64_t epoch = 1;
  uint64_t congested_after = 0;
  bool relieved = true;
  std::function<void()> turn;

 private:
  Nanos now_ = ClockStart(std::chrono::seconds(1000));
  int64_t wall_ns_ = 1'700'000'000'000'000'000;
  uint64_t random_ = 1;
  bool recording_ = true;
  uint64_t published_ = 0;
  uint64_t since_relief_ = 0;
  TimerWheel timers_;
  LogPort log_;
};

class FakeConsumerHost : public ConsumerHost {
 public:
  FakeConsumerHost() : stream(NewMemoryStreamLog(1, StreamLogOptions{.memory = true})) {}

  FakePort& port() override { return fake; }
  AccountId account() const override { return kGlobalAccount; }
  std::string_view account_name() const override { return "$G"; }
  std::string_view domain() const override { return ""; }
  std::string_view stream_name() const override { return "S"; }
  Retention retention() const override { return keep; }
  int64_t max_messages_per_subject() const override { return per_subject; }
  uint64_t message_bytes_max() const override { return 1000; }
  uint64_t visible_last_seq() const override { return visible; }
  bool HasDeliverInterest(std::string_view subject, std::string_view) override {
    return fake.HasInterest(kGlobalAccount, subject);
  }
  void MarkReady(Consumer*) override { ready = true; }
  void OnAcked(Consumer*, uint64_t seq) override { acked.push_back(seq); }
  void SendLater(std::string_view subject, std::string_view header) override {
    if (!fake.HasInterest(kGlobalAccount, subject)) return;
    fake.sent.push_back({std::string(subject), "", "", std::string(header), ""});
  }
  void ReplyToAck(Consumer*, std::string_view reply) override { replies.emplace_back(reply); }
  std::string NewId() override { return "ID" + std::to_string(++ids_); }
  void Advisory(std::string_view subject, std::string json) override {
    advisories.emplace_back(std::string(subject) + " " + json);
  }
  void Persist(Consumer*, std::string_view delta) override { deltas.emplace_back(delta); }
  void Delete(Consumer*) override { deleted = true; }

  // Stores a message; it is visible at once, and the consumer hears of it.
  uint64_t Store(std::string_view subject, std::string_view body, std::string_view header = {}) {
    const uint64_t seq = Stage(subject, body, header);
    Show(seq);
    return seq;
  }
  uint64_t Stage(std::string_view subject, std::string_view body, std::string_view header = {}) {
    StoredMessage message;
    message.seq = stream->state().last_seq + 1;
    message.time_ns = fake.WallNs();
    message.subject = subject;
    std::string payload(header);
    payload.append(body);
    message.payload = payload;
    message.header_bytes = static_cast<uint32_t>(header.size());
    stream->Append(message);
    return message.seq;
  }
  void Show(uint64_t seq) {
    for (visible = visible + 1; visible < seq; ++visible) Announce(visible);
    Announce(seq);
  }
  void Remove(uint64_t seq) {
    StoredMessage message;
    if (stream->Load(seq, &message) != LoadStatus::kFound) return;
    const std::string subject(message.subject);
    stream->Remove(seq, StreamLog::Erase::kNo);
    if (consumer != nullptr) consumer->OnRemoved(seq, subject);
  }
  Consumer& Make(ConsumerConfig config, bool start = true) {
    config.name = "C";
    if (config.ack_policy != AckPolicy::kNone && config.ack_wait_ns == 0) config.ack_wait_ns = 30 * kNsPerSecond;
    if (config.deliver_subject.empty() && config.max_waiting == 0) config.max_waiting = 512;
    if (config.max_deliver == 0) config.max_deliver = -1;
    consumer.reset();
    consumer = std::make_unique<Consumer>(config, ConsumerIdentity{"C", 5, 7, true}, *stream, *this);
    if (start) consumer->Start();
    fake.turn = [this] { Turn(); };
    Turn();
    return *consumer;
  }
  // As the engine does it; returns the last status.
  DeliverStatus Turn(int64_t messages = 1'000'000) {
    DeliverStatus status = DeliverStatus::kIdle;
    while (ready) {
      ready = false;
      DeliverBudget budget{messages, INT64_MAX};
      status = consumer->Deliver(&budget);
    }
    if (consumer != nullptr) consumer->Invariant();
    return status;
  }
  // A restart: the same consumer from what was persisted.
  Consumer& Restart() {
    const ConsumerConfig config = consumer->config();
    consumer.reset();
    consumer = std::make_unique<Consumer>(config, ConsumerIdentity{"C", 5, 7, true}, *stream, *this);
    const std::vector<std::string> saved = deltas;
    EXPECT_TRUE(consumer->RestoreState("", {saved.begin(), saved.end()}).ok());
    Turn();
    return *consumer;
  }
  void Ack(std::string_view reply_subject, std::string_view body = {}, std::string_view reply = {}) {
    AckSubject ack;
    ASSERT_TRUE(ParseAckSubject(reply_subject, &ack)) << reply_subject;
    consumer->OnAck(ack, reply, body);
    Turn();
  }
  // What was sent since the last call, one line each: "to subject body [numbers of the reply]" or "to status headers".
  std::string Take() {
    std::string lines;
    for (const FakePort::Record& one : fake.sent) {
      if (!lines.empty()) lines += "\n";
      lines += one.to;
      if (one.subject.empty()) {
        lines += " " + Joined(one.header.substr(9), " ");  // behind "NATS/1.0 "
        if (!one.reply.empty()) lines += " [" + one.reply.substr(0, one.reply.rfind('.')) + "]";
      } else {
        lines += " " + one.subject;
        if (!one.header.empty()) {
          lines += " {" + Joined(one.header.substr(10), ",") + "}";
        }
        lines += " " + one.body;
        AckSubject ack;
        EXPECT_TRUE(ParseAckSubject(one.reply, &ack)) << one.reply;
        lines += " [" + std::to_string(ack.deliveries) + " " + std::to_string(ack.stream_seq) + " " +
                 std::to_string(ack.consumer_seq) + " " + std::to_string(ack.pending()) + "]";
      }
    }
    last = fake.sent;
    fake.sent.clear();
    return lines;
  }
  std::string LastReply() const { return last.back().reply; }

  FakePort fake;
  std::unique_ptr<StreamLog> stream;
  std::unique_ptr<Consumer> consumer;
  Retention keep = Retention::kLimits;
  int64_t per_subject = -1;
  uint64_t visible = 0;
  bool ready = false;
  bool deleted = false;
  std::vector<uint64_t> acked;
  std::vector<std::string> replies, advisories, deltas;
  std::vector<FakePort::Record> last;

 private:
  // Header lines without the two line ends at the end.
  static std::string Joined(std::string header, std::string_view by) {
    header.resize(header.size() - 4);
    for (size_t at = header.find("\r\n"); at != std::string::npos; at = header.find("\r\n")) header.replace(at, 2, by);
    return header;
  }
  void Announce(uint64_t seq) {
    StoredMessage message;
    if (stream->Load(seq, &message) != LoadStatus::kFound || consumer == nullptr) return;
    const std::string subject(message.subject);
    consumer->OnAppended(seq, subject, message.payload.size());
  }

  int ids_ = 0;
};

}  // namespace millrace
