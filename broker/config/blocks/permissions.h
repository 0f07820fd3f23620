// SPDX-License-Identifier: Apache-2.0
// Permissions and users as the configuration states them (rows G-25..G-27, A-01..A-23).
// Owner:  immutable once a configuration is applied.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace {

// Publish side. An absent list means: not restricted that way; an empty `allow` permits nothing. (An empty list in a
// file is an absent one; what permits nothing is allow_responses without `publish`.)
// Deny wins over allow.
struct SubjectPermission {
  std::optional<std::vector<std::string>> allow = {};
  std::optional<std::vector<std::string>> deny = {};
  bool operator==(const SubjectPermission&) const = default;
};

// One entry of a subscribe list: "subject" or "subject queue". The queue may hold wildcards.
struct SubscribeEntry {
  std::string subject = {};
  std::optional<std::string> queue = {};
  bool operator==(const SubscribeEntry&) const = default;
};

struct SubscribePermission {
  std::optional<std::vector<SubscribeEntry>> allow = {};
  std::optional<std::vector<SubscribeEntry>> deny = {};
  bool operator==(const SubscribePermission&) const = default;
};

// allow_responses: how often and how long one reply subject may be published to.
struct ResponsePermission {
  static constexpr int kDefaultMaxMsgs = 1;
  static constexpr std::chrono::nanoseconds kDefaultExpires = std::chrono::minutes(2);

  int max = kDefaultMaxMsgs;                           // messages per reply subject; < 0: unlimited
  std::chrono::nanoseconds expires = kDefaultExpires;  // since the request; < 0: never
  bool operator==(const ResponsePermission&) const = default;
};

struct Permissions {
  std::optional<SubjectPermission> publish = {};
  std::optional<SubscribePermission> subscribe = {};
  std::optional<ResponsePermission> response = {};
  bool operator==(const Permissions&) const = default;
};

// allowed_connection_types as bits; a user without the key may use all.
enum ConnectionType : uint16_t {
  kConnectionStandard = 1u << 0,
  kConnectionWebsocket = 1u << 1,
  kConnectionLeafnode = 1u << 2,
  kConnectionLeafnodeWs = 1u << 3,
  kConnectionMqtt = 1u << 4,
  kConnectionMqttWs = 1u << 5,
  kConnectionInProcess = 1u << 6,
};
using ConnectionTypes = uint16_t;

struct User {
  std::string user = {};      // empty when this is an nkey user
  std::string password = {};  // plain, or a bcrypt hash: see IsBcrypt() in secrets.h
  std::string nkey = {};      // public user key, "U..."
  std::optional<Permissions> permissions = {};  // default_permissions are filled in
  std::optional<ConnectionTypes> allowed_connection_types = {};
  bool proxy_required = false;
  std::string account = {};  // empty: $G
  bool operator==(const User&) const = default;
};

}  // namespace millrace
