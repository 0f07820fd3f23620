// SPDX-License-Identifier: Apache-2.0
// AccountTotals: what monitoring counts of an account.
// Owner:  shard; those of all shards are added on the control thread.
// Nothing is counted per message: what open connections have counted is added when somebody asks, what closed ones had
// is kept.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/account/account_id.h"

namespace millrace {

struct AccountTotals {
  uint64_t connections = 0;
  uint64_t subscriptions = 0;
  uint64_t in_messages = 0;
  uint64_t in_bytes = 0;
  uint64_t out_messages = 0;
  uint64_t out_bytes = 0;
  uint64_t slow_consumers = 0;

  AccountTotals& operator+=(const AccountTotals& more) {
    connections += more.connections;
    subscriptions += more.subscriptions;
    in_messages += more.in_messages;
    in_bytes += more.in_bytes;
    out_messages += more.out_messages;
    out_bytes += more.out_bytes;
    slow_consumers += more.slow_consumers;
    return *this;
  }
};

// By id; an account of which there is nothing to say may be missing at the end.
class AccountTally {
 public:
  AccountTotals& operator[](AccountId id) {
    if (id >= totals_.size()) totals_.resize(size_t{id} + 1);
    return totals_[id];
  }
  void Add(const AccountTally& more) {
    for (size_t id = 0; id < more.totals_.size(); ++id) (*this)[static_cast<AccountId>(id)] += more.totals_[id];
  }

 private:
  std::vector<AccountTotals> totals_;
};

}  // namespace millrace
