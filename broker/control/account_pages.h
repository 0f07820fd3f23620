// SPDX-License-Identifier: Apache-2.0
// Account pages: what /accountz and /accstatz say of an account, made of its configuration and of the shards' totals.
// Owner:  control thread.
// Subscriptions are counted as the peer does: those of clients, those that accounts which import of this one have made
// here, and one for each service that this one imports; of these each shard has all, so that they are counted here.
#pragma once

#include <string_view>

#include "broker/account/account_totals.h"
#include "broker/control/server_view.h"

namespace millrace {

AccountSnapshot SnapshotOf(const ServerView& view, const Account& account, const AccountTotals& totals);
// Exports, imports and mappings: what /accountz says besides of the account that it is asked for.
void AddDetail(const ServerView& view, const Account& account, AccountSnapshot* snapshot);
// Of this account, or (empty) of all.
void AddServiceImports(const ServerView& view, std::string_view account, SublistStats* stats);

}  // namespace millrace
