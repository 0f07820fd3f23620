// SPDX-License-Identifier: Apache-2.0
#include "broker/system/beats/system_beats.h"

#include <algorithm>
#include <utility>

namespace millrace {

SystemBeats::SystemBeats(PartHost host, ServerEvents& events, SharedCounts& connections)
    : host_(std::move(host)),
      events_(events),
      connections_(connections),
      server_beat_(host_.now),
      next_search_(host_.now + AccountBeats::kInterval) {}

Nanos SystemBeats::NextTick() const {
  return stopping_ ? Nanos::max() : std::min({server_beat_.next(), account_beats_.next(), next_search_});
}

bool SystemBeats::RunTurn() {
  if (host_.now < NextTick()) return false;
  if (server_beat_.Take(host_.now) && events_.WantsStatistics()) {
    // Without a reply it is told to everybody (control/system_desk.h).
    auto request = std::make_unique<SystemRequest>();
    request->subject = "$SYS.REQ.SERVER.PING";
    MeshPort& mesh = host_.router.mesh();
    mesh.SendParcel(mesh.control(), std::move(request));
  }
  if (host_.now >= next_search_) FindAccounts();
  for (const AccountId account : account_beats_.TakeDue(host_.now)) {
    const int64_t connections = connections_.Get(account);
    if (connections == 0) account_beats_.Told(account, 0, host_.now);
    if (connections > 0) events_.OnConnections(account, connections);
  }
  return false;
}

void SystemBeats::FindAccounts() {
  next_search_ = host_.now + AccountBeats::kInterval;
  for (const Account& account : events_.accounts().all()) {
    if (connections_.Get(account.id) > 0) account_beats_.Find(account.id, host_.now);
  }
}

void SystemBeats::OnMail(std::unique_ptr<PartMail> mail) {
  for (const AccountStats::Stat& stat : static_cast<const AccountStats&>(*mail).stats) {
    events_.TellConnections(stat.change, stat.json);
    account_beats_.Told(stat.change.account, stat.change.connections, host_.now);
  }
}

}  // namespace millrace
