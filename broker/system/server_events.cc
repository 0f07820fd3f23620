// SPDX-License-Identifier: Apache-2.0
#include "broker/system/server_events.h"

#include <initializer_list>
#include <utility>

#include "proto/base/base62.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kConnectType = "io.nats.server.advisory.v1.client_connect";
constexpr std::string_view kDisconnectType = "io.nats.server.advisory.v1.client_disconnect";
constexpr std::string_view kConnectionsType = "io.nats.server.advisory.v1.account_connections";
constexpr std::string_view kAccountPrefix = "$SYS.ACCOUNT.";
constexpr std::string_view kServerPrefix = "$SYS.SERVER.";
constexpr std::string_view kRefusedSubject = "$SYS.ACCOUNT.CLIENT.AUTH.ERR";

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) out += part;
  return out;
}

void PutCount(std::string_view key, uint64_t messages, uint64_t bytes, JsonWriter* out) {
  out->Key(key);
  out->BeginObject();
  out->PutUint("msgs", messages);
  out->PutUint("bytes", bytes);
  out->EndObject();
}

}  // namespace

ServerEvents::ServerEvents(SystemPort& port, Router& router, const int64_t& wall_ns, std::string server_id,
                           const AccountTable& accounts)
    : port_(port), router_(router), wall_ns_(wall_ns), server_id_(std::move(server_id)), accounts_(&accounts) {}

std::string ServerEvents::NewId() {
  return RandomBase62(kNuidDigits, [this] { return router_.Random(); });
}

void ServerEvents::WriteHead(std::string_view type, std::string_view id, JsonWriter* out) {
  out->Put("type", type);
  out->Put("id", id);
  out->PutTime("timestamp", wall_ns_);
  out->Key("server");
  out->Raw(port_.NextServer());
}

void ServerEvents::OnConnect(const ClientFacts& client) {
  std::string subject = Concat({kAccountPrefix, client.about.account, ".CONNECT"});
  if (!Wanted(accounts_->system().id, subject)) return;
  ClientObject about = client.about;
  about.rtt_ns = 0;  // the peer does not tell it here
  about.name_tag = about.account;
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  WriteHead(kConnectType, NewId(), &out);
  out.Key("client");
  about.Write(&out);
  out.EndObject();
  port_.Post({.account = accounts_->system().id, .subject = std::move(subject), .payload = std::move(out).Take()});
}

void ServerEvents::OnDisconnect(const ClientFacts& client, std::string_view reason) {
  TellOfEnd(accounts_->system().id, Concat({kAccountPrefix, client.about.account, ".DISCONNECT"}), client, reason);
}

void ServerEvents::OnAuthError(const ClientFacts& client, std::string_view reason) {
  TellOfEnd(accounts_->system().id, Concat({kServerPrefix, server_id_, ".CLIENT.AUTH.ERR"}), client, reason);
}

void ServerEvents::OnRefused(const ClientFacts& client, std::string_view reason) {
  TellOfEnd(client.account, std::string(kRefusedSubject), client, reason);
}

void ServerEvents::TellOfEnd(AccountId account, std::string subject, const ClientFacts& client,
                             std::string_view reason) {
  if (!Wanted(account, subject)) return;
  ClientObject about = client.about;
  about.stop_ns = wall_ns_;
  about.name_tag = about.account;
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  WriteHead(kDisconnectType, NewId(), &out);
  out.Key("client");
  about.Write(&out);
  PutCount("sent", client.in_messages, client.in_bytes, &out);
  PutCount("received", client.out_messages, client.out_bytes, &out);
  out.Put("reason", reason);
  out.EndObject();
  port_.Post({.account = account, .subject = std::move(subject), .payload = std::move(out).Take()});
}

std::string ServerEvents::ConnectionsSubject(AccountId account) const {
  return Concat({kAccountPrefix, accounts()[account].name, ".SERVER.CONNS"});
}

std::string ServerEvents::OldConnectionsSubject(AccountId account) const {
  return Concat({kServerPrefix, "ACCOUNT.", accounts()[account].name, ".CONNS"});
}

// Of those who are in no account nothing is told.
void ServerEvents::OnConnections(AccountId account, int64_t connections) {
  if (account == accounts().global().id) return;
  const AccountId system = accounts().system().id;
  if (Wanted(system, ConnectionsSubject(account)) || Wanted(system, OldConnectionsSubject(account))) {
    noted_.push_back({.account = account, .connections = connections});
  }
}

void ServerEvents::TellConnections(const AccountConnections& now, std::string_view stat) {
  MR_CHECK(stat.starts_with('{') && stat.size() > 2);
  if (silent_) return;
  const std::string id = NewId();
  std::vector<std::string> subjects = {now.reply};
  if (now.reply.empty()) subjects = {OldConnectionsSubject(now.account), ConnectionsSubject(now.account)};
  for (std::string& subject : subjects) {
    JsonWriter out(JsonLayout::kCompact);
    out.BeginObject();
    WriteHead(kConnectionsType, id, &out);
    out.EndObject();
    std::string payload = std::move(out).Take();
    payload.back() = ',';
    payload += stat.substr(1);
    port_.Post({.account = accounts_->system().id, .subject = std::move(subject), .payload = std::move(payload)});
  }
}

bool ServerEvents::WantsStatistics() {
  return Wanted(accounts_->system().id, Concat({kServerPrefix, server_id_, ".STATSZ"}));
}

void ServerEvents::LameDuck() { TellAtOnce(Concat({kServerPrefix, server_id_, ".LAMEDUCK"})); }

void ServerEvents::Shutdown() {
  TellAtOnce(Concat({kServerPrefix, server_id_, ".SHUTDOWN"}));
  FallSilent();
}

void ServerEvents::TellAtOnce(std::string subject) {
  if (!Wanted(accounts_->system().id, subject)) return;
  port_.Post({.account = accounts_->system().id, .subject = std::move(subject), .payload = port_.NextServer()});
  port_.Flush();
}

}  // namespace millrace
