// SPDX-License-Identifier: Apache-2.0
// AccountBeats: when the server says again how many connections an account has, though nothing has changed (E-03).
// Owner:  caller (pure; given the time).
// Bounds: an entry for each account that has connections; kDueMost of them are due at once, others right afterwards.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

#include "broker/account/account_id.h"
#include "proto/base/nanos.h"

namespace millrace {

// Each kInterval after it has last been told how many an account has, as long as it has any.
class AccountBeats {
 public:
  static constexpr Nanos kInterval = std::chrono::seconds(30);
  static constexpr size_t kDueMost = 256;

  void Told(AccountId account, int64_t connections, Nanos now) {
    if (connections > 0) {
      due_[account] = now + kInterval;
      next_ = std::min(next_, now + kInterval);
    } else {
      due_.erase(account);
    }
  }
  // It has connections: begins with it unless it is known.
  void Find(AccountId account, Nanos now) {
    if (due_.emplace(account, now).second) next_ = std::min(next_, now);
  }
  // Those whose time has come; each comes again after kInterval, whether or not anybody wants to hear of it now.
  std::vector<AccountId> TakeDue(Nanos now) {
    std::vector<AccountId> due;
    if (now < next_) return due;
    next_ = Nanos::max();
    for (auto& [account, at] : due_) {
      if (at <= now && due.size() < kDueMost) {
        at = now + kInterval;
        due.push_back(account);
      }
      next_ = std::min(next_, at);
    }
    return due;
  }
  // Nothing is due before.
  Nanos next() const { return next_; }

 private:
  std::map<AccountId, Nanos> due_;
  Nanos next_ = Nanos::max();
};

}  // namespace millrace
