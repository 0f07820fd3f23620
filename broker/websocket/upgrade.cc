// SPDX-License-Identifier: Apache-2.0
#include "broker/websocket/upgrade.h"

#include <arpa/inet.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

constexpr std::string_view kExtension = "permessage-deflate";
constexpr size_t kKeyBytes = 16;

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return lower;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) { return Lower(a) == Lower(b); }

// Cuts what is before the next `mark` off *text, blanks around it taken away.
std::string_view Cut(std::string_view* text, char mark) {
  const size_t end = std::min(text->find(mark), text->size());
  std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  while (!part.empty() && (part.front() == ' ' || part.front() == '\t')) part.remove_prefix(1);
  while (!part.empty() && (part.back() == ' ' || part.back() == '\t')) part.remove_suffix(1);
  return part;
}

// The first of this name; empty when there is none. `name` is in small letters, here and below.
std::string_view Field(const UpgradeRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.fields)
    if (Lower(key) == name) return value;
  return {};
}

// Whether a field of this name lists `token`.
bool Lists(const UpgradeRequest& request, std::string_view name, std::string_view token) {
  for (const auto& [key, value] : request.fields) {
    if (Lower(key) != name) continue;
    for (std::string_view rest = value; !rest.empty();)
      if (EqualsIgnoringCase(Cut(&rest, ','), token)) return true;
  }
  return false;
}

bool OffersCompression(const UpgradeRequest& request) {
  for (const auto& [key, value] : request.fields) {
    if (Lower(key) != "sec-websocket-extensions") continue;
    for (std::string_view extensions = value; !extensions.empty();) {
      for (std::string_view extension = Cut(&extensions, ','); !extension.empty();)
        if (EqualsIgnoringCase(Cut(&extension, ';'), kExtension)) return true;
    }
  }
  return false;
}

struct HostPort {
  std::string host, port, error;
};

HostPort SplitHostPort(std::string_view text, bool encrypted) {
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const size_t bracket = bracketed ? text.find(']') : std::string_view::npos;
  if (colon == std::string_view::npos || (bracketed && bracket + 1 == text.size()))
    return {Lower(text), encrypted ? "443" : "80", ""};
  if (bracketed ? bracket + 1 != colon : text.find(':') != colon)
    return {"", "", absl::StrFormat("address %s: too many colons in address", text)};
  const std::string_view host = bracketed ? text.substr(1, bracket - 1) : text.substr(0, colon);
  return {Lower(host), std::string(text.substr(colon + 1)), ""};
}

// Why the origin is not allowed; empty when it is.
std::string CheckOrigin(const UpgradeRequest& request, const UpgradeRules& rules) {
  if (!rules.same_origin && rules.allowed_origins.empty()) return {};
  std::string_view text = Field(request, "origin");
  if (text.empty()) text = Field(request, "sec-websocket-origin");
  if (text.empty()) return {};  // no browser: it could say anything
  const OriginParts parts = ParseOrigin(text);
  if (!parts.error.empty()) return parts.error;
  if (rules.same_origin) {
    const HostPort own = SplitHostPort(Field(request, "host"), request.encrypted);
    if (!own.error.empty()) return own.error;
    if (parts.origin != AllowedOrigin{request.encrypted ? "https" : "http", own.host, own.port})
      return "not same origin";
  }
  const auto& allowed = rules.allowed_origins;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), parts.origin) == allowed.end())
    return "not in the allowed list";
  return {};
}

std::optional<UpgradeRefusal> Check(const UpgradeRequest& request, const UpgradeRules& rules, UpgradeKind kind) {
  if (kind == UpgradeKind::kMqtt && !rules.mqtt) return UpgradeRefusal{404, "mqtt websocket endpoint not enabled"};
  if (request.method != "GET") return UpgradeRefusal{405, "request method must be GET"};
  if (Field(request, "host").empty()) return UpgradeRefusal{400, "'Host' missing in request"};
  if (!Lists(request, "upgrade", "websocket")) return UpgradeRefusal{400, "invalid value for header 'Upgrade'"};
  if (!Lists(request, "connection", "Upgrade")) return UpgradeRefusal{400, "invalid value for header 'Connection'"};
  const std::string_view key = Field(request, "sec-websocket-key");
  if (key.empty()) return UpgradeRefusal{400, "key missing"};
  // Of 24 characters, so that Abseil's reading, which asks for no padding, is as strict as the peer's.
  std::string decoded;
  if (key.size() != 24 || !key.ends_with("==") || !absl::Base64Unescape({key.data(), key.size()}, &decoded) ||
      decoded.size() != kKeyBytes)
    return UpgradeRefusal{400, "invalid websocket key"};
  if (!Lists(request, "sec-websocket-version", "13")) return UpgradeRefusal{400, "invalid version"};
  if (const std::string error = CheckOrigin(request, rules); !error.empty())
    return UpgradeRefusal{403, "origin not allowed: " + error};
  return std::nullopt;
}

bool IsAddress(std::string_view text) {
  char parsed[16];
  const std::string copy(text);
  return copy.find('\0') == std::string::npos && (inet_pton(AF_INET, copy.c_str(), parsed) == 1 ||
                                                   inet_pton(AF_INET6, copy.c_str(), parsed) == 1);
}

void ReadCookies(const UpgradeRequest& request, const UpgradeRules& rules, Upgrade* upgrade) {
  for (const auto& [key, line] : request.fields) {
    if (Lower(key) != "cookie") continue;
    for (std::string_view rest = line; !rest.empty();) {
      std::string_view value = Cut(&rest, ';');
      const std::string_view name = Cut(&value, '=');
      if (name.empty()) continue;
      if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      if (std::any_of(value.begin(), value.end(), [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; }))
        continue;
      if (name == rules.jwt_cookie) {
        upgrade->jwt = value;
      } else if (name == rules.user_cookie) {
        upgrade->user = value;
      } else if (name == rules.password_cookie) {
        upgrade->password = value;
      } else if (name == rules.token_cookie) {
        upgrade->token = value;
      }
    }
  }
}

}  // namespace

std::string AcceptKey(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  byte digest[WC_SHA_DIGEST_SIZE];
  wc_Sha sha;
  MR_CHECK(wc_InitSha(&sha) == 0);
  MR_CHECK(wc_ShaUpdate(&sha, reinterpret_cast<const byte*>(text.data()), static_cast<word32>(text.size())) == 0);
  MR_CHECK(wc_ShaFinal(&sha, digest) == 0);
  wc_ShaFree(&sha);
  return absl::Base64Escape({reinterpret_cast<const char*>(digest), sizeof digest});
}

OriginParts ParseOrigin(std::string_view text) {
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos || scheme_end == 0)
    return {{}, absl::StrFormat("parse %s: invalid URI for request", Quoted(text))};
  const std::string scheme = Lower(text.substr(0, scheme_end));
  std::string_view host = text.substr(scheme_end + 3);
  host = host.substr(0, host.find_first_of("/?"));
  if (const size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  HostPort parts = SplitHostPort(host, scheme == "https");
  return {{scheme, std::move(parts.host), std::move(parts.port)}, std::move(parts.error)};
}

UpgradeAnswer AnswerUpgrade(const UpgradeRequest& request, const UpgradeRules& rules) {
  UpgradeAnswer answer;
  Upgrade& upgrade = answer.upgrade;
  if (request.path.ends_with("/leafnode")) {
    upgrade.kind = UpgradeKind::kLeaf;
  } else if (request.path.ends_with("/mqtt")) {
    upgrade.kind = UpgradeKind::kMqtt;
  }
  answer.refusal = Check(request, rules, upgrade.kind);
  if (answer.refusal) return answer;
  upgrade.compression = rules.compression && OffersCompression(request);
  upgrade.masked = Field(request, "nats-no-masking") != "true";
  if (const std::string_view ip = Field(request, "x-forwarded-for"); IsAddress(ip)) upgrade.client_ip = ip;
  if (upgrade.kind != UpgradeKind::kLeaf) {
    const std::string_view agent = Field(request, "user-agent");
    upgrade.browser = agent.starts_with("Mozilla/");
    // Chrome on a Mac says Safari as well; only Safari says Version.
    upgrade.whole_messages = upgrade.browser && upgrade.compression &&
                             agent.find("Version/") != std::string_view::npos &&
                             agent.find("Safari/") != std::string_view::npos;
    ReadCookies(request, rules, &upgrade);
  }
  answer.response =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
  answer.response += AcceptKey(Field(request, "sec-websocket-key")) + "\r\n";
  if (upgrade.compression)
    answer.response +=
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
  if (!upgrade.masked) answer.response += "Nats-No-Masking: true\r\n";
  if (upgrade.kind == UpgradeKind::kMqtt) answer.response += "Sec-Websocket-Protocol: mqtt\r\n";
  answer.response += rules.response_fields + "\r\n";
  return answer;
}

}  // namespace millrace
