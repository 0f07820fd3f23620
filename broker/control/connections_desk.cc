// SPDX-License-Identifier: Apache-2.0
#include "broker/control/connections_desk.h"

#include <algorithm>
#include <memory>

#include "broker/monitor/pages.h"
#include "broker/system/beats/system_beats.h"

namespace millrace {

void ConnectionsDesk::OnChanges(const AccountChanges& noted) {
  waiting_.insert(waiting_.end(), noted.changes.begin(), noted.changes.end());
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

// Each change with the number that it has led to, and with the other figures as they are now.
void ConnectionsDesk::Tell(const std::vector<AccountConnections>& changes, const MonitorData& data) {
  const ServerView view = view_();
  auto told = std::make_unique<AccountStats>();
  for (const AccountConnections& change : changes) {
    const std::string& name = view.accounts[change.account].name;
    const auto at = std::find_if(data.accounts.begin(), data.accounts.end(),
                                 [&name](const AccountSnapshot& each) { return each.name == name; });
    if (at == data.accounts.end()) continue;  // a reload has taken it away
    AccountSnapshot account = *at;
    account.clients = static_cast<int>(change.connections);
    JsonWriter out(JsonLayout::kCompact);
    RenderAccountStat(account, &out);
    told->stats.push_back({change, std::move(out).Take()});
  }
  mesh_.port(mesh_.control()).SendParcel(0, std::make_unique<PartParcel>(kBeatsPart, std::move(told)));
}

}  // namespace millrace
