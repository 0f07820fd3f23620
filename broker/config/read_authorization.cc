// SPDX-License-Identifier: Apache-2.0
// The block `authorization`: users, permissions, timeout (rows G-25..G-27, A-01..A-09, A-20..A-23).
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/read_file.h"
#include "broker/config/secrets.h"
#include "broker/config/language/text.h"
#include "broker/config/unsupported.h"
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
    reading.Error(value, absl::StrFormat("Expected subject permissions to be a subject, or array "
                                         "of subjects, got %s",
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
      reading.Error(value, absl::StrFormat("subject %s is not a valid subject", Quote(subject)));
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
      wrong = absl::StrFormat("subject %s is not a valid subject", Quote(text));
    } else if (!IsValidSubject(words[0])) {
      wrong = absl::StrFormat("subject %s is not a valid subject", Quote(words[0]));
    } else if (!IsValidSubject(words[1])) {
      wrong = absl::StrFormat("queue %s is not a valid queue", Quote(words[1]));
    }
    if (!wrong.empty()) {
      reading.Error(value, wrong);
      return std::nullopt;
    }
    entries.push_back({words[0], words[1]});
  }
  return entries;
}

// A list alone is the allow list; a map has `allow` and `deny`; an empty map restricts nothing.
template <typename Permission, typename ReadList>
std::optional<Permission> AllowAndDeny(Reading& reading, const Value& value, ReadList read_list) {
  Permission permission;
  const Map* map = value.AsMap();
  if (map == nullptr) {
    permission.allow = read_list(reading, value);
    if (!permission.allow) return std::nullopt;
    return permission;
  }
  if (map->empty()) return std::nullopt;
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, child] = *entry;
    const std::string name = Lower(key);
    if (name == "allow") {
      permission.allow = read_list(reading, child);
    } else if (name == "deny") {
      permission.deny = read_list(reading, child);
    } else if (!child.used_as_variable) {
      reading.Error(child, absl::StrFormat("Unknown field name %s parsing subject permissions, "
                                           "only 'allow' or 'deny' are permitted",
                                           Quote(key)));
    }
  }
  return permission;
}

std::optional<ResponsePermission> AllowResponses(Reading& reading, const Value& value) {
  ResponsePermission response;
  if (const bool* on = value.AsBool()) {
    return *on ? std::optional(response) : std::nullopt;
  }
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, "error parsing response permissions, expected a boolean or a map");
    return std::nullopt;
  }
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, child] = *entry;
    const std::string name = Lower(key);
    if (OneOf("max|max_msgs|max_messages|max_responses", name)) {
      const std::optional<int> max = reading.Int(child);
      if (!max) return std::nullopt;
      if (*max != 0) response.max = *max;
    } else if (OneOf("expires|expiration|ttl", name)) {
      const std::string* text = child.AsString();
      if (text == nullptr) {
        reading.Error(child, "error parsing expires, not a duration string");
        return std::nullopt;
      }
      const auto expires = ParseDuration(*text);
      if (!expires.ok()) {
        reading.Error(child, "error parsing expires: " + Message(expires.status()));
        return std::nullopt;
      }
      if (expires->count() != 0) response.expires = *expires;
    } else if (!child.used_as_variable) {
      reading.Error(child, absl::StrFormat("Unknown field %s parsing permissions", Quote(key)));
    }
  }
  return response;
}

std::optional<Permissions> ReadPermissions(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, absl::StrFormat("Expected permissions to be a map/struct, got %s",
                                         PlainText(value)));
    return std::nullopt;
  }
  Permissions permissions;
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, child] = *entry;
    const std::string name = Lower(key);
    if (OneOf("pub|publish|import", name)) {
      permissions.publish = AllowAndDeny<SubjectPermission>(reading, child, PublishList);
    } else if (OneOf("sub|subscribe|export", name)) {
      permissions.subscribe = AllowAndDeny<SubscribePermission>(reading, child, SubscribeList);
    } else if (OneOf("publish_allow_responses|allow_responses", name)) {
      permissions.response = AllowResponses(reading, child);
    } else if (!child.used_as_variable) {
      reading.Error(child, absl::StrFormat("Unknown field %s parsing permissions", Quote(key)));
    }
  }
  // An empty list is none, as in the peer.
  if (permissions.publish && permissions.publish->allow && permissions.publish->allow->empty()) {
    permissions.publish->allow.reset();
  }
  // Who may answer requests may publish nothing else unless it is allowed by name.
  if (permissions.response) {
    if (!permissions.publish) permissions.publish.emplace();
    if (!permissions.publish->allow) permissions.publish->allow.emplace();
  }
  return permissions;
}

std::optional<ConnectionTypes> ReadConnectionTypes(Reading& reading, const Value& value) {
  static constexpr std::pair<std::string_view, ConnectionType> kTypes[] = {
      {"STANDARD", kConnectionStandard},      {"WEBSOCKET", kConnectionWebsocket},
      {"LEAFNODE", kConnectionLeafnode},      {"LEAFNODE_WS", kConnectionLeafnodeWs},
      {"MQTT", kConnectionMqtt},              {"MQTT_WS", kConnectionMqttWs},
      {"IN_PROCESS", kConnectionInProcess},
  };
  std::vector<std::string> names;
  if (const std::string* text = value.AsString()) {
    names.push_back(*text);
  } else if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) {
      if (const std::string* name = child.AsString()) {
        names.push_back(*name);
      } else {
        reading.Error(child, absl::StrFormat("error parsing allowed connection types: "
                                             "unsupported type in array %s",
                                             PeerTypeName(child)));
      }
    }
  } else {
    reading.Error(value,
                  absl::StrFormat("error parsing allowed connection types: unsupported type %s",
                                  PeerTypeName(value)));
    return std::nullopt;
  }
  ConnectionTypes types = 0;
  std::string unknown;
  for (const std::string& name : names) {
    const std::string upper = Upper(name);
    const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                     [&](const auto& type) { return type.first == upper; });
    if (found != std::end(kTypes)) {
      types = static_cast<ConnectionTypes>(types | found->second);
    } else {
      unknown += (unknown.empty() ? "" : " ") + Quote(upper);
    }
  }
  if (!unknown.empty()) reading.Error(value, "invalid connection types [" + unknown + "]");
  if (types == 0) return std::nullopt;  // an empty list allows all, as in the peer
  return types;
}

void CheckInner(Reading& reading, const std::string& path, const Value& value) {
  if (const Feature* feature = FindFeature(path)) CheckFeature(*feature, reading, value);
}

// Null when the entry, and with it the rest of the list, is of no use.
std::optional<User> ReadUser(Reading& reading, const Value& entry_value, const Map& map) {
  User user;
  const Value* last = &entry_value;  // where the peer reports what is missing
  for (const auto* entry : InFileOrder(map)) {
    const auto& [key, value] = *entry;
    const std::string name = Lower(key);
    last = &value;
    if (name == "nkey") {
      const std::string* text = reading.String(value);
      if (text == nullptr) return std::nullopt;
      user.nkey = *text;
    } else if (OneOf("user|username", name)) {
      const std::string* text = reading.String(value);
      if (text == nullptr) return std::nullopt;
      user.user = *text;
    } else if (OneOf("pass|password", name)) {
      const std::string* text = reading.String(value);
      if (text == nullptr) return std::nullopt;
      user.password = *text;
    } else if (OneOf("permission|permissions|authorization", name)) {
      user.permissions = ReadPermissions(reading, value);
    } else if (OneOf("allowed_connection_types|connection_types|clients", name)) {
      user.allowed_connection_types = ReadConnectionTypes(reading, value);
    } else if (name == "proxy_required") {
      const bool* required = reading.Bool(value);
      if (required == nullptr) return std::nullopt;
      user.proxy_required = *required;
      CheckInner(reading, "authorization.users.proxy_required", value);
    } else {
      reading.Unknown(value, key,
                      Nearest("nkey|user|username|pass|password|permissions|"
                              "allowed_connection_types|proxy_required",
                              name));
    }
  }
  std::string_view wrong;
  if (user.nkey.empty() && user.user.empty()) {
    wrong = "User entry requires a user";
  } else if (!user.nkey.empty() && !IsPublicUserKey(user.nkey)) {
    wrong = "Not a valid public nkey for a user";
  } else if (!user.nkey.empty() && (!user.user.empty() || !user.password.empty())) {
    wrong = "Nkey users do not take usernames or passwords";
  }
  if (wrong.empty()) return user;
  reading.Error(*last, wrong);
  return std::nullopt;
}

std::optional<std::vector<User>> ReadUsers(Reading& reading, const Value& value) {
  const Array* array = value.AsArray();
  if (array == nullptr) {
    reading.Error(value, absl::StrFormat("Expected users field to be an array, got %s",
                                         PlainText(value)));
    return std::nullopt;
  }
  std::vector<User> users;
  for (const Value& entry : *array) {
    const Map* map = entry.AsMap();
    if (map == nullptr) {
      reading.Error(entry, absl::StrFormat("Expected user entry to be a map/struct, got %s",
                                           PlainText(entry)));
      continue;
    }
    std::optional<User> user = ReadUser(reading, entry, *map);
    if (!user) return std::nullopt;
    users.push_back(std::move(*user));
  }
  return users;
}

// Seconds; 0 for none.
std::optional<double> ReadTimeout(Reading& reading, const Value& value, std::string_view key) {
  double seconds = 0;
  if (const int64_t* whole = value.AsInteger()) {
    seconds = static_cast<double>(*whole);
  } else if (const double* fraction = value.AsFloat()) {
    seconds = *fraction;
  } else if (const std::string* text = value.AsString()) {
    const auto duration = ParseDuration(*text);
    if (!duration.ok()) {
      reading.Error(value, "error parsing authorization config, 'timeout' " +
                               Message(duration.status()));
      return std::nullopt;
    }
    seconds = static_cast<double>(duration->count()) / 1e9;
  } else {
    reading.Error(value, "error parsing authorization config, 'timeout' wrong type");
    return std::nullopt;
  }
  if (seconds > 60) {
    reading.Warn(value, key,
                 absl::StrFormat("timeout of %s (%f seconds) is high, consider keeping it under "
                                 "60 seconds. possibly caused by unquoted duration; use '1m' "
                                 "instead of 1m, for example",
                                 PlainText(value), seconds));
  }
  return seconds;
}

struct Authorization {
  std::string user;
  std::string password;
  std::string token;
  double timeout = 0;
  std::optional<std::vector<User>> users;  // set as soon as the key is there, even if empty
  std::optional<Permissions> default_permissions;
};

std::optional<Authorization> ReadBlock(Reading& reading, const Map& map) {
  Authorization block;
  for (const auto* entry : InFileOrder(map)) {
    const auto& [key, value] = *entry;
    const std::string name = Lower(key);
    std::string* text_field = OneOf("user|username", name)   ? &block.user
                              : OneOf("pass|password", name) ? &block.password
                              : name == "token"              ? &block.token
                                                             : nullptr;
    if (text_field != nullptr) {
      const std::string* text = reading.String(value);
      if (text == nullptr) return std::nullopt;
      *text_field = *text;
      reading.Note(text_field == &block.user       ? "username"
                   : text_field == &block.password ? "password"
                                                   : "token",
                   value);
    } else if (name == "timeout") {
      const std::optional<double> timeout = ReadTimeout(reading, value, key);
      if (!timeout) return std::nullopt;
      block.timeout = *timeout;
      reading.Note("auth_timeout", value);
    } else if (name == "users") {
      block.users = ReadUsers(reading, value);
    } else if (OneOf("default_permission|default_permissions|permissions", name)) {
      block.default_permissions = ReadPermissions(reading, value);
    } else if (OneOf("auth_callout|auth_hook", name)) {
      CheckInner(reading, "authorization." + name, value);
    } else if (name == "proxy_required") {
      if (reading.Bool(value) == nullptr) return std::nullopt;
      CheckInner(reading, "authorization." + name, value);
    } else {
      reading.Unknown(value, key,
                      Nearest("user|username|pass|password|token|timeout|users|permissions|"
                              "default_permissions|auth_callout|proxy_required",
                              name));
    }
  }
  return block;
}

}  // namespace

void ReadAuthorization(Reading& reading, const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) {
    reading.Error(value, absl::StrFormat("interface conversion: interface {} is %s, not "
                                         "map[string]interface {}",
                                         PeerTypeName(value)));
    return;
  }
  std::optional<Authorization> block = ReadBlock(reading, *map);
  if (!block) return;
  Options& options = reading.options;
  options.username = block->user;
  options.password = block->password;
  options.authorization = block->token;
  options.auth_timeout = block->timeout;
  if ((!block->user.empty() || !block->password.empty()) && !block->token.empty()) {
    reading.Error(value, "Cannot have a user/pass and token");
    return;
  }
  if (!block->users) return;
  if (!block->user.empty()) {
    reading.Error(value, "Can not have a single user/pass and a users array");
    return;
  }
  if (!block->token.empty()) {
    reading.Error(value, "Can not have a token and a users array");
    return;
  }
  std::set<std::string> names;
  for (User& user : *block->users) {
    const std::string& name = user.nkey.empty() ? user.user : user.nkey;
    if (!names.insert(name).second) {
      reading.Error(value, absl::StrFormat("Duplicate %s %s detected",
                                           user.nkey.empty() ? "user" : "nkey", Quote(name)));
      return;
    }
    if (!user.permissions) user.permissions = block->default_permissions;
    options.users.push_back(std::move(user));
  }
}

}  // namespace millrace::config
