// SPDX-License-Identifier: Apache-2.0
#include "broker/control/page_queries.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "broker/control/account_pages.h"

namespace millrace {
namespace {

constexpr uint32_t kNeedsOfShards =
    kNeedOpenConnections | kNeedClosedConnections | kNeedConnectionSubs | kNeedSublistStats | kNeedSubscriptions |
    kNeedAccountStats | kNeedAccountDetail;
constexpr uint32_t kNeedsOfJetStream = kNeedJetStreamVarz | kNeedJsz | kNeedJetStreamHealth;

}  // namespace

void PageQueries::Ask(const MonitorRequest& request, Done done) {
  const uint64_t id = next_++;
  Asked& asked = asked_[id];
  asked.request = request;
  asked.done = std::move(done);
  const bool jetstream = view_().jetstream != nullptr;
  const uint32_t of_shards = request.needs & (kNeedsOfShards | (jetstream ? kNeedsOfJetStream : 0u));
  if (of_shards == 0) return Finish(id);
  Send(id, PartQuestion{of_shards, request.jsz, request.healthz, request.stats_account()}, {});
}

void PageQueries::AskConnection(const ConnectionOrder& order, ConnectionDone done) {
  const uint64_t id = next_++;
  asked_[id].connection_done = std::move(done);
  Send(id, {}, order);
}

void PageQueries::Send(uint64_t id, const PartQuestion& question, const ConnectionOrder& order) {
  asked_[id].answers_missing = mesh_.shards();
  for (uint32_t shard = 0; shard < mesh_.shards(); ++shard) {
    mesh_.port(mesh_.control()).SendParcel(shard, std::make_unique<Query>(id, question, order));
  }
}

void PageQueries::OnAnswer(Answer& answer) {
  const auto it = asked_.find(answer.request);
  if (it == asked_.end()) return;
  MonitorData& data = it->second.data;
  const auto move_all = [](auto& from, auto& to) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  move_all(answer.open, data.open);
  move_all(answer.closed, data.closed);
  move_all(answer.subs, data.subs);
  data.sublist.Add(answer.sublist);
  it->second.accounts.Add(answer.accounts);
  PartAnswer& parts = answer.parts;
  if (parts.jetstream) data.varz.jetstream = std::move(parts.jetstream);
  if (parts.jsz) data.jsz = std::move(parts.jsz);
  if (parts.health) it->second.jetstream_health = std::move(parts.health);
  if (answer.connection.found) it->second.connection = std::move(answer.connection);
  if (--it->second.answers_missing == 0) Finish(answer.request);
}

void PageQueries::Finish(uint64_t id) {
  const auto at = asked_.find(id);
  Asked asked = std::move(at->second);
  asked_.erase(at);
  if (asked.connection_done != nullptr) return asked.connection_done(asked.connection);
  Complete(&asked);
  asked.done(std::move(asked.data));
}

// What the server knows besides the shards' answers.
void PageQueries::Complete(Asked* asked) {
  const ServerView view = view_();
  const MonitorRequest& request = asked->request;
  MonitorData& data = asked->data;
  data.server_id = view.info.server_id;
  data.server_name = view.info.server_name;
  data.now_ns = view.now_ns;
  // The connections of one account are all that a page by account is about.
  const std::string& account = request.connz.account;
  data.account_known = account.empty() || view.accounts.Find(account) != nullptr;
  const auto is_elsewhere = [&](const ConnInfo& info) { return info.account != account; };
  if (!account.empty()) std::erase_if(data.open, is_elsewhere);
  data.open_total = data.open.size();
  // Shards keep their own; together they keep no more than one ring would.
  const auto closed_max = static_cast<size_t>(std::max(view.options.max_closed_clients, 0));
  if (data.closed.size() > closed_max) {
    std::sort(data.closed.begin(), data.closed.end(),
              [](const ConnInfo& a, const ConnInfo& b) { return a.stop_ns > b.stop_ns; });
    data.closed.resize(closed_max);
  }
  if (!account.empty()) std::erase_if(data.closed, is_elsewhere);
  data.closed_total = data.closed.size();
  data.system_account = view.accounts.system().name;
  for (const Account& each : view.accounts.all()) {
    if (each.exists) data.account_names.push_back(each.name);
  }
  if ((request.needs & kNeedSublistStats) != 0) AddServiceImports(view, request.stats_account(), &data.sublist);
  if ((request.needs & kNeedVarz) != 0) FillVarz(view, mesh_, usage_.Read(), &data.varz);
  if (view.jetstream == nullptr) data.varz.jetstream.reset(), data.jsz.reset();
  if (data.varz.jetstream) AddSettings(*view.jetstream, &*data.varz.jetstream);
  if (data.jsz) AddSettings(*view.jetstream, &data.jsz->server);
  if ((request.needs & kNeedHealth) != 0) {
    const std::optional<JetStreamHealth>& health = asked->jetstream_health;
    if (!view.serving) {
      data.health = NotServing();
    } else if (view.options.jetstream.enabled) {
      data.health = HealthOf(request.healthz, health ? &*health : nullptr);
    }
    const std::string warning = HealthWarning(data.health, request.healthz);
    if (!warning.empty()) log_.WarnLimited(warning);
  }
  if ((request.needs & (kNeedAccountStats | kNeedAccountDetail)) == 0) return;
  for (const Account& each : view.accounts.all()) {
    if (!each.exists) continue;
    if ((request.needs & kNeedAccountDetail) != 0) {
      if (each.name != request.accountz_name) continue;
      data.accounts.push_back(SnapshotOf(view, each, asked->accounts[each.id]));
      AddDetail(view, each, &data.accounts.back());
      data.accounts.back().sublist = data.sublist;
    } else {
      data.accounts.push_back(SnapshotOf(view, each, asked->accounts[each.id]));
    }
  }
}

}  // namespace millrace
