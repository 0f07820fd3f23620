// SPDX-License-Identifier: Apache-2.0
#include "broker/control/connections_desk.h"

#include <memory>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "broker/monitor/pages.h"
#include "broker/system/beats/system_beats.h"

namespace millrace {

void ConnectionsDesk::OnChanges(const AccountChanges& noted) {
  waiting_.insert(waiting_.end(), noted.changes.begin(), noted.changes.end());
  if (!asking_) Ask();
}

void ConnectionsDesk::OnRequest(AccountId account, std::string reply) {
  waiting_.push_back({.account = account, .reply = std::move(reply)});
  if (!asking_) Ask();
}

void ConnectionsDesk::Ask() {
  asking_ = true;
  MonitorRequest request;
  request.needs = kNeedAccountStats;
  ask_(request, [this, changes = std::exchange(waiting_, {})](MonitorData&& data) {
    Tell(changes, data);
    asking_ = false;
    if (!waiting_.empty()) Ask();
  });
}

// Each change with the number that it has led to, and with the other figures as they are now; who has asked hears the
// number of now.
void ConnectionsDesk::Tell(const std::vector<AccountConnections>& changes, const MonitorData& data) {
  const ServerView view = view_();
  absl::flat_hash_map<std::string_view, const AccountSnapshot*> by_name;
  for (const AccountSnapshot& account : data.accounts) by_name.emplace(account.name, &account);
  auto told = std::make_unique<AccountStats>();
  for (AccountConnections change : changes) {
    const auto at = by_name.find(view.accounts[change.account].name);
    if (at == by_name.end()) continue;  // a reload has taken it away
    AccountSnapshot account = *at->second;
    if (!change.reply.empty()) change.connections = account.clients;
    if (!change.reply.empty() && account.clients == 0) continue;
    account.clients = static_cast<int>(change.connections);
    JsonWriter out(JsonLayout::kCompact);
    RenderAccountStat(account, &out);
    told->stats.push_back({std::move(change), std::move(out).Take()});
  }
  mesh_.port(mesh_.control()).SendParcel(0, std::make_unique<PartParcel>(kBeatsPart, std::move(told)));
}

}  // namespace millrace
