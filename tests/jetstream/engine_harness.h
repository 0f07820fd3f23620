// SPDX-License-Identifier: Apache-2.0
// EngineHarness: JetStream on one shard with a real router, a store without a disk and a clock that the test turns.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/engine/router_port.h"
#include "tests/clock_start.h"
#include "tests/jetstream/volatile_store.h"
#include "tests/route/shards.h"

namespace millrace {

class EngineHarness {
 public:
  // One message as a client reads it from the wire.
  struct Received {
    std::string subject;
    std::string sid;
    std::string reply;
    std::string header;
    std::string body;
  };

  // A client that takes everything.
  class Client final : public SubscriptionOwner {
   public:
    Client(EngineHarness& harness, uint64_t cid, AccountId account = kGlobalAccount)
        : harness_(harness), account_(account), receiver(harness.shards_[0].chunks) {
      receiver.id = ConnectionId{0, static_cast<uint32_t>(cid), cid};
      receiver.owner = this;
      receiver.headers = true;
    }
    ~Client() override {
      for (Subscription* sub : subs_) harness_.shards_[0].interest.Remove(sub);
      harness_.shards_[0].interest.FreeRemoved();
    }
    Subscription* Subscribe(std::string_view filter, std::string_view sid = "1", std::string_view queue = "") {
      Subscription* sub = Subscription::Create(account_, &receiver, nullptr, filter, queue, sid);
      harness_.shards_[0].interest.Insert(sub);
      subs_.push_back(sub);
      return sub;
    }
    void Unsubscribe(Subscription* sub) {
      std::erase(subs_, sub);
      harness_.shards_[0].interest.Remove(sub);
    }
    void OnAutoUnsubscribed(Subscription* sub) override { std::erase(subs_, sub); }
    std::string_view client_name() const override { return "test"; }
    AccountId account() const override { return account_; }
    Nanos rtt() const override { return Nanos{0}; }
    std::string RequestorJson(const RequestorDetail&) const override { return "{}"; }
    std::vector<Received> Take();

   private:
    EngineHarness& harness_;
    const AccountId account_;
    std::vector<Subscription*> subs_;

   public:
    Receiver receiver;
  };

  // Another store than the one without a disk, and what goes with it.
  struct Setting {
    ShardStore* store = nullptr;
    int64_t wall_ns = 1'700'000'000'000'000'000;
    std::function<bool()> on_turn;  // behind every one; true: there is more to wait for
    std::function<void(VolatileStore&)> before;  // the engine starts
  };

  explicit EngineHarness(JetStreamEngineOptions options = {}) : EngineHarness(std::move(options), Setting{}) {}
  EngineHarness(JetStreamEngineOptions options, const Setting& setting)
      : shards_(1),
        wall_ns_(setting.wall_ns),
        on_turn_(setting.on_turn),
        timers_(now_),
        log_([] { return int64_t{0}; },
             [this](std::vector<LogLine>&& lines) {
               for (LogLine& line : lines) lines_.push_back(std::move(line.text));
             },
             LogVerbosity{}),
        port_(PartHost{.router = shards_[0].router,
                       .subscriptions = subscriptions_,
                       .chunks = shards_[0].chunks,
                       .timers = timers_,
                       .log = log_,
                       .now = now_,
                       .wall_ns = wall_ns_,
                       .random = [this] { return Random(); },
                       .relieved = [](const ConnectionId&) { return true; }}) {
    // All that engines are tested for holds as well where streams are at rest whenever they may be.
    if (std::getenv("MR_TEST_REST") != nullptr) options.streams = StreamTableOptions{0, Nanos{0}};
    for (int64_t* max : {&options.memory_max, &options.storage_max}) {
      if (*max == 0) *max = int64_t{1} << 40;
    }
    if (options.accounts.empty()) {
      const AccountTable accounts;
      options.accounts = {{accounts.global()}, {accounts.system()}};
      options.system_account = accounts.system().id;
    }
    options.unnamed_account = kGlobalAccount;
    if (setting.before) setting.before(store_);
    ShardStore& store = setting.store != nullptr ? *setting.store : store_;
    engine_ = std::make_unique<JetStream>(port_, store, options);
    engine_->Start();
  }
  ~EngineHarness() {
    engine_.reset();
    shards_[0].interest.FreeRemoved();
  }

  // Publishes as a client would: into whatever subscribes, in the account at hand.
  bool Publish(std::string_view subject, std::string_view body, std::string_view reply = "",
               std::string_view header = "", MessageTrace* trace = nullptr) {
    const std::string payload = std::string(header) + std::string(body);
    Message message{.account = account};
    message.subject = subject;
    message.reply = reply;
    message.payload = payload;
    message.header_bytes = static_cast<uint32_t>(header.size());
    message.trace = trace;
    message.by_service = by_service;
    Router& router = shards_[0].router;
    return router.Publish(message, *shards_[0].interest.Match(account, subject).result).delivered;
  }
  // Publishes `bodies` as a client that writes them in a row: as one run. False: the subject takes none.
  bool PublishRun(std::string_view subject, const std::vector<std::string>& bodies) {
    Router& router = shards_[0].router;
    Message common{.account = account};
    common.subject = subject;
    if (!router.OpenRun(common, *shards_[0].interest.Match(account, subject, true).result)) return false;
    std::vector<std::string> tails;
    for (const std::string& body : bodies)
      tails.push_back(std::to_string(body.size()) + "\r\n" + body + "\r\n");
    for (size_t i = 0; i < bodies.size(); ++i) router.AddToRun(subject, tails[i], bodies[i].size(), 0);
    router.FlushRun();
    return true;
  }
  // The payload of the answer ("" when there is none), header block included.
  std::string Request(std::string_view subject, std::string_view body, std::string_view header = "") {
    Client client(*this, 1000, account);
    client.Subscribe("_INBOX.test", "9");
    if (!Publish(subject, body, "_INBOX.test", header)) return "no responders";
    Settle();
    const std::vector<Received> received = client.Take();
    return received.empty() ? "" : received.front().header + received.front().body;
  }
  bool Turn() {
    const bool more = engine_->RunTurn();
    shards_.Settle();
    LookInside();
    return more;
  }
  // Turns until nothing is left to do.
  void Settle() {
    bool more = true;
    for (int turn = 0; more || turn < 2; ++turn) {
      more = engine_->RunTurn();
      shards_.Settle();
      LookInside();
      if (on_turn_ && on_turn_()) more = true;
    }
  }
  void Advance(Nanos by) {
    now_ += by;
    wall_ns_ += by.count();
    timers_.Expire(now_);
    Settle();
  }

  // Whose clients ask and publish, and whose streams are looked at.
  AccountId account = kGlobalAccount;
  // What is published has come through a service import.
  bool by_service = false;

  JetStream& engine() { return *engine_; }
  Stream* FindStream(std::string_view name) { return engine_->FindStream(account, name); }
  VolatileStore& store() { return store_; }
  RouterPort& port() { return port_; }
  std::vector<std::string>& log() {
    log_.Flush();
    return lines_;
  }
  int64_t wall_ns() const { return wall_ns_; }

 private:
  // Between two turns all must fit together. Where there are many streams it is looked at now and then.
  void LookInside() {
    constexpr size_t kFewStreams = 100;
    constexpr uint64_t kSeldom = 64;
    if (engine_->streams().size() <= kFewStreams || ++turns_ % kSeldom == 0) engine_->Invariant();
  }
  uint64_t Random() { return random_ = random_ * 6364136223846793005u + 1442695040888963407u; }

  Shards shards_;
  SinkSubscriptions subscriptions_{shards_[0].interest};
  Nanos now_ = ClockStart(std::chrono::hours(1));
  int64_t wall_ns_;
  std::function<bool()> on_turn_;
  TimerWheel timers_;
  std::vector<std::string> lines_;
  LogPort log_;
  RouterPort port_;
  VolatileStore store_;
  std::unique_ptr<JetStream> engine_;
  uint64_t random_ = 1;
  uint64_t turns_ = 0;
};

// Reads MSG and HMSG from the client's outbox.
inline std::vector<EngineHarness::Received> EngineHarness::Client::Take() {
  std::string text;
  iovec parts[16];
  while (const uint32_t count = receiver.outbox.Gather(parts, 16, 1 << 20)) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; ++i) {
      text.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
      bytes += parts[i].iov_len;
    }
    receiver.outbox.Sent(bytes);
  }
  std::vector<Received> all;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find("\r\n", at);
    std::vector<std::string> words;
    for (size_t from = at; from < end;) {
      const size_t blank = std::min(text.find(' ', from), end);
      words.push_back(text.substr(from, blank - from));
      from = blank + 1;
    }
    const bool headers = words[0] == "HMSG";
    const size_t sizes = headers ? 2 : 1;
    Received one;
    one.subject = words[1];
    one.sid = words[2];
    if (words.size() == 4 + sizes) one.reply = words[3];
    const size_t total = std::stoul(words.back());
    const size_t header = headers ? std::stoul(words[words.size() - 2]) : 0;
    one.header = text.substr(end + 2, header);
    one.body = text.substr(end + 2 + header, total - header);
    all.push_back(std::move(one));
    at = end + 2 + total + 2;
  }
  return all;
}

}  // namespace millrace
