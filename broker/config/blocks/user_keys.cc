// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/user_keys.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/blocks/permission_keys.h"
#include "broker/config/blocks/secrets.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

void ReadConnectionTypes(User& user, Reading& reading, const Value& value) {
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
        reading.Error(child, absl::StrFormat("error parsing allowed connection types: unsupported type in array %s",
                                             PeerTypeName(child)));
      }
    }
  } else {
    return reading.Error(value, absl::StrFormat("error parsing allowed connection types: unsupported type %s",
                                                PeerTypeName(value)));
  }
  ConnectionTypes types = 0;
  std::string unknown;
  for (const std::string& name : names) {
    const std::string upper = Upper(name);
    const auto* found =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& type) { return type.first == upper; });
    if (found != std::end(kTypes)) {
      types = static_cast<ConnectionTypes>(types | found->second);
    } else {
      unknown += (unknown.empty() ? "" : " ") + Quoted(upper);
    }
  }
  if (!unknown.empty()) reading.Error(value, "invalid connection types [" + unknown + "]");
  user.allowed_connection_types.reset();
  if (types != 0) user.allowed_connection_types = types;  // an empty list allows all, as in the peer
}

constexpr Lacking kProxyRequired = {"proxy_required", Lacking::Policy::kRefuse};

const Block kUserPermissions = {
    .rows = kPermissionKeys,
    .inside = &kWithinOptional<&User::permissions>,
    .not_a_map = kPermissionsNoMap,
    .unknown = kPermissionsUnknown,
    .finish = kHook<FinishPermissions>,
};

constexpr Row kKeys[] = {
    {.key = "nkey", .member = &kMember<&User::nkey>, .wrong_ends_block = true},
    {.key = "user", .aliases = "username", .member = &kMember<&User::user>, .wrong_ends_block = true},
    {.key = "pass", .aliases = "password", .member = &kMember<&User::password>, .wrong_ends_block = true},
    {.key = "permissions", .old_aliases = "permission|authorization", .block = &kUserPermissions},
    {.key = "allowed_connection_types", .old_aliases = "connection_types|clients", .read = kHook<ReadConnectionTypes>},
    {.key = "proxy_required", .member = &kMember<&User::proxy_required>, .wrong_ends_block = true,
     .lacking = &kProxyRequired},
};

}  // namespace

const std::span<const Row> kUserKeys = kKeys;

bool FinishUser(User& user, Reading& reading, const BlockEnd& end) {
  std::string_view wrong;
  if (user.nkey.empty() && user.user.empty()) {
    wrong = "User entry requires a user";
  } else if (!user.nkey.empty() && !IsPublicUserKey(user.nkey)) {
    wrong = "Not a valid public nkey for a user";
  } else if (!user.nkey.empty() && (!user.user.empty() || !user.password.empty())) {
    wrong = "Nkey users do not take usernames or passwords";
  }
  if (wrong.empty()) return true;
  reading.Error(*end.last, wrong);
  return false;
}

bool TakeUserNames(const std::vector<User>& users, std::set<std::string>* names, bool all, const Value& value,
                   Reading& reading) {
  bool are_new = true;
  for (const User& user : users) {
    const std::string& name = user.nkey.empty() ? user.user : user.nkey;
    if (names->insert(name).second) continue;
    are_new = false;
    reading.Error(value,
                  absl::StrFormat("Duplicate %s %s detected", user.nkey.empty() ? "user" : "nkey", Quoted(name)));
    if (!all) break;
  }
  return are_new;
}

std::string UsersText(const std::vector<User>& users, std::string_view indent) {
  if (users.empty()) return "";
  std::string text = absl::StrFormat("%susers: [\n", indent);
  for (const User& user : users) {
    const std::string about = user.nkey.empty() ? "user: " + Quoted(user.user) + ", password: \"[REDACTED]\""
                                                : "nkey: " + Quoted(user.nkey);
    text += absl::StrFormat("%s  { %s }\n", indent, about);
  }
  return text + absl::StrFormat("%s]\n", indent);
}

}  // namespace millrace::config
