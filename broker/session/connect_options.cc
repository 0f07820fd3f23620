// SPDX-License-Identifier: Apache-2.0
#include "broker/session/connect_options.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace millrace {
namespace {

using Json = nlohmann::json;

bool SameKey(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

// Each returns false on a type that the peer's decoder refuses; null leaves the field alone.
bool Take(const Json& value, bool* field) {
  if (value.is_null()) return true;
  if (!value.is_boolean()) return false;
  *field = value.get<bool>();
  return true;
}

bool Take(const Json& value, std::string* field) {
  if (value.is_null()) return true;
  if (!value.is_string()) return false;
  *field = value.get_ref<const std::string&>();
  return true;
}

bool Take(const Json& value, int64_t* field) {
  if (value.is_null()) return true;
  if (!value.is_number_integer()) return false;
  *field = value.get<int64_t>();
  return true;
}

}  // namespace

bool IsJsonObject(std::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  return json.is_object() || json.is_null();
}

bool ParseConnect(std::string_view text, ConnectOptions* o) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_null() && !json.is_discarded()) return true;
  if (!json.is_object()) return false;
  bool ok = true;
  for (const auto& [key, value] : json.items()) {
    const auto take = [&, &v = value, &k = key](std::string_view name, auto* field) {
      if (!SameKey(k, name)) return false;
      ok &= Take(v, field);
      return true;
    };
    take("verbose", &o->verbose) || take("pedantic", &o->pedantic) || take("echo", &o->echo) ||
        take("tls_required", &o->tls_required) || take("headers", &o->headers) ||
        take("no_responders", &o->no_responders) || take("new_account", &o->new_account) ||
        take("protocol", &o->protocol) || take("nkey", &o->nkey) || take("jwt", &o->jwt) || take("sig", &o->sig) ||
        take("auth_token", &o->auth_token) || take("user", &o->user) || take("pass", &o->pass) ||
        take("account", &o->account) || take("name", &o->name) || take("lang", &o->lang) ||
        take("version", &o->version);
  }
  return ok;
}

}  // namespace millrace
