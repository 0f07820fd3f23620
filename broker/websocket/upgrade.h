// SPDX-License-Identifier: Apache-2.0
// Upgrade: whether a request makes a WebSocket connection, what is answered, and what it says of the client.
// Owner:  caller (pure).
// Errors: UpgradeAnswer::refusal with the status to answer and the peer's words for the log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

// What is asked for, as the HTTP parser has it: names in any case, values without blanks around them.
struct UpgradeRequest {
  std::string method;
  std::string path;  // as sent, without the query
  std::vector<std::pair<std::string, std::string>> fields;
  bool encrypted = false;  // over TLS
};

struct AllowedOrigin {
  std::string scheme, host, port;

  friend bool operator==(const AllowedOrigin&, const AllowedOrigin&) = default;
};

struct UpgradeRules {
  bool compression = false;
  bool mqtt = false;  // there is MQTT for paths that end in /mqtt
  bool same_origin = false;
  std::vector<AllowedOrigin> allowed_origins = {};  // none: any
  std::string jwt_cookie = {}, user_cookie = {}, password_cookie = {}, token_cookie = {};  // their names
  std::string response_fields = {};  // whole lines
};

enum class UpgradeKind : uint8_t { kClient, kLeaf, kMqtt };

struct Upgrade {
  UpgradeKind kind = UpgradeKind::kClient;
  bool compression = false;
  bool masked = true;           // the client masks its frames
  bool browser = false;         // gets frames of limited size
  bool whole_messages = false;  // Safari, compressed: a message is one frame
  std::string client_ip;        // X-Forwarded-For; empty when there is none
  std::string jwt, user, password, token;  // of cookies
};

struct UpgradeRefusal {
  int status = 0;  // 400, 403, 404, 405
  std::string reason;
};

struct UpgradeAnswer {
  std::optional<UpgradeRefusal> refusal;
  Upgrade upgrade;       // without a refusal
  std::string response;  // without a refusal: all of it
};

UpgradeAnswer AnswerUpgrade(const UpgradeRequest& request, const UpgradeRules& rules);
// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string AcceptKey(std::string_view key);
// An origin's parts in small letters, its port by scheme where none is said. An error instead of parts: why not.
struct OriginParts {
  AllowedOrigin origin;
  std::string error;
};
OriginParts ParseOrigin(std::string_view text);

}  // namespace millrace
