// SPDX-License-Identifier: Apache-2.0
#include "broker/session/permissions.h"

#include <algorithm>

#include "proto/subject.h"

namespace millrace {
namespace {

// A queue entry names a queue group or a pattern of names; `v1.*` is itself a valid name, so equality comes first.
bool QueueMatches(std::string_view queue, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [queue](const std::string& pattern) {
    return queue == pattern || (!IsLiteral(pattern) && IsSubset(queue, pattern));
  });
}

// Lengths stand in front of what varies, so that no two lists are written alike.
void AddText(const std::string& text, std::string* to) { *to += std::to_string(text.size()) + ':' + text; }
void AddItem(const std::string& subject, std::string* to) { AddText(subject, to); }
void AddItem(const SubscribeEntry& entry, std::string* to) {
  AddText(entry.subject, to);
  *to += entry.queue.has_value() ? 'q' : '-';
  if (entry.queue.has_value()) AddText(*entry.queue, to);
}
template <class List>
void AddList(const std::optional<List>& list, std::string* to) {
  *to += list.has_value() ? std::to_string(list->size()) + '[' : "-";
  if (!list.has_value()) return;
  for (const auto& item : *list) AddItem(item, to);
}
template <class Side>
void AddSide(const std::optional<Side>& side, std::string* to) {
  *to += side.has_value() ? '{' : '-';
  if (!side.has_value()) return;
  AddList(side->allow, to);
  AddList(side->deny, to);
}

}  // namespace

std::string FingerprintOf(const Permissions& permissions) {
  std::string text;
  AddSide(permissions.publish, &text);
  AddSide(permissions.subscribe, &text);
  if (!permissions.response.has_value()) return text;
  return text + 'r' + std::to_string(permissions.response->max) + ',' +
         std::to_string(permissions.response->expires.count());
}

std::unique_ptr<PermissionSet::Entries> PermissionSet::Compile(const std::vector<SubscribeEntry>& list) {
  auto entries = std::make_unique<Entries>();
  for (const SubscribeEntry& item : list) {
    Entry* entry = entries->Insert(item.subject);
    if (entry == nullptr) continue;  // the configuration has refused it already
    if (item.queue.has_value()) {
      entry->queues.push_back(*item.queue);
    } else {
      entry->plain = true;
    }
  }
  return entries;
}

std::unique_ptr<PermissionSet::Entries> PermissionSet::Compile(const std::vector<std::string>& list) {
  auto entries = std::make_unique<Entries>();
  for (const std::string& subject : list) {
    if (Entry* entry = entries->Insert(subject); entry != nullptr) entry->plain = true;
  }
  return entries;
}

PermissionSet::PermissionSet(const Permissions& permissions) : response_(permissions.response) {
  if (permissions.publish.has_value()) {
    const SubjectPermission& publish = *permissions.publish;
    if (publish.allow.has_value()) publish_allow_ = Compile(*publish.allow);
    if (publish.deny.has_value() && !publish.deny->empty()) publish_deny_ = Compile(*publish.deny);
  }
  if (permissions.subscribe.has_value()) {
    const SubscribePermission& subscribe = *permissions.subscribe;
    if (subscribe.allow.has_value() && !subscribe.allow->empty()) subscribe_allow_ = Compile(*subscribe.allow);
    if (subscribe.deny.has_value() && !subscribe.deny->empty()) {
      subscribe_deny_ = Compile(*subscribe.deny);
      for (const SubscribeEntry& entry : *subscribe.deny) deny_subjects_.push_back(entry.subject);
    }
  }
}

void PermissionSet::WriteSide(std::string_view key, const Entries* allow, const Entries* deny, JsonWriter* out) {
  const auto texts = [](const Entries* entries) {
    std::vector<std::string> found;
    if (entries == nullptr) return found;
    entries->ForEach([&found](std::string_view filter, const Entry& entry) {
      if (entry.plain) found.emplace_back(filter);
      for (const std::string& queue : entry.queues) found.push_back(std::string(filter) + ' ' + queue);
    });
    std::sort(found.begin(), found.end());
    return found;
  };
  out->Key(key);
  out->BeginObject();
  out->OptStrings("allow", texts(allow));
  out->OptStrings("deny", texts(deny));
  out->EndObject();
}

std::string PermissionSet::Json() const {
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  WriteSide("publish", publish_allow_.get(), publish_deny_.get(), &out);
  WriteSide("subscribe", subscribe_allow_.get(), subscribe_deny_.get(), &out);
  if (response_) {
    out.Key("responses");
    out.BeginObject();
    out.PutInt("max", response_->max);
    out.PutInt("ttl", response_->expires.count());
    out.EndObject();
  }
  out.EndObject();
  return std::move(out).Take();
}

bool PermissionSet::Contains(const Entries& entries, std::string_view subject) {
  bool found = false;
  entries.Match(subject, [&found](const Entry& entry) { found |= entry.plain; });
  return found;
}

bool PermissionSet::MayPublish(std::string_view subject) const {
  if (publish_allow_ != nullptr && !Contains(*publish_allow_, subject)) return false;
  return publish_deny_ == nullptr || !Contains(*publish_deny_, subject);
}

bool PermissionSet::MaySubscribe(std::string_view filter, std::string_view queue) const {
  const auto look_up = [&](const Entries& entries, bool* plain, bool* queued, bool* queue_matches) {
    entries.Match(filter, [&](const Entry& entry) {
      *plain |= entry.plain;
      *queued |= !entry.queues.empty();
      if (!queue.empty()) *queue_matches |= QueueMatches(queue, entry.queues);
    });
  };
  if (subscribe_allow_ != nullptr) {
    bool plain = false, queued = false, queue_matches = false;
    look_up(*subscribe_allow_, &plain, &queued, &queue_matches);
    const bool allowed = !queue.empty() && queued ? queue_matches : plain;
    if (!allowed) return false;
  }
  if (subscribe_deny_ != nullptr) {
    bool plain = false, queued = false, queue_matches = false;
    look_up(*subscribe_deny_, &plain, &queued, &queue_matches);
    if (plain || (!queue.empty() && queued && queue_matches)) return false;
  }
  return true;
}

bool PermissionSet::NeedsDeliveryFilter(std::string_view filter, std::string_view queue) const {
  if (queue.empty() && IsLiteral(filter)) return false;
  return std::any_of(deny_subjects_.begin(), deny_subjects_.end(),
                     [filter](const std::string& deny) { return SubjectsCollide(deny, filter); });
}

bool PermissionSet::DeniesDelivery(std::string_view subject, std::string_view queue) const {
  if (subscribe_deny_ == nullptr) return false;
  MR_DCHECK(!deny_subjects_.empty());
  bool denied = false;
  subscribe_deny_->Match(subject, [&](const Entry& entry) {
    denied |= entry.plain || (!queue.empty() && QueueMatches(queue, entry.queues));
  });
  return denied;
}

}  // namespace millrace
