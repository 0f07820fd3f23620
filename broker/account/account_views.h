// SPDX-License-Identifier: Apache-2.0
// AccountViews: what the accounts of one configuration are to each other, compiled: imports and mappings by AccountId.
// Owner:  immutable; one per loaded configuration, read by all shards.
// Versions: an account whose imports are those of the configuration before has their numbers, too: whoever holds
//         something that was made of them (a session its shadows, a shard its cached matches) has nothing to do.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "broker/account/account_spec.h"
#include "broker/account/account_table.h"
#include "broker/account/import_graph.h"
#include "broker/account/service_index.h"

namespace millrace {

struct AccountView {
  Mappings mappings = {};
  std::vector<CompiledStreamImport> stream_imports = {};    // exporter: its AccountId
  std::vector<CompiledServiceImport> service_imports = {};  // the same
  std::unique_ptr<const ServiceIndex> service_index = {};   // of service_imports; nullptr: there are none
  uint32_t first_import = 0;      // the number of the first of stream_imports (Router::set_stream_imports)
  uint32_t streams_version = 0;   // of stream_imports; 0: there has never been any
  uint32_t services_version = 0;  // of service_imports
};

class AccountViews {
 public:
  // Specs are as the configuration has checked them: there is no error left in them. `before`: of the configuration
  // that this one takes the place of.
  AccountViews(std::span<const AccountSpec> specs, const AccountTable& table, const AccountViews* before);

  // Any account: of one that says nothing all is empty.
  const AccountView& operator[](AccountId id) const {
    return id < views_.size() && views_[id] != nullptr ? *views_[id] : empty_;
  }
  AccountId end() const { return static_cast<AccountId>(views_.size()); }
  bool is_system(AccountId id) const { return id == kSystemAccount; }
  AccountId system() const { return kSystemAccount; }
  // Of the table that it was made with, which lives as long.
  const std::string& name_of(AccountId id) const { return table_[id].name; }
  // By number; nullptr: an account has it no longer.
  std::span<const CompiledStreamImport* const> stream_imports() const { return by_number_; }
  // By AccountId, up to the last account that has service imports; nullptr: it has none.
  std::span<const ServiceIndex* const> service_indexes() const { return service_indexes_; }

 private:
  void Number(AccountView* view, const AccountView& before);

  const AccountTable& table_;
  AccountView empty_;
  std::vector<std::unique_ptr<AccountView>> views_;  // by AccountId
  std::vector<const CompiledStreamImport*> by_number_;
  std::vector<const ServiceIndex*> service_indexes_;
};

}  // namespace millrace
