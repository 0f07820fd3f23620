// SPDX-License-Identifier: Apache-2.0
// Runs of SimWorld with several accounts that import from each other, and a configuration that changes all the time:
// accounts, users, imports, mappings and limits come, change and go, also before the last change is known everywhere.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/sim/world.h"

namespace millrace::sim {
namespace {

constexpr uint64_t kReloadsAtOnceMax = 3;

}  // namespace

Options SimWorld::AccountsOptions() const {
  const AccountsModel& model = accounts_->newest();
  Options options;
  if (plan_.adopt) options.max_connections = 0;
  options.debug = options.trace = plan_.debug_log;
  options.accounts = model.specs;
  for (const AccountsUser& user : model.users) {
    if (user.account.empty()) continue;
    User& added = options.account_users.emplace_back();
    added.user = user.name;
    added.password = "p";
    added.account = user.account;
  }
  return options;
}

// Shards go by the versions that the control thread keeps, and it keeps no others: the one that all have, and those
// that some have not yet acknowledged.
void SimWorld::CheckVersions() const {
  const uint64_t most = 1 + accounts_->unacknowledged();
  if (configs_.size() > most)
    Fail(absl::StrFormat("%d configurations live, %d of them unacknowledged", configs_.size(), most - 1));
}

void SimWorld::OpenAccountsClient() {
  const std::string user = absl::StrFormat("u%d", random_.Below(9));  // the last one is nobody
  accounts_clients_.push_back(std::make_unique<AccountsClient>(*kernel_, *accounts_, ConnectAnywhere(), user));
}

void SimWorld::MaybeReload() {
  if (!random_.Chance(1) || !random_.Chance(plan_.reload_percent)) return;
  if (accounts_->unacknowledged() >= kReloadsAtOnceMax) return;
  accounts_->Load(AccountsModel::Draw(random_, &accounts_->newest()));
  if (Tracing()) Trace("---- reload");
  Load(AccountsOptions());
  for (uint32_t each = 0; each < mesh_->shards(); ++each)
    Tell(each, std::make_unique<ConfigChange>(configs_.back().get(), true, random_.Chance(50)));
  CheckVersions();
}

// What all shards together count of each account is who is there.
void SimWorld::CheckAccountConnections() {
  RunUntil("connections that ended are gone", [this] {
    return kernel_->backlog.empty() &&
           std::all_of(accounts_clients_.begin(), accounts_clients_.end(),
                       [](const auto& client) { return !client->closed() || client->gone(); });
  });
  for (const Account& account : configs_.back()->accounts.all()) {
    const int64_t counted = account_connections_.Get(account.id);
    const auto open = std::count_if(accounts_clients_.begin(), accounts_clients_.end(), [&](const auto& client) {
      return client->open() && client->record().account == account.name;
    });
    const int64_t most = account.limits.connections;
    if (account.exists && most >= 0 && counted > most)
      Fail(absl::StrFormat("account %s has %d connections after a reload, of %d", account.name, counted, most));
    if (counted != open) Fail(absl::StrFormat("account %s counts %d of %d connections", account.name, counted, open));
  }
}

void SimWorld::SettleAccounts() {
  operating_ = false;
  for (const std::unique_ptr<AccountsClient>& client : accounts_clients_) client->Finish();
  const auto settled = [this] {
    return accounts_->unacknowledged() == 0 &&
           std::all_of(accounts_clients_.begin(), accounts_clients_.end(),
                       [](const auto& client) { return client->idle(); });
  };
  for (int round = 0; round < 3; ++round) {
    RunUntil("all replies have come", settled);
    RunUntilQuiet();
    for (const std::unique_ptr<AccountsClient>& client : accounts_clients_) {
      if (client->open()) client->Ping();
    }
    RunUntil("the last PONG has come", settled);
  }
  RunUntilQuiet();
  CheckVersions();
  CheckAccountConnections();
  accounts_->CheckEnd();
}

void SimWorld::RunAccounts() {
  plan_.mix.hash_auth = false;
  plan_.shard.limits.pending_bytes_max = 64 << 20;
  plan_.clients_max = std::max(plan_.clients_max, 5u);
  plan_.reload_percent = random_.Pick({5u, 15u, 40u});
  AccountsOracle oracle(*kernel_);
  accounts_ = &oracle;
  oracle.Load(AccountsModel::Draw(random_, nullptr));
  Start();
  const auto open = [this] {
    return static_cast<size_t>(std::count_if(accounts_clients_.begin(), accounts_clients_.end(),
                                             [](const auto& client) { return !client->closed(); }));
  };
  while (operations_left_ > 0) {
    if (open() < plan_.clients_max && (open() == 0 || random_.Chance(3))) OpenAccountsClient();
    MaybeReload();
    if (Step() == Outcome::kDead && open() > 0) Fail("the world stands still while clients operate");
  }
  SettleAccounts();
  if (!plan_.stop_with_clients) {
    for (const std::unique_ptr<AccountsClient>& client : accounts_clients_) client->End();
    RunUntil("all connections have ended", [this] {
      return kernel_->backlog.empty() && kernel_->open_descriptors() == 0;
    });
    RunUntilQuiet();
    CheckAccountConnections();
  }
  oracle.OnStop();
  Stop();
  TearDown();
  accounts_summary_ = AccountsSummary();
  accounts_ = nullptr;
}

std::string SimWorld::AccountsSummary() const {
  const AccountsOracle::Statistics& s = accounts_->statistics();
  return absl::StrFormat(
      "%d shards, %d clients, %d reloads, %d messages, %d deliveries (%d had to come, %d imported, %d by a service, %d "
      "replies home), %d without responders, %d refused, %d sent away, %d steps",
      plan_.shards, accounts_clients_.size(), s.reloads, s.messages, s.deliveries, s.due, s.imported, s.forwarded,
      s.replies_home, s.no_responders, s.refused, s.moved, steps_);
}

}  // namespace millrace::sim
