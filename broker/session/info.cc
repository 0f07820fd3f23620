// SPDX-License-Identifier: Apache-2.0
#include "broker/session/info.h"

#include "broker/json/writer.h"
#include "broker/version.h"

namespace millrace {

std::string InfoLine(const ServerInfo& server, const ClientInfo& client) {
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  json.Put("server_id", server.server_id);
  json.Put("server_name", server.server_name);
  json.Put("version", kServerVersion);
  json.PutInt("proto", kProto);
  json.Opt("git_commit", server.git_commit);
  json.Put("go", kGoVersion);
  json.Put("host", server.host);
  json.PutInt("port", server.port);
  json.PutBool("headers", server.headers);
  json.OptBool("auth_required", client.auth_required);
  const bool is_less = client.max_payload >= 0 && client.max_payload < server.max_payload;
  json.PutInt("max_payload", is_less ? client.max_payload : server.max_payload);
  json.OptBool("jetstream", server.jetstream);
  json.Opt("ip", server.ip);
  json.PutUint("client_id", client.client_id);
  json.Opt("client_ip", client.client_ip);
  json.Opt("nonce", client.nonce);
  json.Opt("domain", server.domain);
  json.OptStrings("connect_urls", server.connect_urls);
  json.OptBool("ldm", server.lame_duck);
  json.OptBool("connect_info", client.connect_info);
  json.Opt("remote_account", client.remote_account);
  json.OptBool("acc_is_sys", client.account_is_system);
  json.PutInt("api_lvl", kApiLevel);
  json.Opt("xkey", server.xkey);
  json.EndObject();
  return "INFO " + json.text() + " \r\n";
}

}  // namespace millrace
