// SPDX-License-Identifier: Apache-2.0
#include "broker/session/info.h"

#include <cstdio>

#include "broker/version.h"

namespace millrace {
namespace {

class Writer {
 public:
  void Text(std::string_view key, std::string_view value) {
    Key(key);
    out_ += '"';
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        (out_ += '\\') += c;
      } else if (byte < 0x20 || c == '<' || c == '>' || c == '&') {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", byte);
        out_ += escape;
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }
  void TextUnlessEmpty(std::string_view key, std::string_view value) {
    if (!value.empty()) Text(key, value);
  }
  void Number(std::string_view key, int64_t value) {
    Key(key);
    out_ += std::to_string(value);
  }
  void Flag(std::string_view key, bool value) {
    Key(key);
    out_ += value ? "true" : "false";
  }
  void FlagIfSet(std::string_view key, bool value) {
    if (value) Flag(key, true);
  }
  void List(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    Key(key);
    out_ += '[';
    for (const std::string& value : values) {
      if (out_.back() != '[') out_ += ',';
      ((out_ += '"') += value) += '"';
    }
    out_ += ']';
  }
  std::string Finish() { return std::move(out_ += "} \r\n"); }

 private:
  void Key(std::string_view key) {
    if (out_.back() != '{') out_ += ',';
    ((out_ += '"') += key) += "\":";
  }
  std::string out_ = "INFO {";
};

}  // namespace

std::string InfoLine(const ServerInfo& server, const ClientInfo& client) {
  Writer w;
  w.Text("server_id", server.server_id);
  w.Text("server_name", server.server_name);
  w.Text("version", kServerVersion);
  w.Number("proto", kProto);
  w.TextUnlessEmpty("git_commit", server.git_commit);
  w.Text("go", kGoVersion);
  w.Text("host", server.host);
  w.Number("port", server.port);
  w.Flag("headers", server.headers);
  w.FlagIfSet("auth_required", client.auth_required);
  w.Number("max_payload", server.max_payload);
  w.FlagIfSet("jetstream", server.jetstream);
  w.TextUnlessEmpty("ip", server.ip);
  w.Number("client_id", static_cast<int64_t>(client.client_id));
  w.TextUnlessEmpty("client_ip", client.client_ip);
  w.TextUnlessEmpty("nonce", client.nonce);
  w.TextUnlessEmpty("domain", server.domain);
  w.List("connect_urls", server.connect_urls);
  w.FlagIfSet("ldm", server.lame_duck);
  w.FlagIfSet("connect_info", client.connect_info);
  w.TextUnlessEmpty("remote_account", client.remote_account);
  w.FlagIfSet("acc_is_sys", client.account_is_system);
  w.Number("api_lvl", kApiLevel);
  w.TextUnlessEmpty("xkey", server.xkey);
  return w.Finish();
}

}  // namespace millrace
