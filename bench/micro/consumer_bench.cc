// SPDX-License-Identifier: Apache-2.0
// What a consumer costs a message, apart from loading and publishing it: the log and the port here do nothing.
// Aims: 150 ns to deliver 128 B, by push or by pull; 150 ns for an explicit ack, its subject parsed.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/jetstream/consumer/consumer.h"

namespace millrace {
namespace {

class EndlessLog : public StreamLog {
 public:
  EndlessLog() {
    state_.messages = state_.last_seq = 1'000'000'000;
    state_.first_seq = 1;
  }
  uint64_t uid() const override { return 1; }
  const StreamLogState& state() const override { return state_; }
  const StreamLogOptions& options() const override { return options_; }
  void set_options(const StreamLogOptions&) override {}
  void set_listener(StreamLogListener*) override {}
  void set_bytes_sum(BytesSum*) override {}
  Lsn Append(const StoredMessage&) override { return 0; }
  Lsn SkipTo(uint64_t) override { return 0; }
  Lsn Remove(uint64_t, Erase) override { return 0; }
  Lsn RemoveMany(const std::vector<uint64_t>&) override { return 0; }
  Lsn TrimBelow(uint64_t) override { return 0; }
  Lsn Purge() override { return 0; }
  LoadStatus Load(uint64_t seq, StoredMessage* message) override {
    message->seq = seq;
    message->time_ns = 1'700'000'000'000'000'000 + static_cast<int64_t>(seq) * 1000;
    message->subject = "orders.eu.1234";
    message->payload = payload_;
    message->header_bytes = 0;
    return LoadStatus::kFound;
  }
  uint64_t Next(const Filters&, uint64_t from) override { return from; }
  uint64_t Previous(const Filters&, uint64_t from) override { return from; }
  uint64_t Count(const Filters&, uint64_t from, bool) override { return state_.last_seq - from + 1; }
  std::optional<SubjectState> FindSubject(std::string_view) override { return std::nullopt; }
  void ForEachSubject(const Filters&, const std::function<bool(std::string_view, const SubjectState&)>&) override {}
  std::vector<uint64_t> LastPerSubject(const Filters&, uint64_t, size_t) override { return {}; }
  uint64_t FirstAtOrAfter(int64_t) override { return 1; }
  std::vector<uint64_t> OlderThanLast(uint64_t) override { return {}; }
  uint64_t FirstWithin(uint64_t, uint64_t) override { return 0; }
  std::vector<uint64_t> Deleted(size_t) override { return {}; }

 private:
  StreamLogState state_;
  StreamLogOptions options_;
  std::string payload_ = std::string(128, 'x');
};

class NullPort : public JetStreamPort {
 public:
  Nanos Now() override { return now; }
  int64_t WallNs() override { return 1'700'000'000'000'000'000 + now.count(); }
  uint64_t Random() override { return 4; }
  TimerWheel& timers() override { return timers_; }
  LogPort& log() override { return log_; }
  Sent Publish(const Outgoing& out) override {
    bytes += out.payload.size();
    if (keep != nullptr) keep->emplace_back(out.reply);
    return Sent::kDelivered;
  }
  bool HasInterest(AccountId, std::string_view) override { return true; }
  bool HasSubscription(AccountId, std::string_view, std::string_view) override { return false; }
  uint64_t InterestEpoch() override { return 1; }
  Subscription* Subscribe(AccountId, std::string_view, Sink*) override { return nullptr; }
  void Unsubscribe(Subscription*) override {}

  Nanos now = std::chrono::seconds(1);
  uint64_t bytes = 0;
  std::vector<std::string>* keep = nullptr;

 private:
  TimerWheel timers_{std::chrono::seconds(1)};
  LogPort log_{[] { return int64_t{0}; }, [](std::vector<LogLine>&&) {}, LogVerbosity{}};
};

class NullHost : public ConsumerHost {
 public:
  NullPort& port() override { return null; }
  AccountId account() const override { return kGlobalAccount; }
  std::string_view account_name() const override { return "$G"; }
  std::string_view domain() const override { return ""; }
  std::string_view stream_name() const override { return "ORDERS"; }
  Retention retention() const override { return Retention::kLimits; }
  int64_t max_messages_per_subject() const override { return -1; }
  uint64_t message_bytes_max() const override { return 1 << 20; }
  uint64_t visible_last_seq() const override { return 1'000'000'000; }
  bool HasDeliverInterest(std::string_view, std::string_view) override { return true; }
  void MarkReady(Consumer*) override {}
  void OnAcked(Consumer*, uint64_t) override {}
  void SendLater(std::string_view, std::string_view) override {}
  void ReplyToAck(Consumer*, std::string_view) override {}
  std::string NewId() override { return "x"; }
  void Advisory(std::string_view, std::string) override {}
  void Persist(Consumer*, std::string_view delta) override { persisted += delta.size(); }
  void Delete(Consumer*) override {}

  NullPort null;
  uint64_t persisted = 0;
};

ConsumerConfig Config(AckPolicy policy, bool push) {
  ConsumerConfig config;
  config.durable_name = "worker";
  config.ack_policy = policy;
  if (policy != AckPolicy::kNone) config.ack_wait_ns = 30'000'000'000;
  config.max_deliver = -1;
  config.max_ack_pending = -1;
  if (push) {
    config.deliver_subject = "_INBOX.abcdefghijklmnopqrstuv";
  } else {
    config.max_waiting = 512;
  }
  return config;
}

constexpr int64_t kTurn = 256;  // messages a turn

void Push(benchmark::State& state, AckPolicy policy) {
  EndlessLog log;
  NullHost host;
  Consumer consumer(Config(policy, true), {"worker", 0, 1, true}, log, host);
  consumer.Start();
  uint64_t acked = 0;
  for (auto _ : state) {
    host.null.now += std::chrono::microseconds(100);
    DeliverBudget budget{kTurn, INT64_MAX};
    consumer.Deliver(&budget);
    if (policy == AckPolicy::kNone) continue;
    state.PauseTiming();
    for (int64_t i = 0; i < kTurn; ++i) {
      ++acked;
      AckSubject ack;
      ack.deliveries = 1;
      ack.stream_seq = ack.consumer_seq = acked;
      consumer.OnAck(ack, {}, {});
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kTurn);
}

void Pull(benchmark::State& state, int64_t batch) {
  EndlessLog log;
  NullHost host;
  Consumer consumer(Config(AckPolicy::kExplicit, false), {"worker", 0, 1, true}, log, host);
  consumer.Start();
  const std::string body = R"({"batch":)" + std::to_string(batch) + R"(,"expires":30000000000})";
  uint64_t acked = 0;
  for (auto _ : state) {
    host.null.now += std::chrono::microseconds(100);
    for (int64_t i = 0; i < kTurn; i += batch) consumer.OnNextRequest("_INBOX.abcdefghijklmnopqrstuv.12", {}, body);
    DeliverBudget budget{kTurn, INT64_MAX};
    consumer.Deliver(&budget);
    state.PauseTiming();
    for (int64_t i = 0; i < kTurn; ++i) {
      ++acked;
      AckSubject ack;
      ack.deliveries = 1;
      ack.stream_seq = ack.consumer_seq = acked;
      consumer.OnAck(ack, {}, {});
    }
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kTurn);
}

// Acks as they come from a connection: a subject and no body. In order, or from many workers.
void Ack(benchmark::State& state, bool scattered) {
  EndlessLog log;
  NullHost host;
  Consumer consumer(Config(AckPolicy::kExplicit, true), {"worker", 0, 1, true}, log, host);
  consumer.Start();
  std::vector<std::string> subjects;
  const int64_t count = state.range(0);
  for (auto _ : state) {
    state.PauseTiming();
    subjects.clear();
    host.null.keep = &subjects;
    host.null.now += std::chrono::microseconds(100);
    DeliverBudget budget{count, INT64_MAX};
    consumer.Deliver(&budget);
    if (scattered) {
      for (size_t i = subjects.size() - 1; i > 0; --i) std::swap(subjects[i], subjects[(i * 7919 + 13) % (i + 1)]);
    }
    state.ResumeTiming();
    for (const std::string& subject : subjects) {
      AckSubject ack;
      ParseAckSubject(subject, &ack);
      consumer.OnAck(ack, {}, {});
    }
  }
  state.SetItemsProcessed(state.iterations() * count);
}

BENCHMARK_CAPTURE(Push, ack_none, AckPolicy::kNone);
BENCHMARK_CAPTURE(Push, ack_explicit, AckPolicy::kExplicit);
BENCHMARK_CAPTURE(Pull, batch_256, 256);
BENCHMARK_CAPTURE(Pull, batch_1, 1);
BENCHMARK_CAPTURE(Ack, in_order, false)->Arg(1000)->Arg(100'000);
BENCHMARK_CAPTURE(Ack, scattered, true)->Arg(1000)->Arg(100'000);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
