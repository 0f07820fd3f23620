// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/not_built.h"

#include <string>

#include "broker/config/language/text.h"
#include "broker/config/language/value.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

using enum Lacking::Policy;

// --- the keys in their blocks, so that an unknown one is found

constexpr char kUnknown[] = "unknown field %s";
constexpr std::string_view kListen = "listen";
constexpr std::string_view kPort = "port";
constexpr std::string_view kRoutes = "routes";

constexpr Row Key(std::string_view key, std::string_view aliases = {}, const Block* block = nullptr,
                  const Lacking* lacking = nullptr) {
  Row row;
  row.key = key;
  row.aliases = aliases;
  row.block = block;
  row.lacking = lacking;
  return row;
}

constexpr Lacking kLeafRemotes = {"leafnode remotes", kRefuse};

constexpr Row kOcspPeerKeys[] = {
    Key("verify"), Key("allowed_clockskew"), Key("ca_timeout"), Key("cache_ttl_when_next_update_unset"),
    Key("warn_only"), Key("unknown_is_good"), Key("allow_when_ca_unreachable"),
};
constexpr Block kOcspPeer = {.rows = kOcspPeerKeys, .unknown = kUnknown};

constexpr Row kCertsKeys[] = {
    Key("cert_file"), Key("key_file"),
};
constexpr Block kCerts = {.rows = kCertsKeys, .unknown = "error parsing tls certs config, unknown field %s"};

constexpr Row kTlsKeys[] = {
    Key("cert_file"), Key("key_file"), Key("ca_file"), Key("insecure"), Key("verify"), Key("verify_and_map"),
    Key("verify_cert_and_check_known_urls"), Key("allow_insecure_cipher_suites"), Key("cipher_suites"),
    Key("curve_preferences"), Key("timeout"), Key("connection_rate_limit"), Key("pinned_certs"), Key("cert_store"),
    Key("cert_match_by"), Key("cert_match"), Key("ca_certs_match"), Key("cert_match_skip_invalid"),
    Key("handshake_first", "first|immediate"), Key("ocsp_peer", "", &kOcspPeer),
    Key("certs", "certificates", &kCerts), Key("min_version"),
};
constexpr Block kTls = {.rows = kTlsKeys, .unknown = "error parsing tls config, unknown field %s"};

constexpr Row kOcspKeys[] = {
    Key("mode"), Key("urls"), Key("url"),
};
constexpr Block kOcsp = {.rows = kOcspKeys, .unknown = kUnknown};

constexpr Row kOcspCacheKeys[] = {
    Key("type"), Key("local_store"), Key("preserve_revoked"), Key("save_interval"),
};
constexpr Block kOcspCache = {.rows = kOcspCacheKeys, .unknown = kUnknown};

constexpr Row kUsersKeys[] = {
    Key("nkey"), Key("user", "username"), Key("pass", "password"), Key("permission", "permissions|authorization"),
    Key("allowed_connection_types", "connection_types|clients"), Key("proxy_required"),
};
constexpr Block kUsers = {.rows = kUsersKeys, .unknown = kUnknown};

constexpr Row kAuthorizationKeys[] = {
    Key("user", "username"), Key("pass", "password"), Key("token"), Key("timeout"), Key("users", "", &kUsers),
    Key("default_permission", "default_permissions|permissions"), Key("auth_callout", "auth_hook"),
    Key("proxy_required"),
};
constexpr Block kAuthorization = {.rows = kAuthorizationKeys, .unknown = kUnknown};

constexpr Row kLeafAuthorizationKeys[] = {
    Key("user", "username"), Key("pass", "password"), Key("nkey"), Key("timeout"), Key("account"), Key("users"),
    Key("proxy_required"),
};
constexpr Block kLeafAuthorization = {.rows = kLeafAuthorizationKeys, .unknown = kUnknown};

constexpr Row kResolverKeys[] = {
    Key("type"), Key("dir"), Key("allow_delete"), Key("hard_delete"), Key("limit"), Key("ttl"), Key("interval"),
    Key("timeout"),
};
constexpr Block kResolver = {.rows = kResolverKeys, .unknown = kUnknown};

constexpr Row kProxyKeys[] = {
    Key("key", "public_key"),
};
constexpr Block kProxy = {.rows = kProxyKeys, .unknown = kUnknown};

constexpr Row kProxiesKeys[] = {
    Key("trusted", "", &kProxy),
};
constexpr Block kProxies = {.rows = kProxiesKeys, .unknown = kUnknown};

constexpr Row kPermissionsKeys[] = {
    Key("import", "publish|pub"), Key("export", "subscribe|sub"),
};
constexpr Block kPermissions = {.rows = kPermissionsKeys, .unknown = kUnknown};

constexpr Row kCompressionKeys[] = {
    Key("mode"), Key("rtt_thresholds", "thresholds|rtts|rtt"),
};
constexpr Block kCompression = {.rows = kCompressionKeys, .unknown = kUnknown};

constexpr Row kClusterKeys[] = {
    Key("name"), Key(kListen), Key(kPort), Key("host", "net"), Key("authorization", "", &kAuthorization),
    Key(kRoutes), Key("tls", "", &kTls), Key("cluster_advertise", "advertise"), Key("no_advertise"),
    Key("connect_retries"), Key("connect_backoff"), Key("permissions", "", &kPermissions), Key("pool_size"),
    Key("accounts"), Key("compression", "", &kCompression), Key("ping_interval"), Key("ping_max"),
    Key("write_deadline"), Key("write_timeout"),
};
constexpr Block kCluster = {.rows = kClusterKeys, .unknown = kUnknown};

constexpr Row kGatewayRemoteKeys[] = {
    Key("name"), Key("tls", "", &kTls), Key("url"), Key("urls"),
};
constexpr Block kGatewayRemote = {.rows = kGatewayRemoteKeys, .unknown = kUnknown};

constexpr Row kGatewayKeys[] = {
    Key("name"), Key("listen"), Key("port"), Key("host", "net"), Key("authorization", "", &kAuthorization),
    Key("tls", "", &kTls), Key("advertise"), Key("connect_retries"), Key("connect_backoff"),
    Key("gateways", "", &kGatewayRemote), Key("reject_unknown", "reject_unknown_cluster"), Key("write_deadline"),
    Key("write_timeout"),
};
constexpr Block kGateway = {.rows = kGatewayKeys, .unknown = kUnknown};

constexpr Row kMigrateKeys[] = {
    Key("leader_migrate_delay"),
};
constexpr Block kMigrate = {.rows = kMigrateKeys, .unknown = kUnknown};

constexpr Row kLeafProxyKeys[] = {
    Key("url"), Key("username"), Key("password"), Key("timeout"), Key("tls", "", &kTls),
};
constexpr Block kLeafProxy = {.rows = kLeafProxyKeys, .unknown = kUnknown};

constexpr Row kLeafRemoteKeys[] = {
    Key("url"), Key("urls"), Key("no_randomize", "dont_randomize"), Key("account", "local"),
    Key("creds", "credentials"), Key("nkey", "seed"), Key("tls", "", &kTls), Key("hub"),
    Key("deny_imports", "deny_import"), Key("deny_exports", "deny_export"), Key("ws_compress", "ws_compression"),
    Key("websocket_compress", "websocket_compression"), Key("ws_no_masking", "websocket_no_masking"),
    Key("jetstream_cluster_migrate", "js_cluster_migrate", &kMigrate), Key("isolate_leafnode_interest", "isolate"),
    Key("request_isolation"), Key("compression", "", &kCompression), Key("first_info_timeout"), Key("dial_timeout"),
    Key("disabled"), Key("proxy", "", &kLeafProxy), Key("ignore_discovered_servers"),
};
constexpr Block kLeafRemote = {.rows = kLeafRemoteKeys, .unknown = kUnknown};

constexpr Row kLeafnodesKeys[] = {
    Key("listen"), Key("port"), Key("host", "net"), Key("authorization", "", &kLeafAuthorization),
    Key("remotes", "", &kLeafRemote, &kLeafRemotes), Key("reconnect", "reconnect_delay|reconnect_interval"),
    Key("dial_timeout"), Key("tls", "", &kTls), Key("leafnode_advertise", "advertise"), Key("no_advertise"),
    Key("min_version", "minimum_version"), Key("compression", "", &kCompression),
    Key("isolate_leafnode_interest", "isolate"), Key("write_deadline"), Key("write_timeout"),
};
constexpr Block kLeafnodes = {.rows = kLeafnodesKeys, .unknown = kUnknown};

constexpr Row kWebsocketKeys[] = {
    Key("listen"), Key("port"), Key("host", "net"), Key("advertise"), Key("no_tls"), Key("tls", "", &kTls),
    Key("same_origin"), Key("allowed_origins", "allowed_origin|allow_origins|allow_origin|origins|origin"),
    Key("handshake_timeout"), Key("compress", "compression"),
    Key("authorization", "authentication", &kAuthorization), Key("jwt_cookie"), Key("user_cookie"),
    Key("pass_cookie"), Key("token_cookie"), Key("no_auth_user"), Key("headers"), Key("ping_interval"),
};
constexpr Block kWebsocket = {.rows = kWebsocketKeys, .unknown = kUnknown};

constexpr Row kMqttKeys[] = {
    Key("listen"), Key("port"), Key("host", "net"), Key("tls", "", &kTls),
    Key("authorization", "authentication", &kAuthorization), Key("no_auth_user"), Key("ack_wait", "ackwait"),
    Key("js_api_timeout", "api_timeout"), Key("max_ack_pending", "max_pending|max_inflight"), Key("js_domain"),
    Key("stream_replicas"), Key("consumer_replicas"), Key("consumer_memory_storage"),
    Key("consumer_inactive_threshold", "consumer_auto_cleanup"), Key("reject_qos2_publish"),
    Key("downgrade_qos2_subscribe"),
};
constexpr Block kMqtt = {.rows = kMqttKeys, .unknown = kUnknown};

// --- what asks for a feature

bool Always(const Value&) {
  return true;
}

// A cluster block that neither listens nor dials only names the cluster.
bool Listens(const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) return true;
  for (const auto& [key, child] : *map) {
    const std::string name = Lower(key);
    if ((name == kListen || name == kPort || name == kRoutes) && IsWanted(child)) return true;
  }
  return false;
}

bool IsNotOff(const Value& value) {
  return value.AsBool() == nullptr || *value.AsBool();
}

// --- the features

constexpr Lacking kLacksTls = {"TLS", kRefuse};
constexpr Lacking kLacksOcsp = {"OCSP stapling", kRefuse};
constexpr Lacking kLacksOcspCache = {"the OCSP response cache", kRefuse};
constexpr Lacking kLacksOperators = {"operator mode", kRefuse, Always};
constexpr Lacking kLacksResolvers = {"account resolvers", kRefuse};
constexpr Lacking kLacksResolverTls = {"account resolvers over TLS", kRefuse};
constexpr Lacking kLacksJwts = {"account JWTs", kRefuse};
constexpr Lacking kLacksPinnedAccounts = {"pinned accounts", kRefuse};
constexpr Lacking kLacksTrustedKeys = {"trusted operator keys", kRefuse};
constexpr Lacking kLacksSentinel = {"default_sentinel", kRefuse};
constexpr Lacking kLacksTrustedProxies = {"trusted proxies", kRefuse};
constexpr Lacking kLacksProxyProtocol = {"the PROXY protocol", kRefuse};
constexpr Lacking kLacksClustering = {"clustering", kRefuse, Listens};
constexpr Lacking kLacksClusterNames = {"clustering", kWarn};
constexpr Lacking kLacksGateways = {"gateways", kRefuse};
constexpr Lacking kLacksLeafnodes = {"leafnodes", kWarn};
constexpr Lacking kLacksWebsocket = {"websocket", kWarn};
constexpr Lacking kLacksMqtt = {"MQTT", kRefuse};
constexpr Lacking kLacksDomains = {"JetStream domains", kWarn};
// Without TLS nothing else is allowed; the key alone does no harm.
constexpr Lacking kLacksMixedTls = {"allow_non_tls", kWarn, IsNotOff};

constexpr HelpGroup kTlsHelp = {"TLS Options (not built yet)", 50};
constexpr HelpGroup kClusterHelp = {"Cluster Options (not built yet)", 60};

constexpr std::string_view kCertFlag = "--tlscert";
constexpr std::string_view kKeyFlag = "--tlskey";
constexpr std::string_view kRoutesFlag = "--routes";
constexpr std::string_view kClusterFlags = "--cluster|--cluster_listen";

constexpr Row kRows[] = {
    {.key = "tls", .flags = "--tls", .help = "Offer TLS, do not ask clients for certificates", .group = &kTlsHelp,
     .order = 2000, .member = &kUnkept<bool>, .block = &kTls, .lacking = &kLacksTls, .off_ends_lacking = true},
    {.flags = "--tlsverify", .help = "Offer TLS, ask clients for certificates", .group = &kTlsHelp, .order = 2001,
     .member = &kUnkept<bool>, .lacking = &kLacksTls},
    {.flags = kCertFlag, .value_name = "<file>", .help = "Certificate of this server", .group = &kTlsHelp,
     .order = 2002, .member = &kUnkept<std::string>, .lacking = &kLacksTls},
    {.flags = kKeyFlag, .value_name = "<file>", .help = "Its private key", .group = &kTlsHelp, .order = 2003,
     .member = &kUnkept<std::string>, .lacking = &kLacksTls},
    {.flags = "--tlscacert", .value_name = "<file>", .help = "Authorities that client certificates come from",
     .group = &kTlsHelp, .order = 2004, .member = &kUnkept<std::string>, .lacking = &kLacksTls},
    {.key = "ocsp", .order = 2010, .block = &kOcsp, .lacking = &kLacksOcsp},
    {.key = "ocsp_cache", .order = 2011, .block = &kOcspCache, .lacking = &kLacksOcspCache},
    {.key = "operator", .aliases = "operators|roots|root|root_operators|root_operator", .order = 2021,
     .lacking = &kLacksOperators},
    {.key = "resolver", .aliases = "account_resolver|accounts_resolver", .order = 2022, .block = &kResolver,
     .lacking = &kLacksResolvers},
    {.key = "resolver_tls", .order = 2023, .block = &kTls, .lacking = &kLacksResolverTls},
    {.key = "resolver_preload", .order = 2024, .lacking = &kLacksJwts},
    {.key = "resolver_pinned_accounts", .order = 2025, .lacking = &kLacksPinnedAccounts},
    {.key = "trusted", .aliases = "trusted_keys", .order = 2026, .lacking = &kLacksTrustedKeys},
    {.key = "default_sentinel", .order = 2027, .lacking = &kLacksSentinel},
    {.key = "proxies", .order = 2028, .block = &kProxies, .lacking = &kLacksTrustedProxies},
    {.key = "proxy_protocol", .order = 2029, .lacking = &kLacksProxyProtocol},
    {.flags = kRoutesFlag, .value_name = "<url>, ...", .help = "Servers to connect to", .group = &kClusterHelp,
     .order = 2040, .member = &kUnkept<std::string>, .lacking = &kLacksClustering},
    {.key = "cluster", .flags = kClusterFlags, .value_name = "<url>", .help = "Address to listen on for them",
     .group = &kClusterHelp, .order = 2041, .member = &kUnkept<std::string>, .block = &kCluster,
     .lacking = &kLacksClustering},
    {.key = "cluster_name", .flags = "--cluster_name", .value_name = "<name>", .help = "Name of the cluster",
     .group = &kClusterHelp, .order = 2042, .member = &kUnkept<std::string>, .lacking = &kLacksClusterNames},
    {.flags = "--cluster_advertise", .value_name = "<host:port>", .help = "Address that other servers are told",
     .group = &kClusterHelp, .order = 2043, .member = &kUnkept<std::string>, .lacking = &kLacksClusterNames},
    {.flags = "--no_advertise", .help = "Do not tell clients of the other servers", .group = &kClusterHelp,
     .order = 2044, .member = &kUnkept<bool>, .lacking = &kLacksClusterNames},
    {.flags = "--connect_retries", .value_name = "<n>", .help = "Attempts to reach a server that was told of",
     .group = &kClusterHelp, .order = 2045, .member = &kUnkept<int64_t>, .lacking = &kLacksClusterNames},
    {.key = "gateway", .order = 2050, .block = &kGateway, .lacking = &kLacksGateways},
    {.key = "leafnodes", .aliases = "leaf", .order = 2060, .block = &kLeafnodes, .lacking = &kLacksLeafnodes},
    {.key = "websocket", .aliases = "ws", .order = 2070, .block = &kWebsocket, .lacking = &kLacksWebsocket},
    {.key = "mqtt", .order = 2080, .block = &kMqtt, .lacking = &kLacksMqtt},
    {.key = "default_js_domain", .order = 2090, .lacking = &kLacksDomains},
    {.key = "allow_non_tls", .order = 2091, .lacking = &kLacksMixedTls},
};

// The value given last, or "".
std::string ValueOf(std::span<const FlagValue> flags, std::string_view names) {
  const Row named = {.flags = names};
  std::string value;
  for (const FlagValue& flag : flags) {
    if (HasFlag(named, flag.flag)) value = flag.value;
  }
  return value;
}

// What is missing beside a flag is told before that the feature is.
void CheckFlags(std::span<const FlagValue> flags, Diagnostics* diagnostics) {
  bool tls = false;
  bool tls_off = false;
  for (const FlagValue& flag : flags) {
    for (const Row& row : kRows) {
      if (row.lacking != &kLacksTls || !HasFlag(row, flag.flag)) continue;
      const bool is_off = row.off_ends_lacking && !ParseFlagBool(flag.value).value_or(true);
      (is_off ? tls_off : tls) = true;
    }
  }
  if (tls && !tls_off) {
    if (ValueOf(flags, kCertFlag).empty()) {
      diagnostics->errors.push_back("TLS Server certificate must be present and valid");
    } else if (ValueOf(flags, kKeyFlag).empty()) {
      diagnostics->errors.push_back("TLS Server private key must be present and valid");
    }
  }
  if (!ValueOf(flags, kRoutesFlag).empty() && ValueOf(flags, kClusterFlags).empty()) {
    diagnostics->errors.push_back("solicited routes require cluster capabilities, e.g. --cluster");
  }
}

}  // namespace
}  // namespace config

constexpr config::Table NotBuilt::kTable = {
    .type = &config::kTypeTag<NotBuilt>,
    .rows = config::kRows,
    .check_flags = config::CheckFlags,
};

}  // namespace millrace
