// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/authorization.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/blocks/permission_keys.h"
#include "broker/config/blocks/secrets.h"
#include "broker/config/language/text.h"
#include "broker/config/table/table.h"
#include "proto/base/status.h"

namespace millrace {
namespace config {
namespace {

// --- users

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

constexpr Lacking kCallout = {"auth callout", Lacking::Policy::kRefuse};
constexpr Lacking kProxyRequired = {"proxy_required", Lacking::Policy::kRefuse};

const Block kUserPermissions = {
    .rows = kPermissionKeys,
    .inside = &kWithinOptional<&User::permissions>,
    .not_a_map = kPermissionsNoMap,
    .unknown = kPermissionsUnknown,
    .finish = kHook<FinishPermissions>,
};

constexpr Row kUserKeys[] = {
    {.key = "nkey", .member = &kMember<&User::nkey>, .wrong_ends_block = true},
    {.key = "user", .aliases = "username", .member = &kMember<&User::user>, .wrong_ends_block = true},
    {.key = "pass", .aliases = "password", .member = &kMember<&User::password>, .wrong_ends_block = true},
    {.key = "permissions", .old_aliases = "permission|authorization", .block = &kUserPermissions},
    {.key = "allowed_connection_types", .old_aliases = "connection_types|clients", .read = kHook<ReadConnectionTypes>},
    {.key = "proxy_required", .member = &kMember<&User::proxy_required>, .wrong_ends_block = true,
     .lacking = &kProxyRequired},
};

constexpr Block kUsers = {
    .rows = kUserKeys,
    .inside = &kEach<&AuthorizationOptions::users>,
    .not_a_map = "Expected user entry to be a map/struct, got %v",
    .not_a_list = "Expected users field to be an array, got %v",
    .finish = kHook<FinishUser>,
};

// --- the block

// Seconds.
void ReadTimeout(AuthorizationOptions& options, Reading& reading, const Value& value) {
  constexpr double kHighSeconds = 60;
  double seconds = 0;
  if (const int64_t* whole = value.AsInteger()) {
    seconds = static_cast<double>(*whole);
  } else if (const double* fraction = value.AsFloat()) {
    seconds = *fraction;
  } else if (const std::string* text = value.AsString()) {
    const auto duration = ParseDuration(*text);
    if (!duration.ok()) {
      return reading.Error(value, "error parsing authorization config, 'timeout' " + Message(duration.status()));
    }
    seconds = static_cast<double>(duration->count()) / 1e9;
  } else {
    return reading.Error(value, "error parsing authorization config, 'timeout' wrong type");
  }
  if (seconds > kHighSeconds) {
    reading.Warn(value, reading.key(),
                 absl::StrFormat("timeout of %s (%f seconds) is high, consider keeping it under "
                                 "60 seconds. possibly caused by unquoted duration; use '1m' "
                                 "instead of 1m, for example",
                                 PlainText(value), seconds));
  }
  options.auth_timeout = seconds;
}

std::string_view Conflict(const AuthorizationOptions& options, bool has_users) {
  const bool has_token = !options.authorization.empty();
  if ((!options.username.empty() || !options.password.empty()) && has_token) return "Cannot have a user/pass and token";
  if (!has_users) return "";
  if (!options.username.empty()) return "Can not have a single user/pass and a users array";
  return has_token ? "Can not have a token and a users array" : "";
}

bool FinishAuthorization(AuthorizationOptions& options, Reading& reading, const BlockEnd& end) {
  const bool has_users = end.Got<&AuthorizationOptions::users>();
  const std::string_view conflict = Conflict(options, has_users);
  if (!conflict.empty()) {
    reading.Error(*end.value, conflict);
    return false;
  }
  if (!has_users) return true;
  std::set<std::string> names;
  for (User& user : options.users) {
    const std::string& name = user.nkey.empty() ? user.user : user.nkey;
    if (!names.insert(name).second) {
      reading.Error(*end.value,
                    absl::StrFormat("Duplicate %s %s detected", user.nkey.empty() ? "user" : "nkey", Quoted(name)));
      return false;
    }
    if (!user.permissions) user.permissions = options.default_permissions;
  }
  return true;
}

std::string UsersLines(const AuthorizationOptions& options) {
  if (options.users.empty()) return "";
  std::string text = "  users: [\n";
  for (const User& user : options.users) {
    text += absl::StrFormat("    { user: %s, password: \"[REDACTED]\" }\n", Quoted(user.user));
  }
  return text + "  ]\n";
}

const Block kDefaultPermissions = {
    .rows = kPermissionKeys,
    .inside = &kWithinOptional<&AuthorizationOptions::default_permissions>,
    .not_a_map = kPermissionsNoMap,
    .unknown = kPermissionsUnknown,
    .finish = kHook<FinishPermissions>,
};

constexpr HelpGroup kAuthorizationHelp = {"Authorization Options", 40};

using enum OnReload;
constexpr auto kCheckConnections = &ReloadEffects::authorization;

constexpr Row kAuthorizationKeys[] = {
    {.key = "username", .aliases = "user", .flags = "--user", .value_name = "<user>",
     .help = "User that clients must name", .group = &kAuthorizationHelp, .order = 200,
     .member = &kMember<&AuthorizationOptions::username>, .wrong_ends_block = true, .shown = Shown::kUnlessEmpty,
     .on_reload = kApply, .reloaded = "Reloaded: authorization username", .effects = {kCheckConnections}},
    {.key = "password", .aliases = "pass", .flags = "--pass", .value_name = "<password>",
     .help = "Password of that user, plain or a bcrypt hash", .group = &kAuthorizationHelp, .order = 210,
     .member = &kMember<&AuthorizationOptions::password>, .wrong_ends_block = true, .secret = true,
     .shown = Shown::kUnlessEmpty, .on_reload = kApply, .reloaded = "Reloaded: authorization password",
     .effects = {kCheckConnections}},
    {.key = "token", .flags = "--auth", .value_name = "<token>", .help = "Token that clients must present",
     .group = &kAuthorizationHelp, .order = 220, .member = &kMember<&AuthorizationOptions::authorization>,
     .wrong_ends_block = true, .secret = true, .shown = Shown::kUnlessEmpty, .on_reload = kApply,
     .reloaded = "Reloaded: authorization token", .effects = {kCheckConnections}},
    {.key = "timeout", .order = 310, .member = &kMember<&AuthorizationOptions::auth_timeout>, .zero_is_default = true,
     .read = kHook<ReadTimeout>, .wrong_ends_block = true, .on_reload = kApply,
     .reloaded = "Reloaded: authorization timeout = "},
    {.key = "users", .order = 311, .member = &kMember<&AuthorizationOptions::users>, .block = &kUsers,
     .print_lines = kHook<UsersLines>, .on_reload = kIgnore},
    {.key = "permissions", .aliases = "default_permissions", .old_aliases = "default_permission", .order = 312,
     .block = &kDefaultPermissions, .on_reload = kIgnore},
    {.key = "auth_callout", .old_aliases = "auth_hook", .order = 313, .lacking = &kCallout, .on_reload = kIgnore},
    {.key = "proxy_required", .order = 314, .member = &kUnkept<bool>, .wrong_ends_block = true,
     .lacking = &kProxyRequired, .on_reload = kIgnore},
};

constexpr Block kAuthorizationBlock = {
    .rows = kAuthorizationKeys,
    .inside = &kSameStruct<AuthorizationOptions>,
    .finish = kHook<FinishAuthorization>,
};

// --- keys at the top

void ReadSystemAccount(AuthorizationOptions& options, Reading& reading, const Value& value) {
  if (const std::string* name = value.AsString()) {
    options.system_account = *name;
  } else {
    reading.Error(value, "system account name must be a string");
  }
}

bool IsOtherSystemAccount(const Value& value) {
  return value.AsString() == nullptr || (*value.AsString() != "$SYS" && !value.AsString()->empty());
}

constexpr Lacking kOtherSystemAccount = {"a system account other than $SYS", Lacking::Policy::kRefuse,
                                        IsOtherSystemAccount};

// Users in another order are the same users.
std::vector<User> Sorted(std::vector<User> users) {
  std::sort(users.begin(), users.end(),
            [](const User& a, const User& b) { return a.user != b.user ? a.user < b.user : a.nkey < b.nkey; });
  return users;
}

// The user that connections without credentials get may only go together with its entry. The peer takes users and
// accounts for changed at every reload, and says so.
absl::Status PlanUsers(const AuthorizationOptions& old, const AuthorizationOptions& now, PlannedChanges* plan) {
  const bool entry_stays = std::any_of(now.users.begin(), now.users.end(),
                                       [&](const User& user) { return user.user == old.no_auth_user; });
  if (old.no_auth_user != now.no_auth_user && (!now.no_auth_user.empty() || entry_stays)) {
    return ReloadRefusal("NoAuthUser", old.no_auth_user, now.no_auth_user);
  }
  plan->changes.push_back({"users", "Reloaded: authorization users"});
  plan->changes.push_back({"accounts", "Reloaded: accounts"});
  if (Sorted(old.users) != Sorted(now.users) || old.no_auth_user != now.no_auth_user) plan->authorization = true;
  return absl::OkStatus();
}

constexpr Row kRows[] = {
    {.key = "no_auth_user", .order = 170, .member = &kMember<&AuthorizationOptions::no_auth_user>, .on_reload = kIgnore,
     .plan = kPairHook<PlanUsers>},
    {.key = "system_account", .aliases = "system", .order = 180,
     .member = &kMember<&AuthorizationOptions::system_account>, .read = kHook<ReadSystemAccount>,
     .lacking = &kOtherSystemAccount, .peer_name = "SystemAccount"},
    {.key = "authorization", .order = 190, .block = &kAuthorizationBlock, .on_reload = kIgnore},
    {.key = "no_system_account", .aliases = "no_system|no_sys_acc", .order = 860, .member = &kUnkept<bool>,
     .on_reload = kIgnore},
};

absl::Status CheckNoAuthUser(const AuthorizationOptions& options) {
  const std::string& name = options.no_auth_user;
  if (name.empty()) return absl::OkStatus();
  if (options.users.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("no_auth_user: \"%s\" present, but users/nkeys are not defined", name));
  }
  const bool found = std::any_of(options.users.begin(), options.users.end(), [&](const User& user) {
    return (user.nkey.empty() ? user.user : user.nkey) == name;
  });
  if (found) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "no_auth_user: \"%s\" not present as user or nkey in authorization block or account configuration", name));
}

void AddConcerns(const AuthorizationOptions& options, std::vector<std::string>* concerns) {
  bool any_plain = !options.password.empty() && !IsBcrypt(options.password);
  for (const User& user : options.users) {
    if (user.nkey.empty() && !IsBcrypt(user.password)) any_plain = true;
  }
  if (any_plain) concerns->push_back("Plaintext passwords detected, use nkeys or bcrypt");
}

}  // namespace
}  // namespace config

constexpr config::Table AuthorizationOptions::kTable = {
    .type = &config::kTypeTag<AuthorizationOptions>,
    .rows = config::kRows,
    .check_names = config::kHook<config::CheckNoAuthUser>,
    .concerns = config::kHook<config::AddConcerns>,
};

}  // namespace millrace
