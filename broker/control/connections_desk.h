// SPDX-License-Identifier: Apache-2.0
// ConnectionsDesk: gathers what the system account is told of an account whose connections have become more or fewer
//                  (E-03): figures of all shards.
// Owner:  control thread. Shard 0 tells it (system/beats/system_beats.h).
// Bounds: one round of mail at a time. Changes meanwhile wait for the next one, so however many clients come and go,
//         all connections are counted once a round.
// Proof:  connections_desk_test.cc, tests/interop/system_events.py.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "broker/admin.h"
#include "broker/control/page_queries.h"
#include "broker/mesh/mesh.h"

namespace millrace {

class ConnectionsDesk {
 public:
  // Asks the shards.
  using AskShards = std::function<void(const MonitorRequest& request, PageQueries::Done done)>;

  ConnectionsDesk(Mesh& mesh, AskShards ask, PageQueries::View view)
      : mesh_(mesh), ask_(std::move(ask)), view_(std::move(view)) {}

  void OnChanges(const AccountChanges& noted);
  // Somebody asks how many an account has (E-12); one without any is not spoken of.
  void OnRequest(AccountId account, std::string reply);

 private:
  void Ask();
  void Tell(const std::vector<AccountConnections>& changes, const MonitorData& data);

  Mesh& mesh_;
  const AskShards ask_;
  const PageQueries::View view_;
  std::vector<AccountConnections> waiting_;
  bool asking_ = false;
};

}  // namespace millrace
