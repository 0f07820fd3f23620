// SPDX-License-Identifier: Apache-2.0
// HttpSpeaker: the server's end of HTTP/1.1 on a connection: requests in, one after the other, each with its answer.
// Owner:  control thread (as Speaker says of shards).
// States: reading -> a request is with the handler (input waits) -> reading; an answer that is the last one closes.
#pragma once

#include <string>
#include <string_view>

#include "broker/http/http.h"
#include "broker/route/outlet.h"
#include "broker/speaker.h"
#include "proto/base/nanos.h"

namespace millrace {

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Answer with HttpSpeaker::Respond of this connection, from inside of this call or later.
  virtual void OnRequest(const ConnectionId& connection, const HttpRequest& request) = 0;
};

class HttpSpeaker final : public Speaker {
 public:
  // For the rest of a request, as Go's ReadHeaderTimeout (nats-server, 5 s). Between requests a connection may be
  // silent.
  static constexpr Nanos kHeadTimeout = std::chrono::seconds(5);

  // `now`: of the turn.
  HttpSpeaker(HttpHandler& handler, SpeakerHost& host, Receiver& receiver, Outlet& outlet, const Nanos& now,
              std::string peer);

  // The answer to the request that the handler has. `keep_alive`: another may follow. Nothing when the connection has
  // closed meanwhile.
  void Respond(std::string_view bytes, bool keep_alive);
  // Now and then: ends the connection when a request has been coming for longer than kHeadTimeout.
  void CheckHead();

  // Speaker.
  void Start() override { head_since_ = now_; }
  void Refuse() override { host_.Close(ClosedReason::kMaxConnectionsExceeded); }
  Progress Consume(std::string_view* input) override;
  size_t bytes_needed() const override { return 0; }
  bool expects_connect() const override { return false; }
  void OnAnswer(Finding) override { MR_CHECK(false); }
  void OnTraceReport(TraceReport&&) override { MR_CHECK(false); }
  void OnUndelivered(std::string_view, std::string_view) override { MR_CHECK(false); }
  void OnKeepAliveTimer() override {}
  void OnAuthTimeout() override { MR_CHECK(false); }
  bool CheckBarrier() override { return true; }
  void RequestBarrierWake() override {}
  void OnConfigChanged(bool, bool) override {}
  void Describe(ConnInfo*, bool) const override {}
  AccountId account() const override { return kNoAccount; }
  void AddTotals(AccountTally*, bool) const override {}
  const std::string& label() const override { return label_; }
  void Invariant() const override;
  void Close(ClosedReason reason) override;

 private:
  // Requests that have come, until one waits for its answer.
  Progress Run();
  void Say(std::string_view bytes);

  HttpHandler& handler_;
  SpeakerHost& host_;
  Receiver& receiver_;
  Outlet& outlet_;
  const Nanos& now_;
  const std::string label_;
  HttpParser parser_;
  Nanos head_since_ = Nanos::max();  // when the request that is coming began; Nanos::max(): none is
  bool running_ = false;             // inside of Run
  bool waiting_ = false;             // for an answer
};

}  // namespace millrace
