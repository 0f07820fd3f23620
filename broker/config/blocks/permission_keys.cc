// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/permission_keys.h"

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "proto/subject.h"

namespace millrace::config {
namespace {

std::optional<std::vector<std::string>> SubjectList(Reading& reading, const Value& value) {
  std::vector<std::string> subjects;
  if (const std::string* text = value.AsString()) {
    subjects.push_back(*text);
  } else if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) {
      const std::string* subject = child.AsString();
      if (subject == nullptr) {
        reading.Error(child, "Subject in permissions array cannot be cast to string");
        return std::nullopt;
      }
      subjects.push_back(*subject);
    }
  } else {
    reading.Error(value, absl::StrFormat("Expected subject permissions to be a subject, or array of subjects, got %s",
                                         PeerTypeName(value)));
    return std::nullopt;
  }
  return subjects;
}

std::optional<std::vector<std::string>> PublishList(Reading& reading, const Value& value) {
  auto subjects = SubjectList(reading, value);
  if (!subjects) return std::nullopt;
  for (const std::string& subject : *subjects) {
    if (!IsValidSubject(subject)) {
      reading.Error(value, absl::StrFormat("subject %s is not a valid subject", Quoted(subject)));
      return std::nullopt;
    }
  }
  return subjects;
}

// Entries may name a queue behind the subject.
std::optional<std::vector<SubscribeEntry>> SubscribeList(Reading& reading, const Value& value) {
  const auto subjects = SubjectList(reading, value);
  if (!subjects) return std::nullopt;
  std::vector<SubscribeEntry> entries;
  for (const std::string& text : *subjects) {
    if (IsValidSubject(text)) {
      entries.push_back({text, std::nullopt});
      continue;
    }
    const std::vector<std::string> words = Fields(text);
    std::string wrong;
    if (words.size() != 2) {
      wrong = absl::StrFormat("subject %s is not a valid subject", Quoted(text));
    } else if (!IsValidSubject(words[0])) {
      wrong = absl::StrFormat("subject %s is not a valid subject", Quoted(words[0]));
    } else if (!IsValidSubject(words[1])) {
      wrong = absl::StrFormat("queue %s is not a valid queue", Quoted(words[1]));
    }
    if (!wrong.empty()) {
      reading.Error(value, wrong);
      return std::nullopt;
    }
    entries.push_back({words[0], words[1]});
  }
  return entries;
}

constexpr char kSubjectsUnknown[] =
    "Unknown field name %s parsing subject permissions, only 'allow' or 'deny' are permitted";

template <typename Permission, auto list, auto read_list>
void ReadSubjects(Permission& permission, Reading& reading, const Value& value) {
  permission.*list = read_list(reading, value);
}

constexpr Row kPublishKeys[] = {
    {.key = "allow", .read = kHook<ReadSubjects<SubjectPermission, &SubjectPermission::allow, PublishList>>},
    {.key = "deny", .read = kHook<ReadSubjects<SubjectPermission, &SubjectPermission::deny, PublishList>>},
};
constexpr Block kPublishBlock = {
    .rows = kPublishKeys, .inside = &kWithinOptional<&Permissions::publish>, .unknown = kSubjectsUnknown};

constexpr Row kSubscribeKeys[] = {
    {.key = "allow", .read = kHook<ReadSubjects<SubscribePermission, &SubscribePermission::allow, SubscribeList>>},
    {.key = "deny", .read = kHook<ReadSubjects<SubscribePermission, &SubscribePermission::deny, SubscribeList>>},
};
constexpr Block kSubscribeBlock = {
    .rows = kSubscribeKeys, .inside = &kWithinOptional<&Permissions::subscribe>, .unknown = kSubjectsUnknown};

// A list alone is the allow list; a map has `allow` and `deny`; an empty map restricts nothing.
template <auto member, auto read_list>
void ReadDirection(Permissions& permissions, Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map != nullptr && !map->empty()) {
    reading.ReadBlock(*reading.row().block, value, &permissions);
    return;
  }
  (permissions.*member).reset();
  if (map != nullptr) return;
  if (auto allowed = read_list(reading, value)) (permissions.*member).emplace().allow = std::move(allowed);
}

void ReadMax(ResponsePermission& response, Reading& reading, const Value& value) {
  const std::optional<int> max = reading.Int(value);
  if (max && *max != 0) response.max = *max;
}

void ReadExpires(ResponsePermission& response, Reading& reading, const Value& value) {
  const std::string* text = value.AsString();
  if (text == nullptr) return reading.Error(value, "error parsing expires, not a duration string");
  const auto expires = ParseDuration(*text);
  if (!expires.ok()) return reading.Error(value, "error parsing expires: " + Message(expires.status()));
  if (expires->count() != 0) response.expires = *expires;
}

constexpr Row kResponseKeys[] = {
    {.key = "max", .aliases = "max_msgs|max_messages|max_responses", .read = kHook<ReadMax>, .wrong_ends_block = true},
    {.key = "expires", .aliases = "expiration|ttl", .read = kHook<ReadExpires>, .wrong_ends_block = true},
};
constexpr Block kResponseBlock = {
    .rows = kResponseKeys,
    .inside = &kWithinOptional<&Permissions::response>,
    .not_a_map = "error parsing response permissions, expected a boolean or a map",
    .unknown = kPermissionsUnknown,
};

void ReadAllowResponses(Permissions& permissions, Reading& reading, const Value& value) {
  permissions.response.reset();
  if (const bool* on = value.AsBool()) {
    if (*on) permissions.response.emplace();
  } else {
    reading.ReadBlock(*reading.row().block, value, &permissions);
  }
}

constexpr Row kKeys[] = {
    {.key = "publish", .aliases = "pub|import", .block = &kPublishBlock,
     .read = kHook<ReadDirection<&Permissions::publish, PublishList>>},
    {.key = "subscribe", .aliases = "sub|export", .block = &kSubscribeBlock,
     .read = kHook<ReadDirection<&Permissions::subscribe, SubscribeList>>},
    {.key = "allow_responses", .aliases = "publish_allow_responses", .block = &kResponseBlock,
     .read = kHook<ReadAllowResponses>},
};

}  // namespace

const std::span<const Row> kPermissionKeys = kKeys;

bool FinishPermissions(Permissions& permissions, Reading&, const BlockEnd&) {
  // An empty list is none, as in the peer.
  if (permissions.publish && permissions.publish->allow && permissions.publish->allow->empty()) {
    permissions.publish->allow.reset();
  }
  // Who may answer requests may publish nothing else unless it is allowed by name.
  if (permissions.response) {
    if (!permissions.publish) permissions.publish.emplace();
    if (!permissions.publish->allow) permissions.publish->allow.emplace();
  }
  return true;
}

}  // namespace millrace::config
