// SPDX-License-Identifier: Apache-2.0
#include "broker/config/unsupported.h"

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

// --- what asks for a feature

bool NotEmpty(const Value& value) {
  if (const auto* text = value.AsString()) {
    const std::string word = Lower(*text);
    return !word.empty() && word != "disabled" && word != "disable";
  }
  if (const auto* flag = value.AsBool()) return *flag;
  if (const auto* number = value.AsInteger()) return *number != 0;
  if (const auto* array = value.AsArray()) return !array->empty();
  const Map* map = value.AsMap();
  if (map == nullptr) return true;
  for (const auto& [key, child] : *map) {
    const std::string name = Lower(key);
    if ((name == "enable" || name == "enabled") && child.AsBool() && !*child.AsBool()) return false;
  }
  return !map->empty();
}

bool Always(const Value&) { return true; }

// A cluster block that neither listens nor dials only names the cluster.
bool Listens(const Value& value) {
  const Map* map = value.AsMap();
  if (map == nullptr) return true;
  for (const auto& [key, child] : *map) {
    if (OneOf("listen|port|routes", Lower(key)) && NotEmpty(child)) return true;
  }
  return false;
}

bool NotOff(const Value& value) { return value.AsBool() == nullptr || *value.AsBool(); }
bool NotPeersSystemAccount(const Value& value) {
  return value.AsString() == nullptr || (*value.AsString() != "$SYS" && !value.AsString()->empty());
}

using enum Policy;

constexpr Feature kFeatures[] = {
    // security
    {"tls", "tls|tlsverify|tlscert|tlskey|tlscacert", "TLS", kRefuse, "tls"},
    {"ocsp", "", "OCSP stapling", kRefuse, "ocsp"},
    {"ocsp_cache", "", "the OCSP response cache", kRefuse, "ocsp_cache"},
    {"https", "", "monitoring over HTTPS", kRefuse},
    {"https_port", "ms|https_port", "monitoring over HTTPS", kRefuse},
    {"accounts", "", "accounts", kRefuse, "*accounts"},
    {"operator|operators|roots|root|root_operators|root_operator", "", "operator mode", kRefuse,
     "", Always},
    {"resolver|account_resolver|accounts_resolver", "", "account resolvers", kRefuse, "resolver"},
    {"resolver_tls", "", "account resolvers over TLS", kRefuse, "tls"},
    {"resolver_preload", "", "account JWTs", kRefuse},
    {"resolver_pinned_accounts", "", "pinned accounts", kRefuse},
    {"trusted|trusted_keys", "", "trusted operator keys", kRefuse},
    {"default_sentinel", "", "default_sentinel", kRefuse},
    {"system_account", "", "a system account other than $SYS", kRefuse, "",
     NotPeersSystemAccount},
    {"authorization.auth_callout|authorization.auth_hook", "", "auth callout", kRefuse},
    {"authorization.proxy_required", "", "proxy_required", kRefuse},
    {"authorization.users.proxy_required", "", "proxy_required", kRefuse},
    {"proxies", "", "trusted proxies", kRefuse, "proxies"},
    {"proxy_protocol", "", "the PROXY protocol", kRefuse},
    // routing
    {"mappings|maps", "", "subject mappings", kRefuse},
    {"cluster", "routes|cluster|cluster_listen", "clustering", kRefuse, "cluster", Listens},
    {"cluster_name", "cluster_name|cluster_advertise|no_advertise|connect_retries", "clustering",
     kWarn},
    {"gateway", "", "gateways", kRefuse, "gateway"},
    {"leafnodes.remotes|leaf.remotes", "", "leafnode remotes", kRefuse},
    {"leafnodes|leaf", "", "leafnodes", kWarn, "leafnodes"},
    {"websocket|ws", "", "websocket", kWarn, "websocket"},
    {"mqtt", "", "MQTT", kRefuse, "mqtt"},
    // storage
    {"jetstream.tpm", "", "JetStream keys in a TPM", kRefuse, "tpm"},
    {"jetstream.meta_compact|jetstream.meta_compact_size|jetstream.meta_compact_sync|"
     "jetstream.max_outstanding_catchup", "", "JetStream in clusters", kWarn},
    {"jetstream.extension_hint", "", "extending a JetStream domain by leafnodes", kWarn},
    {"jetstream.unique_tag", "", "placing JetStream replicas", kWarn},
    {"default_js_domain", "", "JetStream domains", kWarn},
    // the rest
    {"prof_port", "profile", "profiling over HTTP", kRefuse},
    {"prof_block_rate", "", "profiling over HTTP", kWarn},
    {"connect_error_reports|reconnect_error_reports", "", "connecting to other servers", kWarn},
    // Without TLS nothing else is allowed; the key alone does no harm.
    {"allow_non_tls", "", "allow_non_tls", kWarn, "", NotOff},
};

// --- the blocks' keys: "key|alias", ">schema" for what is below, "*schema" for any key
struct Schema {
  std::string_view name;
  std::string_view keys;
  std::string_view unknown = "unknown field %s";
};

constexpr Schema kSchemas[] = {
    {"tls",
     "cert_file key_file ca_file insecure verify verify_and_map verify_cert_and_check_known_urls "
     "allow_insecure_cipher_suites cipher_suites curve_preferences timeout connection_rate_limit "
     "pinned_certs cert_store cert_match_by cert_match ca_certs_match cert_match_skip_invalid "
     "handshake_first|first|immediate ocsp_peer>ocsp_peer certs|certificates>certs min_version",
     "error parsing tls config, unknown field %s"},
    {"certs", "cert_file key_file", "error parsing tls certs config, unknown field %s"},
    {"ocsp", "mode urls url"},
    {"ocsp_cache", "type local_store preserve_revoked save_interval"},
    {"ocsp_peer",
     "verify allowed_clockskew ca_timeout cache_ttl_when_next_update_unset warn_only "
     "unknown_is_good allow_when_ca_unreachable"},
    {"accounts",
     "nkey users>users imports exports jetstream default_permissions mappings|maps "
     "limits>account_limits msg_trace|trace_dest"},
    {"account_limits",
     "max_connections|max_conn max_subscriptions|max_subs max_payload|max_pay "
     "max_leafnodes|max_leafs",
     "Unknown field %s parsing account limits"},
    {"users",
     "nkey user|username pass|password permission|permissions|authorization "
     "allowed_connection_types|connection_types|clients proxy_required"},
    {"authorization",
     "user|username pass|password token timeout users>users "
     "default_permission|default_permissions|permissions auth_callout|auth_hook proxy_required"},
    {"leaf_authorization",
     "user|username pass|password nkey timeout account users proxy_required"},
    {"resolver", "type dir allow_delete hard_delete limit ttl interval timeout"},
    {"proxies", "trusted>proxy"},
    {"proxy", "key|public_key"},
    {"permissions", "import|publish|pub export|subscribe|sub"},
    {"compression", "mode rtt_thresholds|thresholds|rtts|rtt"},
    {"cluster",
     "name listen port host|net authorization>authorization routes tls>tls "
     "cluster_advertise|advertise no_advertise connect_retries connect_backoff "
     "permissions>permissions pool_size accounts compression>compression ping_interval ping_max "
     "write_deadline write_timeout"},
    {"gateway",
     "name listen port host|net authorization>authorization tls>tls advertise connect_retries "
     "connect_backoff gateways>gateway_remote reject_unknown|reject_unknown_cluster "
     "write_deadline write_timeout"},
    {"gateway_remote", "name tls>tls url urls"},
    {"leafnodes",
     "listen port host|net authorization>leaf_authorization remotes>leaf_remote "
     "reconnect|reconnect_delay|reconnect_interval dial_timeout tls>tls "
     "leafnode_advertise|advertise no_advertise min_version|minimum_version "
     "compression>compression isolate_leafnode_interest|isolate write_deadline write_timeout"},
    {"leaf_remote",
     "url urls no_randomize|dont_randomize account|local creds|credentials nkey|seed tls>tls hub "
     "deny_imports|deny_import deny_exports|deny_export ws_compress|ws_compression "
     "websocket_compress|websocket_compression ws_no_masking|websocket_no_masking "
     "jetstream_cluster_migrate|js_cluster_migrate>migrate isolate_leafnode_interest|isolate "
     "request_isolation compression>compression first_info_timeout dial_timeout disabled "
     "proxy>leaf_proxy ignore_discovered_servers"},
    {"migrate", "leader_migrate_delay"},
    {"leaf_proxy", "url username password timeout tls>tls"},
    {"websocket",
     "listen port host|net advertise no_tls tls>tls same_origin "
     "allowed_origins|allowed_origin|allow_origins|allow_origin|origins|origin handshake_timeout "
     "compress|compression authorization|authentication>authorization jwt_cookie user_cookie "
     "pass_cookie token_cookie no_auth_user headers ping_interval"},
    {"mqtt",
     "listen port host|net tls>tls authorization|authentication>authorization no_auth_user "
     "ack_wait|ackwait js_api_timeout|api_timeout max_ack_pending|max_pending|max_inflight "
     "js_domain stream_replicas consumer_replicas consumer_memory_storage "
     "consumer_inactive_threshold|consumer_auto_cleanup reject_qos2_publish "
     "downgrade_qos2_subscribe"},
    {"tpm", "keys_file encryption_password srk_password pcr cipher"},
};

const Schema* FindSchema(std::string_view name) {
  for (const Schema& schema : kSchemas) {
    if (schema.name == name) return &schema;
  }
  return nullptr;
}

struct KnownKey {
  bool known = false;
  std::string_view below;  // schema of the value
};

KnownKey FindKnownKey(const Schema& schema, std::string_view key) {
  for (size_t at = 0; at < schema.keys.size();) {
    const size_t end = std::min(schema.keys.find(' ', at), schema.keys.size());
    const std::string_view word = schema.keys.substr(at, end - at);
    const size_t arrow = std::min(word.find('>'), word.size());
    if (OneOf(word.substr(0, arrow), key)) {
      return {true, arrow < word.size() ? word.substr(arrow + 1) : std::string_view()};
    }
    at = end + 1;
  }
  return {};
}

void CheckKeys(std::string_view schema_name, Reading& reading, const Value& value) {
  if (const Array* array = value.AsArray()) {
    for (const Value& child : *array) CheckKeys(schema_name, reading, child);
    return;
  }
  const Map* map = value.AsMap();
  if (map == nullptr || schema_name.empty()) return;
  const bool any_key = schema_name[0] == '*';
  const Schema* schema = any_key ? nullptr : FindSchema(schema_name);
  for (const auto* entry : InFileOrder(*map)) {
    const auto& [key, child] = *entry;
    if (any_key) {
      CheckKeys(schema_name.substr(1), reading, child);
      continue;
    }
    if (schema == nullptr) return;
    const KnownKey known = FindKnownKey(*schema, Lower(key));
    if (known.known) {
      CheckKeys(known.below, reading, child);
    } else if (!child.used_as_variable) {
      std::string text(schema->unknown);
      text.replace(text.find("%s"), 2, Quote(key));
      reading.Error(child, text);
    }
  }
}

}  // namespace

const Feature* FindFeature(std::string_view path) {
  for (const Feature& feature : kFeatures) {
    if (OneOf(feature.path, path)) return &feature;
  }
  return nullptr;
}

const Feature* FindFeatureByFlag(std::string_view flag) {
  for (const Feature& feature : kFeatures) {
    if (OneOf(feature.flags, flag)) return &feature;
  }
  return nullptr;
}

bool IsBoolFlag(const Feature& feature, std::string_view flag) {
  return OneOf("tls|tlsverify|no_advertise", flag);
}

void NoteFeature(const Feature& feature, std::string_view origin, Diagnostics* diagnostics) {
  if (feature.policy == Policy::kRefuse) {
    diagnostics->refused.push_back(
        absl::StrFormat("%s is not supported yet by this build: %s", feature.name, origin));
  } else {
    diagnostics->ignored.push_back(
        absl::StrFormat("%s is not built yet and has no effect: %s", feature.name, origin));
  }
}

void CheckFeature(const Feature& feature, Reading& reading, const Value& value) {
  CheckKeys(feature.schema, reading, value);
  // What is refused within a block that is otherwise let pass.
  if (const Map* map = value.AsMap(); map != nullptr) {
    for (const auto* entry : InFileOrder(*map)) {
      const std::string path =
          std::string(feature.path.substr(0, feature.path.find('|'))) + "." + Lower(entry->first);
      if (const Feature* inner = FindFeature(path)) CheckFeature(*inner, reading, entry->second);
    }
  }
  const bool wanted = feature.wanted != nullptr ? feature.wanted(value) : NotEmpty(value);
  if (!wanted) return;
  NoteFeature(feature,
              absl::StrFormat("%s at %s", feature.path.substr(0, feature.path.find('|')),
                              reading.document.Place(value.at)),
              &reading.diagnostics);
}

std::string FeatureKeys() {
  std::string keys;
  for (const Feature& feature : kFeatures) {
    if (feature.path.find('.') == std::string_view::npos) keys += std::string(feature.path) + "|";
  }
  return keys;
}

}  // namespace millrace::config
