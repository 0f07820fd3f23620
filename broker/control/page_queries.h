// SPDX-License-Identifier: Apache-2.0
// PageQueries: gathers what a page needs: asks all shards when it is something of theirs, and adds what the server
//              itself knows when the last of them has answered. For whoever shows pages: HTTP, the system account.
// Owner:  control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "broker/admin.h"
#include "broker/control/server_view.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"
#include "broker/monitor/process.h"
#include "broker/monitor/service.h"

namespace millrace {

class PageQueries {
 public:
  using View = std::function<ServerView()>;
  // From inside of Ask, or of OnAnswer.
  using Done = std::function<void(MonitorData&&)>;
  using ConnectionDone = std::function<void(const ConnectionReply&)>;

  PageQueries(Mesh& mesh, Logger& log, View view) : mesh_(mesh), log_(log), view_(std::move(view)) {}

  void Ask(const MonitorRequest& request, Done done);
  // Something of one connection, wherever it is.
  void AskConnection(const ConnectionOrder& order, ConnectionDone done);
  // A shard's answer.
  void OnAnswer(Answer& answer);
  // Each second.
  void Tick(Nanos now) { usage_.Tick(now.count()); }

 private:
  struct Asked {
    MonitorRequest request = {};
    MonitorData data = {};
    AccountTally accounts = {};
    std::optional<JetStreamHealth> jetstream_health = {};
    ConnectionReply connection = {};
    uint32_t answers_missing = 0;
    Done done = nullptr;
    ConnectionDone connection_done = nullptr;
  };

  void Send(uint64_t id, const PartQuestion& question, const ConnectionOrder& order);
  void Finish(uint64_t id);
  void Complete(Asked* asked);

  Mesh& mesh_;
  Logger& log_;
  const View view_;
  ProcessUsage usage_;
  std::map<uint64_t, Asked> asked_;
  uint64_t next_ = 1;
};

}  // namespace millrace
