// SPDX-License-Identifier: Apache-2.0
#include "broker/session/principal.h"

#include <utility>

namespace millrace {

Principal::Principal(AccountId account, std::string user, PermissionSets::Ref permissions)
    : account_(account), user_(std::move(user)), permissions_(std::move(permissions)) {
  if (permissions_ && permissions_->response().has_value()) {
    allowed_replies_ = std::make_unique<std::unordered_map<std::string, AllowedReply>>();
  }
}

bool Principal::MayPublish(std::string_view subject, Nanos now) {
  if (!permissions_ || !permissions_->restricts_publish()) return true;
  if (publish_cache_ == nullptr) publish_cache_ = std::make_unique<std::unordered_map<std::string, bool>>();
  const std::string key(subject);
  const auto known = publish_cache_->find(key);
  if (known != publish_cache_->end()) return known->second;
  const bool allowed = permissions_->MayPublish(subject);
  // A reply that is allowed once must be asked about each time.
  if (!allowed && allowed_replies_ != nullptr) return ResponseAllowed(subject, now);
  if (publish_cache_->size() >= kPublishCacheMax) publish_cache_->clear();
  publish_cache_->emplace(key, allowed);
  return allowed;
}

bool Principal::ResponseAllowed(std::string_view subject, Nanos now) {
  const auto it = allowed_replies_->find(std::string(subject));
  if (it == allowed_replies_->end()) return false;
  const ResponsePermission& limits = *permissions_->response();
  AllowedReply& reply = it->second;
  ++reply.sent;
  const bool spent = limits.max > 0 && reply.sent > limits.max;
  const bool expired = limits.expires > Nanos{0} && now - reply.since > limits.expires;
  if (!spent && !expired) return true;
  allowed_replies_->erase(it);
  return false;
}

void Principal::OnDelivered(std::string_view reply, Nanos now) {
  MR_DCHECK(allowed_replies_ != nullptr);
  if (reply.empty() || MayPublish(reply, now)) return;
  if (allowed_replies_->size() >= kAllowedRepliesMax) {
    const ResponsePermission& limits = *permissions_->response();
    std::erase_if(*allowed_replies_, [&limits, now](const auto& item) {
      return (limits.max > 0 && item.second.sent >= limits.max) ||
             (limits.expires > Nanos{0} && now - item.second.since > limits.expires);
    });
  }
  (*allowed_replies_)[std::string(reply)] = AllowedReply{now, 0};
}

}  // namespace millrace
