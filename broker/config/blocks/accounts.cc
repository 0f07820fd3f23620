// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/accounts.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/account/account_spec.h"
#include "broker/account/import_graph.h"
#include "broker/account/nkey.h"
#include "broker/config/blocks/account_imports.h"
#include "broker/config/blocks/permission_keys.h"
#include "broker/config/blocks/user_keys.h"
#include "broker/config/language/text.h"
#include "proto/subject.h"

namespace millrace::config {
namespace {

// One account of the file.
struct AccountBlock {
  AccountSpec spec = {};
  std::vector<User> users = {};
  const Value* users_at = nullptr;
  std::optional<Permissions> default_permissions = {};
};

// --- JetStream

void ReadJetStreamSize(Reading& reading, const Value& value, int64_t* limit) {
  if (const int64_t* size = value.AsInteger()) {
    *limit = *size;
  } else {
    reading.Error(value, absl::StrFormat("Expected a parseable size for %s, got %s", Quoted(reading.key()),
                                         PlainText(value)));
  }
}

template <auto member>
void ReadSize(JetStreamAccountLimits& limits, Reading& reading, const Value& value) {
  ReadJetStreamSize(reading, value, &(limits.*member));
}

void ReadBytesRequired(JetStreamAccountLimits& limits, Reading& reading, const Value& value) {
  if (const bool* on = value.AsBool()) {
    limits.max_bytes_required = *on;
  } else {
    reading.Error(value, absl::StrFormat("Expected a parseable bool for %s, got %s", Quoted(reading.key()),
                                         PlainText(value)));
  }
}

// Which account pays for the traffic between servers: there is one server.
void ReadClusterTraffic(JetStreamAccountLimits&, Reading& reading, const Value& value) {
  const std::string* word = value.AsString();
  if (word == nullptr) {
    reading.Error(value, absl::StrFormat("Expected either 'system' or 'owner' string value for %s, got %s",
                                         Quoted(reading.key()), PlainText(value)));
  } else if (!word->empty() && *word != "system" && *word != "owner") {
    reading.Error(value, absl::StrFormat("Expected 'system' or 'owner' string value for %s, got %s",
                                         Quoted(reading.key()), *word));
  }
}

constexpr Row kJetStreamKeys[] = {
    {.key = "max_memory", .aliases = "max_mem|mem|memory",
     .read = kHook<ReadSize<&JetStreamAccountLimits::max_memory>>, .wrong_ends_block = true},
    {.key = "max_store", .aliases = "max_file|max_disk|store|disk",
     .read = kHook<ReadSize<&JetStreamAccountLimits::max_storage>>, .wrong_ends_block = true},
    {.key = "max_streams", .aliases = "streams", .read = kHook<ReadSize<&JetStreamAccountLimits::max_streams>>,
     .wrong_ends_block = true},
    {.key = "max_consumers", .aliases = "consumers", .read = kHook<ReadSize<&JetStreamAccountLimits::max_consumers>>,
     .wrong_ends_block = true},
    {.key = "max_bytes_required", .aliases = "max_stream_bytes|max_bytes", .read = kHook<ReadBytesRequired>,
     .wrong_ends_block = true},
    {.key = "mem_max_stream_bytes", .aliases = "memory_max_stream_bytes",
     .read = kHook<ReadSize<&JetStreamAccountLimits::memory_max_stream_bytes>>, .wrong_ends_block = true},
    {.key = "disk_max_stream_bytes", .aliases = "store_max_stream_bytes",
     .read = kHook<ReadSize<&JetStreamAccountLimits::storage_max_stream_bytes>>, .wrong_ends_block = true},
    {.key = "max_ack_pending", .read = kHook<ReadSize<&JetStreamAccountLimits::max_ack_pending>>,
     .wrong_ends_block = true},
    {.key = "cluster_traffic", .read = kHook<ReadClusterTraffic>, .wrong_ends_block = true},
};
constexpr Block kJetStream = {
    .rows = kJetStreamKeys, .inside = &kSameStruct<JetStreamAccountLimits>, .unknown = "unknown field %s"};

void ReadJetStream(AccountBlock& block, Reading& reading, const Value& value) {
  AccountJetStream& jetstream = block.spec.jetstream;
  if (const bool* on = value.AsBool()) {
    if (*on) jetstream = UnlimitedJetStream();
  } else if (const std::string* text = value.AsString()) {
    const std::string word = Lower(*text);
    if (word == "enabled" || word == "enable") {
      jetstream = UnlimitedJetStream();
    } else if (word == "disabled" || word == "disable") {
      jetstream = {};
    } else {
      reading.ErrorWithoutPlace(
          absl::StrFormat("Expected 'enabled' or 'disabled' for string value, got '%s'", *text));
    }
  } else if (value.AsMap() != nullptr) {
    JetStreamAccountLimits limits;
    if (reading.ReadBlock(kJetStream, value, &limits)) jetstream = {true, {{std::string(kFlatTier), limits}}};
  } else {
    reading.ErrorWithoutPlace(
        absl::StrFormat("Expected map, bool or string to define JetStream, got %s", PeerTypeName(value)));
  }
}

// --- the block

void ReadNkey(AccountBlock& block, Reading& reading, const Value& value) {
  const std::string* key = value.AsString();
  if (key == nullptr || !DecodeNkey(NkeyPrefix::kAccount, *key)) {
    return reading.Error(value, absl::StrFormat("Not a valid public nkey for an account: %s",
                                                key == nullptr ? PlainText(value) : Quoted(*key)));
  }
  block.spec.nkey = *key;
}

constexpr Lacking kLeafLimit = {"leafnodes", Lacking::Policy::kWarn};

constexpr Row kLimitsKeys[] = {
    {.key = "max_connections", .aliases = "max_conn", .member = &kMember<&AccountLimits::connections>},
    {.key = "max_subscriptions", .aliases = "max_subs", .member = &kMember<&AccountLimits::subscriptions>},
    {.key = "max_payload", .aliases = "max_pay", .member = &kMember<&AccountLimits::payload>},
    {.key = "max_leafnodes", .aliases = "max_leafs", .member = &kMember<&AccountLimits::leafnodes>,
     .lacking = &kLeafLimit},
};
constexpr Block kLimits = {
    .rows = kLimitsKeys,
    .inside = &kSameStruct<AccountLimits>,
    .not_a_map = "Expected account limits to be a map/struct, got %v",
    .unknown = "Unknown field %s parsing account limits",
};

void ReadLimits(AccountBlock& block, Reading& reading, const Value& value) {
  reading.ReadBlock(kLimits, value, &block.spec.limits);
}

const Block kUsers = {
    .rows = kUserKeys,
    .inside = &kEach<&AccountBlock::users>,
    .not_a_map = kUserNoMap,
    .not_a_list = kUsersNoList,
    .finish = kHook<FinishUser>,
};

void ReadUsers(AccountBlock& block, Reading& reading, const Value& value) {
  block.users_at = &value;
  if (!reading.ReadBlock(kUsers, value, &block)) block.users.clear();
}

template <auto read>
void ReadOfSpec(AccountBlock& block, Reading& reading, const Value& value) {
  read(block.spec, reading, value);
}

const Block kDefaultPermissions = {
    .rows = kPermissionKeys,
    .inside = &kWithinOptional<&AccountBlock::default_permissions>,
    .not_a_map = kPermissionsNoMap,
    .unknown = kPermissionsUnknown,
    .finish = kHook<FinishPermissions>,
};

// --- where its traces go

bool ReadTraceDest(AccountTrace& trace, Reading& reading, const Value& value, std::string_view key) {
  const std::string* dest = value.AsString();
  if (dest == nullptr) {
    reading.Error(value, absl::StrFormat("Field %s should be a string, got %s", Quoted(key), PeerTypeName(value)));
  } else if (!IsValidSubject(*dest) || !IsLiteral(*dest)) {
    reading.Error(value, absl::StrFormat("Trace destination %s is not valid", Quoted(*dest)));
  } else {
    trace.dest = *dest;
    return true;
  }
  return false;
}

bool ReadTraceSampling(AccountTrace& trace, Reading& reading, const Value& value, std::string_view key) {
  int64_t sampling = 0;
  if (const int64_t* number = value.AsInteger()) {
    sampling = *number;
  } else if (const std::string* text = value.AsString()) {
    const std::optional<int> percent = ParseDecimal(WithoutPercent(*text));
    if (!percent) {
      reading.Error(value, absl::StrFormat("Invalid trace destination sampling value %s", Quoted(*text)));
      return false;
    }
    sampling = *percent;
  } else {
    reading.Error(value, absl::StrFormat("Trace destination sampling field %s should be an integer or a percentage, "
                                         "got %s", Quoted(key), PeerTypeName(value)));
    return false;
  }
  if (sampling <= 0 || sampling > 100) {
    reading.Error(value, absl::StrFormat("Ttrace destination sampling value %d is invalid, needs to be [1..100]",
                                         sampling));
    return false;
  }
  trace.sampling = static_cast<int>(sampling);
  return true;
}

void ReadTrace(AccountBlock& block, Reading& reading, const Value& value) {
  AccountTrace& trace = block.spec.trace;
  if (value.AsString() != nullptr) {
    ReadTraceDest(trace, reading, value, reading.key());
    return;
  }
  const Map* map = value.AsMap();
  if (map == nullptr) {
    return reading.Error(value, absl::StrFormat("Expected account message trace %s to be a string or a map/struct, "
                                                "got %s", Quoted(reading.key()), PeerTypeName(value)));
  }
  bool is_sampled = false;
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, field] = *entry;
    const std::string name = Lower(key);
    if (name == "dest") {
      if (!ReadTraceDest(trace, reading, field, key)) return;
    } else if (name == "sampling") {
      if (!ReadTraceSampling(trace, reading, field, key)) return;
      is_sampled = true;
    } else if (!field.used_as_variable) {
      return reading.Error(field, absl::StrFormat("Unknown field %s parsing account message trace map/struct %s",
                                                  Quoted(key), Quoted(reading.key())));
    }
  }
  if (!is_sampled || !trace.dest.empty()) return;
  reading.Warn(value, "Trace destination sampling ignored since no destination was set");
  trace.sampling = 100;
}

const Row kAccountKeys[] = {
    {.key = "nkey", .read = kHook<ReadNkey>},
    {.key = "imports", .read = kHook<ReadOfSpec<ReadImports>>},
    {.key = "exports", .read = kHook<ReadOfSpec<ReadExports>>},
    {.key = "jetstream", .read = kHook<ReadJetStream>},
    {.key = "users", .read = kHook<ReadUsers>},
    {.key = "default_permissions", .block = &kDefaultPermissions},
    {.key = "mappings", .aliases = "maps", .read = kHook<ReadOfSpec<ReadMappings>>},
    {.key = "limits", .read = kHook<ReadLimits>},
    {.key = "msg_trace", .aliases = "trace_dest", .read = kHook<ReadTrace>},
};
const Block kAccount = {
    .rows = kAccountKeys,
    .inside = &kSameStruct<AccountBlock>,
    .not_a_map = "Expected map entries for accounts",
    .unknown = "unknown field %s",
};

bool IsReserved(std::string_view name, Reading& reading, const Value& value) {
  if (!IsGlobalAccount(name)) return false;
  reading.Error(value, absl::StrFormat("%s is a Reserved Account", Quoted(name)));
  return true;
}

void ReadNames(AuthorizationOptions& options, Reading& reading, const Array& array) {
  std::set<std::string> names;
  for (const Value& each : array) {
    const std::string* name = reading.String(each);
    if (name == nullptr) return;
    if (IsReserved(*name, reading, each)) continue;
    if (!names.insert(*name).second) {
      reading.Error(each, absl::StrFormat("Duplicate Account Entry: %s", *name));
      continue;
    }
    options.accounts.push_back({.name = *name});
  }
}

// Users of accounts, and one user or token for all, exclude each other.
std::string_view Conflict(const AuthorizationOptions& options, const AccountBlock& block) {
  if (block.users.empty()) return "";
  if (!options.username.empty()) return "Can not have a single user/pass and accounts";
  return options.authorization.empty() ? "" : "Can not have a token and accounts";
}

void TakeUsers(AuthorizationOptions& options, AccountBlock& block, std::set<std::string>* names, Reading& reading) {
  const std::string_view conflict = Conflict(options, block);
  if (!conflict.empty()) return reading.Error(*block.users_at, conflict);
  if (!block.users.empty()) TakeUserNames(block.users, names, true, *block.users_at, reading);
  for (User& user : block.users) {
    if (!user.permissions) user.permissions = block.default_permissions;
    user.account = block.spec.name;
    options.account_users.push_back(std::move(user));
  }
}

}  // namespace

void ReadAccounts(AuthorizationOptions& options, Reading& reading, const Value& value) {
  if (const Array* array = value.AsArray()) return ReadNames(options, reading, *array);
  const Map* map = value.AsMap();
  if (map == nullptr) return;  // the peer takes no notice of it, either
  std::set<std::string> names;
  for (const User& user : options.users) names.insert(user.nkey.empty() ? user.user : user.nkey);
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [name, account] = *entry;
    if (account.used_as_variable) continue;
    if (account.AsMap() != nullptr && IsReserved(name, reading, account)) continue;
    AccountBlock block;
    block.spec.name = name;
    if (!reading.ReadBlock(kAccount, account, &block)) continue;
    TakeUsers(options, block, &names, reading);
    options.accounts.push_back(std::move(block.spec));
  }
  options.accounts.shrink_to_fit();
  options.account_users.shrink_to_fit();
  // What accounts are to each other is asked when each alone is right.
  if (reading.has_errors()) return;
  for (const std::string& error : CompileAccounts(options.accounts, {}).errors) reading.Error(value, error);
}

void ReadGlobalMappings(AuthorizationOptions& options, Reading& reading, const Value& value) {
  AccountSpec global = GlobalAccountSpec();
  ReadMappings(global, reading, value);
  options.accounts.push_back(std::move(global));
}

std::string AccountsText(const AuthorizationOptions& options) {
  std::string text;
  for (const AccountSpec& account : options.accounts) {
    if (IsGlobalAccount(account.name)) continue;
    std::vector<User> users;
    for (const User& user : options.account_users) {
      if (user.account == account.name) users.push_back(user);
    }
    text += absl::StrFormat("  %s: {\n%s  }\n", Quoted(account.name), UsersText(users, "    "));
  }
  return text.empty() ? text : "accounts: {\n" + text + "}\n";
}

}  // namespace millrace::config
