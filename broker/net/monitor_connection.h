// SPDX-License-Identifier: Apache-2.0
// MonitorConnection: one HTTP connection of the monitoring port.
// Owner:  control thread.  Requests on a connection are answered one after the other.
#pragma once

#include <memory>
#include <string>

#include "broker/io/io.h"
#include "broker/monitor/http.h"

namespace millrace {

class MonitorConnection;

class MonitorHost {
 public:
  virtual ~MonitorHost() = default;
  // Answer with Respond, now or later.
  virtual void OnRequest(MonitorConnection* connection, const HttpRequest& request) = 0;
  virtual void OnEnded(MonitorConnection* connection) = 0;
};

class MonitorConnection {
 public:
  static constexpr Nanos kHeadTimeout = std::chrono::seconds(5);

  MonitorConnection(Io& io, MonitorHost& host, int fd, uint64_t id);
  ~MonitorConnection();
  MonitorConnection(const MonitorConnection&) = delete;
  MonitorConnection& operator=(const MonitorConnection&) = delete;

  void Start();
  void Respond(std::string bytes, bool keep_alive);
  void End();
  // Now and then: ends the connection when a request head has been coming for longer than kHeadTimeout, as Go's
  // ReadHeaderTimeout does (nats-server, 5 s). Between requests a kept connection may be silent.
  void CheckHead(Nanos now);
  uint64_t id() const { return id_; }

 private:
  void OnRecv(const IoResult& result);
  void OnSent(const IoResult& result);
  void NextRequest();
  void SendMore();
  void EndIfIdle();

  Io& io_;
  MonitorHost& host_;
  const int fd_;
  const uint64_t id_;
  Completion recv_;
  Completion send_;
  HttpParser parser_;
  std::string out_;
  size_t sent_ = 0;
  // When we began to wait for the rest of a request; Nanos::max(): we do not.
  Nanos head_since_ = Nanos::max();
  bool waiting_ = false;  // for an answer
  bool keep_alive_ = true;
  bool ending_ = false;
  bool ended_ = false;
};

}  // namespace millrace
