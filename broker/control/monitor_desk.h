// SPDX-License-Identifier: Apache-2.0
// MonitorDesk: the monitoring port: takes requests, has gathered what a page needs (page_queries.h), and answers.
// Owner:  control thread.
// Bounds: answers lie whole in the outbox of their connection; a connection has one request under way.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/admin.h"
#include "broker/control/http_speaker.h"
#include "broker/control/page_queries.h"
#include "broker/io/io.h"
#include "broker/io/timer_wheel.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"
#include "broker/monitor/service.h"
#include "broker/net/acceptor.h"
#include "broker/net/connection.h"

namespace millrace {

class MonitorDesk final : public ConnectionHost, public AcceptorHost, public HttpHandler {
 public:
  MonitorDesk(Io& io, TimerWheel& timers, Mesh& mesh, Logger& log, WallClock clock, PageQueries::View view);
  ~MonitorDesk() override;

  // Takes connections of `listener`, which it closes when it stops.
  void Serve(int listener, std::string_view base_path);
  // A shard's answer.
  void OnAnswer(Answer& answer) { queries_.OnAnswer(answer); }
  // For others who show pages as well.
  PageQueries& queries() { return queries_; }
  // Of the pages that were asked for here, by path.
  const std::map<std::string, uint64_t>& http_req_stats() const {
    return service_ != nullptr ? service_->http_req_stats() : none_;
  }

  // Around what the control thread does between two waits.
  void BeginTurn();
  void FinishTurn();

  // Nothing is accepted any more, and every connection ends.
  void Stop();
  bool stopped() const { return connections_.empty() && (acceptor_ == nullptr || acceptor_->ended()); }

 private:
  struct Open {
    std::unique_ptr<Connection> connection;
    HttpSpeaker* speaker;  // the connection's
  };
  // AcceptorHost.
  void OnAccepted(SpeakerKind kind, int fd) override;
  void OnAcceptorEnded(Acceptor*) override {}
  // ConnectionHost. HTTP knows neither barriers nor questions, and publishes nothing.
  void OnClosing(Connection*) override {}
  void OnEnded(Connection* connection) override;
  void OnSlow(Connection*) override {}
  void OnBarrier(Connection*) override { MR_CHECK(false); }
  void OnStalled(Connection*) override { MR_CHECK(false); }
  void OnCongested(Connection*) override { MR_CHECK(false); }
  void OnRearm(Connection* connection) override { rearm_.push_back(connection->id()); }
  void OnQuestion(Connection*, Question) override { MR_CHECK(false); }
  void OnPostponed(Connection*) override { MR_CHECK(false); }
  void OnWithdrawn(Connection*) override { MR_CHECK(false); }
  uint64_t Random() override { return 0; }
  // HttpHandler.
  void OnRequest(const ConnectionId& connection, const HttpRequest& request) override;

  void OnSecond();
  Open* Find(const ConnectionId& id);
  // A copy: one that ends leaves the map.
  std::vector<ConnectionId> Ids() const;

  Io& io_;
  TimerWheel& timers_;
  Mesh& mesh_;
  MeshPort& port_;
  PageQueries queries_;
  Logger& logger_;
  const WallClock clock_;
  LogPort log_;
  ChunkPool chunks_;
  Outlet outlet_;
  Nanos now_;
  int64_t wall_ns_ = 0;
  ConnectionShared shared_;
  TimerNode second_;

  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<MonitorService> service_;
  bool stopping_ = false;
  std::map<uint64_t, Open> connections_;  // by cid
  std::vector<std::unique_ptr<Connection>> graveyard_;  // ended; freed at the end of the turn
  std::vector<ConnectionId> rearm_;
  uint64_t next_cid_ = 1;
  const std::map<std::string, uint64_t> none_;
};

}  // namespace millrace
