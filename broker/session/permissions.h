// SPDX-License-Identifier: Apache-2.0
// PermissionSet: what one user may publish and subscribe to, compiled for matching.
// Owner:  immutable after construction; read by all shards. Deny wins over allow; no allow list means everything.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/blocks/permissions.h"
#include "broker/json/writer.h"
#include "proto/subject_trie.h"

namespace millrace {

// Equal for equal permissions, and for no others.
std::string FingerprintOf(const Permissions& permissions);

class PermissionSet {
 public:
  explicit PermissionSet(const Permissions& permissions);
  PermissionSet(const PermissionSet&) = delete;
  PermissionSet& operator=(const PermissionSet&) = delete;

  bool restricts_publish() const { return publish_allow_ != nullptr || publish_deny_ != nullptr; }
  bool MayPublish(std::string_view subject) const;
  // `queue` is empty for a plain subscription. The filter is looked up as the peer does: by its tokens.
  bool MaySubscribe(std::string_view filter, std::string_view queue) const;

  // Some deny entry overlaps this filter, so that deliveries to it must be checked one by one.
  bool NeedsDeliveryFilter(std::string_view filter, std::string_view queue) const;
  bool DeniesDelivery(std::string_view subject, std::string_view queue) const;

  // {"publish":…,"subscribe":…,"responses":…}, each list in order.
  std::string Json() const;

  const std::optional<ResponsePermission>& response() const { return response_; }

 private:
  struct Entry {
    bool plain = false;
    std::vector<std::string> queues;
  };
  using Entries = SubjectTrie<Entry>;

  static std::unique_ptr<Entries> Compile(const std::vector<SubscribeEntry>& list);
  static std::unique_ptr<Entries> Compile(const std::vector<std::string>& list);
  static void WriteSide(std::string_view key, const Entries* allow, const Entries* deny, JsonWriter* out);
  static bool Contains(const Entries& entries, std::string_view subject);

  std::unique_ptr<Entries> publish_allow_;
  std::unique_ptr<Entries> publish_deny_;
  std::unique_ptr<Entries> subscribe_allow_;
  std::unique_ptr<Entries> subscribe_deny_;
  std::vector<std::string> deny_subjects_;
  std::optional<ResponsePermission> response_;
};

}  // namespace millrace
