// SPDX-License-Identifier: Apache-2.0
// Sessions: clients of one or more shards on one thread, with real sessions, routers and mesh; only
// the socket is missing.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/account/password_hash.h"
#include "broker/service/service_imports.h"
#include "broker/session/session.h"
#include "tests/clock_start.h"
#include "tests/proto/seeded.h"
#include "tests/route/shards.h"

namespace millrace {

class Sessions {
 public:
  class Client;

  explicit Sessions(uint32_t shards, const Options& options = {}, Nanos start = ClockStart(std::chrono::hours(1)))
      : shards_(shards) {
    SetConfig(options);
    for (uint32_t i = 0; i < shards; ++i) {
      logs_.push_back(std::make_unique<LogPort>([] { return int64_t{0}; },
                                                [this](std::vector<LogLine>&& lines) {
                                                  for (LogLine& line : lines) log_.push_back(std::move(line.text));
                                                },
                                                LogVerbosity{options.debug, options.trace, false}));
      shared_.push_back(std::unique_ptr<SessionShared>(new SessionShared{
          shards_[i].router, shards_[i].counters, *logs_[i], config_.get(), start,
          1'700'000'000'000'000'000, nullptr, [](char* to, size_t bytes) { std::memset(to, 'n', bytes); }}));
    }
    for (uint32_t i = 0; i < shards; ++i) {
      shared_[i]->account_connections = &account_connections_;
      systems_.push_back(std::make_unique<SystemPort>(shards_[i].router, shared_[i]->wall_ns, notices_));
      systems_[i]->set_server(ServerObject(config_->info, config_->options));
      shared_[i]->system = systems_[i].get();
      events_.push_back(std::make_unique<ServerEvents>(*systems_[i], shards_[i].router, shared_[i]->wall_ns, "NSERVER",
                                                       config_->accounts));
      shared_[i]->server_events = events_[i].get();
      shards_[i].router.set_stream_imports(config_->views.stream_imports());
      services_.push_back(std::make_unique<ServiceImports>(shards_[i].router, shared_[i]->now, i, 77 + i));
      services_[i]->Adopt(config_->views);
      services_[i]->latency().set_ask([this, i](const ConnectionId& about, uint64_t question) {
        asked_.push_back({i, about, question});
      });
      shards_[i].router.set_wall_ns(shared_[i]->wall_ns);
    }
    HandleMail();
  }

  // The configuration that sessions see from now on; the one before is freed.
  void SetConfig(const Options& options) {
    auto next = std::make_unique<LoadedConfig>(options, config_.get());
    LoadedConfig& config = *next;
    account_connections_.Reserve(static_cast<uint32_t>(config.accounts.all().size()));
    config.info.server_id = "NSERVER";
    config.info.server_name = "test";
    config.info.host = "0.0.0.0";
    config.info.port = 4222;
    config.info.max_payload = options.max_payload;
    for (const auto& shared : shared_) {
      shared->config = &config;
      shared->router.set_stream_imports(config.views.stream_imports());
    }
    for (const auto& services : services_) services->Adopt(config.views);
    for (const auto& system : systems_) system->set_server(ServerObject(config.info, config.options));
    for (const auto& events : events_) events->set_accounts(config.accounts);
    config_ = std::move(next);
  }

  Client& Connect(uint32_t shard = 0);

  Shards& shards() { return shards_; }
  SessionShared& shared(uint32_t shard) { return *shared_[shard]; }
  ServiceImports& services(uint32_t shard) { return *services_[shard]; }
  const std::vector<std::string>& log() {
    for (const auto& port : logs_) port->Flush();
    return log_;
  }
  void Advance(Nanos by) {
    for (const auto& shared : shared_) shared->now += by;
  }
  // Turns of all shards until nothing moves: barriers fall, mail arrives, the server says what it has to say.
  void Settle();

 private:
  friend class Client;
  struct Asked {
    uint32_t by;
    ConnectionId about;
    uint64_t question;
  };

  Client* Find(const ConnectionId& id);
  void HandleMail();
  void SettleMail();
  void AnswerAsked();

  std::unique_ptr<LoadedConfig> config_;
  SharedCounts account_connections_;
  Shards shards_;
  std::vector<std::string> log_;
  std::vector<std::unique_ptr<LogPort>> logs_;
  std::vector<std::unique_ptr<SessionShared>> shared_;
  SharedSequence notices_{0};
  std::vector<std::unique_ptr<SystemPort>> systems_;
  std::vector<std::unique_ptr<ServerEvents>> events_;
  std::vector<std::unique_ptr<ServiceImports>> services_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Asked> asked_;  // by what a shard measures, of another one
};

// A connection without a socket. Input that a session does not take yet waits here, as in net/connection.cc.
class Sessions::Client final : public SpeakerHost {
 public:
  Client(Sessions& sessions, uint32_t shard, uint64_t cid)
      : sessions_(sessions),
        receiver_(sessions.shards_[shard].chunks),
        id_(receiver_.id = ConnectionId{shard, 0, cid}),
        session_(sessions.shared(shard), *this, receiver_, "127.0.0.1", 5000) {
    session_.Start();
  }
  ~Client() override { Close(); }

  // The connection goes without another word.
  void Close() {
    if (!receiver_.closed) session_.Close(ClosedReason::kClientClosed);
  }

  Session& session() { return session_; }
  Receiver& receiver() { return receiver_; }
  const ConnectionId& id() const { return id_; }
  ConnInfo Describe() const {
    ConnInfo info;
    session_.Describe(&info, true);
    return info;
  }

  Client& Say(std::string_view text) {
    waiting_ += text;
    Go();
    return *this;
  }
  // Everything said to the client since the last call.
  std::string Hear() { return TakeBytes(&receiver_.outbox); }
  // The answer to `text` alone.
  std::string Ask(std::string_view text) {
    Hear();
    Say(text);
    return Hear();
  }

  void Go() {
    if (receiver_.closed || waits) return;
    std::string_view input = waiting_;
    const Session::Progress progress = session_.Consume(&input);
    waiting_.erase(0, waiting_.size() - input.size());
    paused = progress == Session::Progress::kPaused;
    EXPECT_EQ(progress == Session::Progress::kClosed, closed.has_value());
  }
  // What is asked is answered as it is.
  void Answer() { AnswerWith(MatchesHash(question.hash, question.secret) ? Finding::kYes : Finding::kNo); }
  void AnswerWith(Finding finding) {
    ASSERT_TRUE(asking);
    asking = false;
    session_.OnAnswer(finding);
    if (!asking) waits = false;
    Go();
  }

  // SpeakerHost.
  void Close(ClosedReason reason) override {
    EXPECT_FALSE(closed.has_value()) << "closed twice";
    closed = reason;
    session_.Close(reason);
  }
  void Ask(Question asked) override {
    EXPECT_FALSE(asking);
    asking = true;
    question = std::move(asked);
  }
  void OnConnected() override { ++connected; }
  void AwaitBarrier() override { awaiting = true; }
  void AwaitAnswer() override {
    EXPECT_FALSE(waits);
    waits = true;
  }
  void OnAnswered() override { FAIL(); }

  std::optional<ClosedReason> closed;
  bool asking = false;
  bool waits = false;  // for the answer, with all that it says
  bool awaiting = false;
  bool paused = false;
  int connected = 0;
  Question question;

 private:
  Sessions& sessions_;
  Receiver receiver_;
  const ConnectionId id_;
  Session session_;
  std::string waiting_;
};

inline Sessions::Client& Sessions::Connect(uint32_t shard) {
  clients_.push_back(std::make_unique<Client>(*this, shard, 5 + clients_.size()));
  return *clients_.back();
}

inline Sessions::Client* Sessions::Find(const ConnectionId& id) {
  for (const auto& client : clients_) {
    if (client->id() == id && !client->closed.has_value()) return client.get();
  }
  return nullptr;
}

inline void Sessions::HandleMail() {
  shards_.on_undelivered = [this](const ConnectionId& origin, std::string_view subject, std::string_view reply) {
    std::string local_subject(subject), local_reply(reply);
    services_[origin.shard]->GiveBack(&local_subject, &local_reply);
    if (Client* client = Find(origin)) client->session().OnUndelivered(local_subject, local_reply);
  };
  shards_.on_trace_report = [this](TraceReport&& report) {
    if (Client* client = Find(report.origin)) client->session().OnTraceReport(std::move(report));
  };
}

inline void Sessions::SettleMail() {
  bool busy = true;
  while (busy) {
    busy = false;
    for (const auto& system : systems_) busy |= system->Flush();
    shards_.Settle();
    for (const auto& client : clients_) {
      if (!client->awaiting || client->closed.has_value() || !client->session().CheckBarrier()) continue;
      client->awaiting = false;
      client->Go();
      busy = true;
    }
    for (uint32_t i = 0; i < shards_.count(); ++i) {
      for (const Router::Undelivered& request : shards_[i].router.TakeUndelivered()) {
        if (Client* client = Find(request.origin)) client->session().OnUndelivered(request.subject, request.reply);
        busy = true;
      }
    }
  }
  shards_.Settle();
}

inline void Sessions::AnswerAsked() {
  for (const Asked& asked : std::exchange(asked_, {})) {
    Client* const client = Find(asked.about);
    services_[asked.by]->latency().OnClient(
        asked.question, LatencyTracker::Describe(client == nullptr ? nullptr : &client->receiver(), true));
  }
}

inline void Sessions::Settle() {
  do {
    AnswerAsked();
    SettleMail();
    for (const auto& services : services_) services->RunTurn();
    SettleMail();
  } while (!asked_.empty());
}

}  // namespace millrace
