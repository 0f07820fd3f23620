// SPDX-License-Identifier: Apache-2.0
// Principal: who a client is and what it may: its account, its user, its permissions and what is remembered of them.
// Owner:  shard (a session's member). It refers to nothing of a config, so it outlives the one that it came from.
// Bounds: kPublishCacheMax remembered subjects; replies that may be answered are swept above kAllowedRepliesMax.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "broker/account/account_id.h"
#include "broker/session/permission_sets.h"
#include "proto/base/nanos.h"

namespace millrace {

class Principal {
 public:
  static constexpr size_t kPublishCacheMax = 128;
  static constexpr size_t kAllowedRepliesMax = 4096;

  // Somebody of whom nothing is known but the account, and who may do everything in it. `permissions`: what it may.
  explicit Principal(AccountId account, std::string user = {}, PermissionSets::Ref permissions = {});

  AccountId account() const { return account_; }
  // As monitoring shows it; empty when it said none.
  const std::string& user() const { return user_; }
  // May do everything, and nothing is remembered.
  bool unrestricted() const { return !permissions_; }

  // In JSON, as USER.INFO says it; empty: it may do everything.
  std::string PermissionsJson() const { return permissions_ ? permissions_->Json() : std::string(); }

  bool MaySubscribe(std::string_view filter, std::string_view queue) const {
    return !permissions_ || permissions_->MaySubscribe(filter, queue);
  }
  // Deliveries to this filter are to be checked one by one (DeniesDelivery).
  bool NeedsDeliveryFilter(std::string_view filter, std::string_view queue) const {
    return permissions_ && permissions_->NeedsDeliveryFilter(filter, queue);
  }
  bool DeniesDelivery(std::string_view subject, std::string_view queue) const {
    return permissions_ && permissions_->DeniesDelivery(subject, queue);
  }
  // A reply subject that is allowed once counts as used.
  bool MayPublish(std::string_view subject, Nanos now);
  // OnDelivered wants to hear of deliveries (allow_responses).
  bool tracks_replies() const { return allowed_replies_ != nullptr; }
  // It got a message with this reply subject, and may answer.
  void OnDelivered(std::string_view reply, Nanos now);

 private:
  struct AllowedReply {
    Nanos since{0};
    int sent = 0;
  };

  bool ResponseAllowed(std::string_view subject, Nanos now);

  AccountId account_;
  std::string user_;
  PermissionSets::Ref permissions_;
  std::unique_ptr<std::unordered_map<std::string, bool>> publish_cache_;
  std::unique_ptr<std::unordered_map<std::string, AllowedReply>> allowed_replies_;
};

}  // namespace millrace
