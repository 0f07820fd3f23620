// SPDX-License-Identifier: Apache-2.0
#include "broker/session/connect_options.h"

#include <algorithm>
#include <iterator>

#include "broker/json/reader.h"
#include "broker/json/writer.h"

namespace millrace {
namespace {

bool Take(const JsonValue& value, bool* field) {
  *field = value.boolean;
  return value.kind == JsonKind::kBool;
}
bool Take(const JsonValue& value, std::string* field) {
  *field = value.string;
  return value.kind == JsonKind::kString;
}
bool Take(const JsonValue& value, Secret* field) {
  *field = value.string;
  return value.kind == JsonKind::kString;
}
bool Take(const JsonValue& value, int64_t* field) { return value.AsInteger(field); }

class ConnectReader {
 public:
  explicit ConnectReader(ConnectOptions* options) : o_(*options) {}
  bool types_ok() const { return types_ok_; }

  void TakeMember(const std::string& key, const JsonValue& value) {
    // null leaves a field alone; a wrong type is an error of the whole CONNECT, as in the peer.
    const auto take = [&](std::string_view name, auto* field) {
      if (!JsonKeyMatches(key, name)) return false;
      auto taken = *field;
      if (value.kind == JsonKind::kNull) return true;
      if (Take(value, &taken)) {
        *field = taken;
      } else {
        types_ok_ = false;
      }
      return true;
    };
    // Nobody says an empty one to say something, so memory is taken for others only.
    const auto take_credential = [&](std::string_view name, auto Credentials::* field) {
      auto taken = o_.credentials().*field;
      if (!take(name, &taken)) return false;
      if (!taken.empty() || !(o_.credentials().*field).empty()) o_.own_credentials.Own().*field = std::move(taken);
      return true;
    };
    take("verbose", &o_.verbose) || take("pedantic", &o_.pedantic) || take("echo", &o_.echo) ||
        take("tls_required", &o_.tls_required) || take("headers", &o_.headers) ||
        take("no_responders", &o_.no_responders) || take("new_account", &o_.new_account) ||
        take("protocol", &o_.protocol) || take("name", &o_.name) || take("lang", &o_.lang) ||
        take("version", &o_.version) || take_credential("nkey", &Credentials::nkey) ||
        take_credential("jwt", &Credentials::jwt) || take_credential("sig", &Credentials::sig) ||
        take_credential("auth_token", &Credentials::auth_token) || take_credential("user", &Credentials::user) ||
        take_credential("pass", &Credentials::pass) || take_credential("account", &Credentials::account);
  }

 private:
  ConnectOptions& o_;
  bool types_ok_ = true;
};

struct FieldForLog {
  std::string_view name;
  bool secret = false;
};

constexpr FieldForLog kFieldsForLog[] = {
    {"verbose"}, {"pedantic"}, {"echo"}, {"tls_required"}, {"headers"}, {"no_responders"}, {"new_account"},
    {"protocol"}, {"name"}, {"lang"}, {"version"}, {"user"}, {"account"},
    {"nkey", true}, {"jwt", true}, {"sig", true}, {"auth_token", true}, {"pass", true},
};

constexpr std::string_view kRedacted = "[REDACTED]";

}  // namespace

const Credentials& CredentialsBox::get() const {
  static const Credentials kNone;
  return box_ == nullptr ? kNone : *box_;
}

bool IsJsonObject(std::string_view text) { return JsonMembers(text).IsObjectOrNull(); }

bool ParseConnect(std::string_view text, ConnectOptions* options) {
  JsonMembers members(text);
  if (!members.IsObjectOrNull()) return false;
  ConnectReader reader(options);
  while (members.Next()) reader.TakeMember(members.key(), members.value());
  return reader.types_ok();
}

std::string ConnectForLog(std::string_view text) {
  JsonMembers members(text);
  if (!members.IsObjectOrNull()) return "(no JSON object)";
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  while (members.Next()) {
    const auto* field = std::find_if(std::begin(kFieldsForLog), std::end(kFieldsForLog), [&](const FieldForLog& known) {
      return JsonKeyMatches(members.key(), known.name);
    });
    if (field == std::end(kFieldsForLog)) continue;
    const JsonValue& value = members.value();
    if (field->secret) {
      json.Put(field->name, kRedacted);
    } else if (value.kind == JsonKind::kString) {
      json.Put(field->name, value.string);
    } else if (value.kind == JsonKind::kArray || value.kind == JsonKind::kObject) {
      json.Put(field->name, kRedacted);  // none of them takes one, and anything may be inside
    } else {
      json.Key(field->name), json.Raw(value.raw);
    }
  }
  json.EndObject();
  return std::move(json).Take();
}

}  // namespace millrace
