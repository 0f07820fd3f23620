// SPDX-License-Identifier: Apache-2.0
// LoadedConfig: everything a session needs to know of the configuration, made once per load.
// Owner:  immutable; the server frees a version when every shard has a later one: shards hold pointers, sessions none.
#pragma once

#include <utility>

#include "broker/account/account_table.h"
#include "broker/account/account_views.h"
#include "broker/config/options.h"
#include "broker/session/authenticator.h"
#include "broker/session/info.h"

namespace millrace {

struct LoadedConfig {
  // `before`: the one that it takes the place of, if any: accounts keep their ids.
  explicit LoadedConfig(Options from, const LoadedConfig* before = nullptr)
      : options(std::move(from)),
        accounts(options.accounts, options.system_account, before == nullptr ? nullptr : &before->accounts),
        views(options.accounts, accounts, before == nullptr ? nullptr : &before->views),
        authenticator(options, accounts) {}

  Options options;
  AccountTable accounts;
  AccountViews views;
  ServerInfo info;
  Authenticator authenticator;
};

}  // namespace millrace
