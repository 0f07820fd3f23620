// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/authorization.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/blocks/accounts.h"
#include "broker/config/blocks/permission_keys.h"
#include "broker/config/blocks/secrets.h"
#include "broker/config/blocks/user_keys.h"
#include "broker/config/language/text.h"
#include "broker/config/table/table.h"
#include "proto/base/status.h"

namespace millrace {
namespace config {
namespace {

constexpr Lacking kCallout = {"auth callout", Lacking::Policy::kRefuse};
constexpr Lacking kProxyRequired = {"proxy_required", Lacking::Policy::kRefuse};

const Block kUsers = {
    .rows = kUserKeys,
    .inside = &kEach<&AuthorizationOptions::users>,
    .not_a_map = kUserNoMap,
    .not_a_list = kUsersNoList,
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
  options.has_block = true;
  const bool has_users = end.Got<&AuthorizationOptions::users>() || !options.account_users.empty();
  const std::string_view conflict = Conflict(options, has_users);
  if (!conflict.empty()) {
    reading.Error(*end.value, conflict);
    return false;
  }
  if (!has_users) return true;
  std::set<std::string> names;
  for (const User& user : options.account_users) names.insert(user.nkey.empty() ? user.user : user.nkey);
  if (!TakeUserNames(options.users, &names, false, *end.value, reading)) return false;
  for (User& user : options.users) {
    if (!user.permissions) user.permissions = options.default_permissions;
  }
  return true;
}

std::string UsersLines(const AuthorizationOptions& options) { return UsersText(options.users, "  "); }

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

const Row kAuthorizationKeys[] = {
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

const Block kAuthorizationBlock = {
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

// Users in another order are the same users.
std::vector<User> Sorted(std::vector<User> users) {
  std::sort(users.begin(), users.end(),
            [](const User& a, const User& b) { return a.user != b.user ? a.user < b.user : a.nkey < b.nkey; });
  return users;
}

bool IsUser(const AuthorizationOptions& options, std::string_view name) {
  const auto is_named = [name](const User& user) { return (user.nkey.empty() ? user.user : user.nkey) == name; };
  return std::any_of(options.users.begin(), options.users.end(), is_named) ||
         std::any_of(options.account_users.begin(), options.account_users.end(), is_named);
}

// The user that connections without credentials get may only go together with its entry. The peer takes users and
// accounts for changed at every reload, and says so.
absl::Status PlanUsers(const AuthorizationOptions& old, const AuthorizationOptions& now, PlannedChanges* plan) {
  const bool entry_stays = IsUser(now, old.no_auth_user);
  if (old.no_auth_user != now.no_auth_user && (!now.no_auth_user.empty() || entry_stays)) {
    return ReloadRefusal("NoAuthUser", old.no_auth_user, now.no_auth_user);
  }
  plan->changes.push_back({"users", "Reloaded: authorization users"});
  plan->changes.push_back({"accounts", "Reloaded: accounts"});
  if (Sorted(old.users) != Sorted(now.users) || Sorted(old.account_users) != Sorted(now.account_users) ||
      old.accounts != now.accounts || old.no_auth_user != now.no_auth_user) {
    plan->authorization = true;
  }
  return absl::OkStatus();
}

const Row kRows[] = {
    {.key = "no_auth_user", .order = 170, .member = &kMember<&AuthorizationOptions::no_auth_user>, .on_reload = kIgnore,
     .plan = kPairHook<PlanUsers>},
    {.key = "system_account", .aliases = "system", .order = 180,
     .member = &kMember<&AuthorizationOptions::system_account>, .read = kHook<ReadSystemAccount>,
     .peer_name = "SystemAccount"},
    {.key = "accounts", .order = 185, .member = &kMember<&AuthorizationOptions::accounts>,
     .read = kHook<ReadAccounts>, .print_lines = kHook<AccountsText>, .on_reload = kIgnore},
    {.key = "mappings", .aliases = "maps", .order = 186, .read = kHook<ReadGlobalMappings>,
     .on_reload = kIgnore},
    {.key = "authorization", .order = 190, .block = &kAuthorizationBlock, .on_reload = kIgnore},
    {.key = "no_system_account", .aliases = "no_system|no_sys_acc", .order = 860, .member = &kUnkept<bool>,
     .on_reload = kIgnore},
};

absl::Status CheckNoAuthUser(const AuthorizationOptions& options) {
  const std::string& name = options.no_auth_user;
  if (name.empty()) return absl::OkStatus();
  if (options.users.empty() && options.account_users.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("no_auth_user: \"%s\" present, but users/nkeys are not defined", name));
  }
  if (IsUser(options, name)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "no_auth_user: \"%s\" not present as user or nkey in authorization block or account configuration", name));
}

absl::Status CheckSystemAccount(const AuthorizationOptions& options) {
  const std::string& name = options.system_account;
  const bool is_known = name.empty() || name == SystemAccountName({}) ||
                        std::any_of(options.accounts.begin(), options.accounts.end(),
                                    [&name](const AccountSpec& account) { return account.name == name; });
  if (is_known) return absl::OkStatus();
  return absl::InvalidArgumentError("error resolving system account: account missing");
}

void AddConcerns(const AuthorizationOptions& options, std::vector<std::string>* concerns) {
  bool any_plain = !options.password.empty() && !IsBcrypt(options.password);
  for (const std::vector<User>* users : {&options.users, &options.account_users}) {
    for (const User& user : *users) any_plain |= user.nkey.empty() && !IsBcrypt(user.password);
  }
  if (any_plain) concerns->emplace_back(kPlainPasswords);
}

}  // namespace
}  // namespace config

bool AuthorizationOptions::OnlySystemUsers() const {
  if (has_block || !no_auth_user.empty() || account_users.empty()) return false;
  const std::string_view system = SystemAccountName(system_account);
  return std::all_of(accounts.begin(), accounts.end(), [system](const AccountSpec& account) {
    return account.name == system || IsGlobalAccount(account.name);
  });
}

constexpr config::Table AuthorizationOptions::kTable = {
    .type = &config::kTypeTag<AuthorizationOptions>,
    .rows = config::kRows,
    .check_names = config::kHook<config::CheckNoAuthUser>,
    .check_start = config::kHook<config::CheckSystemAccount>,
    .concerns = config::kHook<config::AddConcerns>,
};

}  // namespace millrace
