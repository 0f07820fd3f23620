// SPDX-License-Identifier: Apache-2.0
// Goal: our pages are the peer's, to the byte. Method: read a page recorded from the peer back into
// a snapshot, render that, compare the text.
#include "tests/monitor/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "broker/monitor/service.h"

namespace millrace {
namespace {

std::string RenderConnzPage(const std::string& golden, const char* target) {
  const auto options = ParseConnzParams(HttpTarget(target));
  EXPECT_TRUE(options.ok());
  ConnzInput input = ReadConnz(Json::parse(golden));
  JsonWriter out;
  RenderConnz(std::move(input), *options, &out);
  return std::move(out).Take();
}

TEST(Golden, ConnectionsWithDetailAndUsers) {
  const std::string golden = ReadGolden("connz_detail");
  EXPECT_EQ(RenderConnzPage(golden, "/connz?subs=detail&auth=1"), golden);
}

TEST(Golden, ConnectionsOpenAndClosedWithSubjects) {
  const std::string golden = ReadGolden("connz_any");
  EXPECT_EQ(RenderConnzPage(golden, "/connz?state=any&subs=1"), golden);
}

TEST(Golden, ClosedConnectionsNameTheAccountOfSubscriptions) {
  const std::string golden = ReadGolden("connz_closed");
  EXPECT_EQ(RenderConnzPage(golden, "/connz?state=closed&subs=detail&auth=1"), golden);
}

TEST(Golden, ConnectionsOfAnUnknownAccount) {
  const std::string golden = ReadGolden("connz_none");
  const auto options = ParseConnzParams(HttpTarget("/connz?acc=nope&offset=3&limit=7"));
  ASSERT_TRUE(options.ok());
  ConnzInput input;
  input.server_id = "N1";
  input.now_ns = ReadTime(Json::parse(golden), "now");
  input.account_known = false;
  JsonWriter out;
  RenderConnz(std::move(input), *options, &out);
  EXPECT_EQ(out.text(), golden);
}

TEST(Golden, Subscriptions) {
  const std::string golden = ReadGolden("subsz");
  const Json json = Json::parse(golden);
  SubszInput input;
  input.server_id = Text(json, "server_id");
  input.now_ns = ReadTime(json, "now");
  input.stats = ReadSublist(json);
  for (const Json& sub : json["subscriptions_list"]) input.subs.push_back(ReadSub(sub));
  const auto options = ParseSubszParams(HttpTarget("/subsz?subs=1&acc=A"));
  ASSERT_TRUE(options.ok());
  JsonWriter out;
  RenderSubsz(std::move(input), *options, &out);
  // The peer lists in no order, we by connection and sid: compare as sets.
  const auto sorted = [](Json page) {
    std::vector<std::string> subs;
    for (const Json& sub : page["subscriptions_list"]) subs.push_back(sub.dump());
    std::sort(subs.begin(), subs.end());
    page["subscriptions_list"] = subs;
    return page.dump();
  };
  EXPECT_EQ(sorted(Json::parse(out.text())), sorted(json));
  EXPECT_EQ(out.text().size(), golden.size());
}

VarzSnapshot ReadVarz(const Json& json) {
  VarzSnapshot varz;
  varz.server_id = Text(json, "server_id");
  varz.server_name = Text(json, "server_name");
  varz.host = Text(json, "host");
  varz.port = Get<int>(json, "port");
  varz.auth_required = Get<bool>(json, "auth_required");
  varz.max_connections = Int(json, "max_connections");
  varz.max_subscriptions = Int(json, "max_subscriptions");
  varz.ping_interval_ns = Int(json, "ping_interval");
  varz.ping_max = Get<int>(json, "ping_max");
  varz.http_host = Text(json, "http_host");
  varz.http_port = Get<int>(json, "http_port");
  varz.http_base_path = Text(json, "http_base_path");
  varz.auth_timeout_s = Get<double>(json, "auth_timeout");
  varz.max_control_line = Get<int32_t>(json, "max_control_line");
  varz.max_payload = Int(json, "max_payload");
  varz.max_pending = Int(json, "max_pending");
  varz.tls_timeout_s = Get<double>(json, "tls_timeout");
  varz.write_deadline_ns = Int(json, "write_deadline");
  varz.write_timeout = Text(json, "write_timeout");
  varz.start_ns = ReadTime(json, "start");
  varz.now_ns = ReadTime(json, "now");
  varz.mem_bytes = Int(json, "mem");
  varz.cores = Get<int>(json, "cores");
  varz.gomaxprocs = Get<int>(json, "gomaxprocs");
  varz.cpu_percent = Get<double>(json, "cpu");
  varz.connections = Int(json, "connections");
  varz.total_connections = Get<uint64_t>(json, "total_connections");
  varz.in_msgs = Int(json, "in_msgs");
  varz.in_bytes = Int(json, "in_bytes");
  varz.in_client_msgs = Int(json, "in_client_msgs");
  varz.in_client_bytes = Int(json, "in_client_bytes");
  varz.out_msgs = Int(json, "out_msgs");
  varz.out_bytes = Int(json, "out_bytes");
  varz.out_client_msgs = Int(json, "out_client_msgs");
  varz.out_client_bytes = Int(json, "out_client_bytes");
  varz.subscriptions = Get<uint32_t>(json, "subscriptions");
  varz.config_load_time_ns = ReadTime(json, "config_load_time");
  varz.config_digest = Text(json, "config_digest");
  varz.tags = Texts(json, "tags");
  varz.metadata = Get<std::map<std::string, std::string>>(json, "metadata");
  varz.feature_flags = {{"js_ack_fc_v2", false}, {"unknown", true}};
  varz.system_account = Text(json, "system_account");
  return varz;
}

std::string RenderVarzPage(const Json& json, const VarzSnapshot& varz) {
  JsonWriter out;
  RenderVarz(varz, json["http_req_stats"].get<std::map<std::string, uint64_t>>(), &out);
  return std::move(out).Take();
}

TEST(Golden, VarzWithAccountsTagsAndMetadata) {
  const std::string golden = ReadGolden("varz_accounts");
  const Json json = Json::parse(golden);
  EXPECT_EQ(RenderVarzPage(json, ReadVarz(json)), golden);
}

LeafVarz ReadLeaf(const Json& json) {
  LeafVarz leaf;
  leaf.host = Text(json, "host");
  leaf.port = Get<int>(json, "port");
  leaf.auth_timeout_s = Get<double>(json, "auth_timeout");
  leaf.tls_timeout_s = Get<double>(json, "tls_timeout");
  for (const Json& each : json["remotes"]) {
    LeafVarz::Remote& remote = leaf.remotes.emplace_back();
    remote.local_account = Text(each, "local_account");
    remote.urls = Texts(each, "urls");
    remote.deny_exports = Texts(each["deny"], "exports");
    remote.deny_imports = Texts(each["deny"], "imports");
  }
  return leaf;
}

WebsocketVarz ReadWebsocket(const Json& json) {
  WebsocketVarz websocket;
  websocket.host = Text(json, "host");
  websocket.port = Get<int>(json, "port");
  websocket.handshake_timeout_ns = Int(json, "handshake_timeout");
  websocket.no_tls = Get<bool>(json, "no_tls");
  websocket.same_origin = Get<bool>(json, "same_origin");
  websocket.allowed_origins = Texts(json, "allowed_origins");
  websocket.compression = Get<bool>(json, "compression");
  return websocket;
}

TEST(Golden, VarzOfLeafMqttWebsocketAndJetStream) {
  const std::string golden = ReadGolden("varz_features");
  const Json json = Json::parse(golden);
  VarzSnapshot varz = ReadVarz(json);
  varz.leaf = ReadLeaf(json["leaf"]);
  varz.websocket = ReadWebsocket(json["websocket"]);
  varz.mqtt.host = Text(json["mqtt"], "host");
  varz.mqtt.port = Get<int>(json["mqtt"], "port");
  varz.mqtt.tls_timeout_s = Get<double>(json["mqtt"], "tls_timeout");
  varz.mqtt.ack_wait_ns = Int(json["mqtt"], "ack_wait");
  varz.mqtt.max_ack_pending = Get<int>(json["mqtt"], "max_ack_pending");
  JetStreamVarz& jetstream = varz.jetstream.emplace();
  const Json& config = json["jetstream"]["config"];
  jetstream.config.max_memory = Int(config, "max_memory");
  jetstream.config.max_storage = Int(config, "max_storage");
  jetstream.config.store_dir = Text(config, "store_dir");
  jetstream.config.sync_interval_ns = Int(config, "sync_interval");
  jetstream.config.domain = Text(config, "domain");
  jetstream.config.compress_ok = true;
  jetstream.config.unique_tag = Text(config, "unique_tag");
  jetstream.config.strict = true;
  jetstream.stats.accounts = 1;
  jetstream.stats.api_level = 5;
  const Json& limits = json["jetstream"]["limits"];
  jetstream.limits.max_request_batch = Int(limits, "max_request_batch");
  jetstream.limits.max_ack_pending = Int(limits, "max_ack_pending");
  jetstream.limits.max_duplicate_window_ns = Int(limits, "max_duplicate_window");
  jetstream.limits.default_max_consumers = Int(limits, "default_max_consumers");
  EXPECT_EQ(RenderVarzPage(json, varz), golden);
}

TEST(Golden, VarzOfGateway) {
  const std::string golden = ReadGolden("varz_gateway");
  const Json json = Json::parse(golden);
  VarzSnapshot varz = ReadVarz(json);
  varz.leaf = ReadLeaf(json["leaf"]);
  varz.websocket = ReadWebsocket(json["websocket"]);
  const Json& gateway = json["gateway"];
  varz.gateway.name = Text(gateway, "name");
  varz.gateway.host = Text(gateway, "host");
  varz.gateway.port = Get<int>(gateway, "port");
  varz.gateway.auth_timeout_s = Get<double>(gateway, "auth_timeout");
  varz.gateway.tls_timeout_s = Get<double>(gateway, "tls_timeout");
  varz.gateway.reject_unknown = Get<bool>(gateway, "reject_unknown");
  for (const Json& each : gateway["gateways"]) {
    GatewayVarz::Remote& remote = varz.gateway.gateways.emplace_back();
    remote.name = Text(each, "name");
    remote.urls = Texts(each, "urls");
  }
  varz.cluster.name = Text(json["cluster"], "name");
  EXPECT_EQ(RenderVarzPage(json, varz), golden);
}

std::optional<LatencySampling> ReadLatency(const Json& json, const char* key) {
  if (!json.contains(key)) return std::nullopt;
  const Json& sampling = json[key]["sampling"];
  return LatencySampling{Text(json[key], "results"), sampling.is_string() ? 0 : sampling.get<int>()};
}

AccountSnapshot ReadAccount(const Json& json) {
  AccountSnapshot account;
  account.name = Text(json, "account_name");
  account.name_tag = Text(json, "name_tag");
  account.update_time_ns = ReadTime(json, "update_time");
  account.is_system = Get<bool>(json, "is_system");
  account.jetstream_enabled = Get<bool>(json, "jetstream_enabled");
  account.clients = Get<int>(json, "client_connections");
  account.subscriptions = Get<uint32_t>(json, "subscriptions");
  if (json.contains("mappings"))
    for (const auto& [subject, destinations] : json["mappings"].items())
      for (const Json& each : destinations) {
        AccountMappingDest& destination = account.mappings[subject].emplace_back();
        destination.subject = Text(each, "subject");
        destination.weight = Get<int>(each, "weight");
        destination.cluster = Text(each, "cluster");
      }
  if (json.contains("exports"))
    for (const Json& each : json["exports"]) {
      AccountExport& exported = account.exports.emplace_back();
      exported.subject = Text(each, "subject");
      exported.type = Text(each, "type");
      exported.response_type = Text(each, "response_type");
      exported.latency = ReadLatency(each, "service_latency");
      exported.approved_accounts = Texts(each, "approved_accounts");
    }
  if (json.contains("imports"))
    for (const Json& each : json["imports"]) {
      AccountImport& imported = account.imports.emplace_back();
      imported.subject = Text(each, "subject");
      imported.account = Text(each, "account");
      imported.to = Text(each, "to");
      imported.local_subject = Text(each, "local_subject");
      imported.type = Text(each, "type");
      imported.share = Get<bool>(each, "share");
      imported.latency = ReadLatency(each, "latency");
    }
  account.sublist = ReadSublist(json["sublist_stats"]);
  return account;
}

// The body of what the service answers, with the data that the page itself holds.
std::string ServicePage(const std::string& target, const Json& json, MonitorData data) {
  MonitorService service("");
  HttpRequest http;
  http.method = "GET";
  http.target = target;
  const MonitorRequest request = service.Start(http);
  data.server_id = Text(json, "server_id");
  data.server_name = Text(json, "server_name");
  data.now_ns = ReadTime(json, "now");
  const std::string bytes = service.Finish(request, std::move(data));
  return bytes.substr(bytes.find("\r\n\r\n") + 4);
}

TEST(Golden, AccountDetail) {
  for (const char* name : {"a", "b", "exporter", "importer", "system"}) {
    const std::string golden = ReadGolden(std::string("accountz_") + name);
    const Json json = Json::parse(golden);
    MonitorData data;
    data.system_account = Text(json, "system_account");
    data.accounts.push_back(ReadAccount(json["account_detail"]));
    EXPECT_EQ(ServicePage("/accountz?acc=X", json, std::move(data)), golden);
  }
}

TEST(Golden, AccountNames) {
  const std::string golden = ReadGolden("accountz");
  const Json json = Json::parse(golden);
  MonitorData data;
  data.system_account = Text(json, "system_account");
  data.account_names = Texts(json, "accounts");
  EXPECT_EQ(ServicePage("/accountz", json, std::move(data)), golden);
}

TEST(Golden, AccountStats) {
  const std::string golden = ReadGolden("accstatz");
  const Json json = Json::parse(golden);
  MonitorData data;
  for (const Json& each : json["account_statz"]) {
    AccountSnapshot& account = data.accounts.emplace_back();
    account.name = Text(each, "acc");
    account.clients = Get<int>(each, "conns");
    account.subscriptions = Get<uint32_t>(each, "num_subscriptions");
    account.sent = ReadDataStats(each["sent"]);
    account.received = ReadDataStats(each["received"]);
  }
  data.accounts.emplace_back().name = "idle: left out";
  EXPECT_EQ(ServicePage("/accstatz", json, std::move(data)), golden);
}

TEST(Golden, PagesOfFeaturesThatAreOff) {
  for (const char* name : {"routez", "gatewayz", "leafz", "jsz"}) {
    const std::string golden = ReadGolden(name);
    EXPECT_EQ(ServicePage(std::string("/") + name, Json::parse(golden), {}), golden);
  }
}

}  // namespace
}  // namespace millrace
