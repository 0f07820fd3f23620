// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/system_pages.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/json/go_format.h"
#include "broker/json/writer.h"
#include "proto/base/check.h"
#include "proto/base/status.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

using Place = EventOptionPlace;
using Context = MonitorPage::Context;

// In the place of an account's name: all accounts.
constexpr std::string_view kPing = "PING";

// ---- options, as the peer's types have them ------------------------------------------------------------------------

constexpr EventOption kConnz[] = {
    {"sort", "server.SortOpt", [](EventOptions* o) -> Place { return &o->connz_sort; }},
    {"auth", "bool", [](EventOptions* o) -> Place { return &o->page.connz.auth; }},
    {"subscriptions", "bool", [](EventOptions* o) -> Place { return &o->page.connz.subs; }},
    {"subscriptions_detail", "bool", [](EventOptions* o) -> Place { return &o->page.connz.subs_detail; }},
    {"offset", "int", [](EventOptions* o) -> Place { return &o->page.connz.offset; }},
    {"limit", "int", [](EventOptions* o) -> Place { return &o->page.connz.limit; }},
    {"cid", "uint64", [](EventOptions* o) -> Place { return &o->page.connz.cid; }},
    {"mqtt_client", "string", [](EventOptions* o) -> Place { return &o->page.connz.mqtt_client; }},
    {"state", "server.ConnState", [](EventOptions* o) -> Place { return &o->connz_state; }},
    {"user", "string", [](EventOptions* o) -> Place { return &o->page.connz.user; }},
    {"acc", "string", [](EventOptions* o) -> Place { return &o->page.connz.account; }},
    {"filter_subject", "string", [](EventOptions* o) -> Place { return &o->page.connz.filter_subject; }},
};
constexpr EventOption kSubsz[] = {
    {"offset", "int", [](EventOptions* o) -> Place { return &o->page.subsz.offset; }},
    {"limit", "int", [](EventOptions* o) -> Place { return &o->page.subsz.limit; }},
    {"subscriptions", "bool", [](EventOptions* o) -> Place { return &o->page.subsz.subs; }},
    {"account", "string", [](EventOptions* o) -> Place { return &o->page.subsz.account; }},
    {"test", "string", [](EventOptions* o) -> Place { return &o->page.subsz.test; }},
};
constexpr EventOption kRoutez[] = {
    {"subscriptions", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
    {"subscriptions_detail", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
};
constexpr EventOption kGatewayz[] = {
    {"name", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
    {"accounts", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
    {"account_name", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
    {"subscriptions", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
    {"subscriptions_detail", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
};
constexpr EventOption kLeafz[] = {
    {"subscriptions", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
    {"account", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
};
constexpr EventOption kAccountz[] = {
    {"account", "string", [](EventOptions* o) -> Place { return &o->page.accountz_name; }},
};
constexpr EventOption kAccountStatz[] = {
    {"accounts", "[]string", [](EventOptions* o) -> Place { return &o->accounts; }},
    {"include_unused", "bool", [](EventOptions* o) -> Place { return &o->include_unused; }},
};
constexpr EventOption kJsz[] = {
    {"account", "string", [](EventOptions* o) -> Place { return &o->page.jsz.account; }},
    {"accounts", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.accounts; }},
    {"streams", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.streams; }},
    {"consumer", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.consumers; }},
    {"direct_consumer", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.direct_consumers; }},
    {"config", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.config; }},
    {"leader_only", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.leader_only; }},
    {"offset", "int", [](EventOptions* o) -> Place { return &o->page.jsz.offset; }},
    {"limit", "int", [](EventOptions* o) -> Place { return &o->page.jsz.limit; }},
    {"raft", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.raft; }},
    {"stream_leader_only", "bool", [](EventOptions* o) -> Place { return &o->page.jsz.stream_leader_only; }},
};
constexpr EventOption kHealthz[] = {
    {"js-enabled", "bool", [](EventOptions* o) -> Place { return &o->page.healthz.js_enabled; }},
    {"js-enabled-only", "bool", [](EventOptions* o) -> Place { return &o->page.healthz.js_enabled_only; }},
    {"js-server-only", "bool", [](EventOptions* o) -> Place { return &o->page.healthz.js_server_only; }},
    {"js-meta-only", "bool", [](EventOptions* o) -> Place { return &o->page.healthz.js_meta_only; }},
    {"account", "string", [](EventOptions* o) -> Place { return &o->page.healthz.account; }},
    {"stream", "string", [](EventOptions* o) -> Place { return &o->page.healthz.stream; }},
    {"consumer", "string", [](EventOptions* o) -> Place { return &o->page.healthz.consumer; }},
    {"details", "bool", [](EventOptions* o) -> Place { return &o->page.healthz.details; }},
};
constexpr EventOption kProfilez[] = {
    {"name", "string", [](EventOptions* o) -> Place { return &o->profile; }},
    {"debug", "int", [](EventOptions* o) -> Place { return &o->debug; }},
    {"duration", "time.Duration", [](EventOptions* o) -> Place { return &o->duration_ns; }},
};
constexpr EventOption kIpqueuesz[] = {
    {"all", "bool", [](EventOptions* o) -> Place { return &o->unused_bool; }},
    {"filter", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
};
constexpr EventOption kRaftz[] = {
    {"account", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
    {"group", "string", [](EventOptions* o) -> Place { return &o->unused_string; }},
};

constexpr EventOptionTable kVarzOptions = {"VarzEventOptions", "VarzOptions"};
constexpr EventOptionTable kConnzOptions = {"ConnzEventOptions", "ConnzOptions", kConnz};
constexpr EventOptionTable kSubszOptions = {"SubszEventOptions", "SubszOptions", kSubsz};
constexpr EventOptionTable kRoutezOptions = {"RoutezEventOptions", "RoutezOptions", kRoutez};
constexpr EventOptionTable kGatewayzOptions = {"GatewayzEventOptions", "GatewayzOptions", kGatewayz};
constexpr EventOptionTable kLeafzOptions = {"LeafzEventOptions", "LeafzOptions", kLeafz};
constexpr EventOptionTable kAccountzOptions = {"AccountzEventOptions", "AccountzOptions", kAccountz};
constexpr EventOptionTable kAccountStatzOptions = {"AccountStatzEventOptions", "AccountStatzOptions", kAccountStatz};
constexpr EventOptionTable kAccountInfoOptions = {"AccInfoEventOptions", ""};
constexpr EventOptionTable kJszOptions = {"JszEventOptions", "JSzOptions", kJsz};
constexpr EventOptionTable kHealthzOptions = {"HealthzEventOptions", "HealthzOptions", kHealthz};
constexpr EventOptionTable kProfilezOptions = {"ProfilezEventOptions", "ProfilezOptions", kProfilez};
constexpr EventOptionTable kExpvarzOptions = {"ExpvarzEventOptions", ""};
constexpr EventOptionTable kIpqueueszOptions = {"IpqueueszEventOptions", "IpqueueszOptions", kIpqueuesz};
constexpr EventOptionTable kRaftzOptions = {"RaftzEventOptions", "RaftzOptions", kRaftz};

// ---- what has to be gathered ---------------------------------------------------------------------------------------

absl::Status PrepareNothing(std::string_view, EventOptions*) { return absl::OkStatus(); }

absl::Status PrepareVarz(std::string_view, EventOptions* o) {
  o->page.needs = kNeedVarz | kNeedJetStreamVarz;
  return absl::OkStatus();
}

absl::Status PrepareConnz(std::string_view account, EventOptions* o) {
  ConnzOptions& connz = o->page.connz;
  if (!account.empty()) connz.account = account;
  if (!o->connz_sort.empty()) {
    MR_ASSIGN_OR_RETURN(connz.sort, ParseConnzSort(o->connz_sort));
  }
  constexpr ConnzState kStates[] = {ConnzState::kOpen, ConnzState::kClosed, ConnzState::kAll};
  const bool is_state = o->connz_state >= 0 && o->connz_state < static_cast<int64_t>(std::size(kStates));
  connz.state = is_state ? kStates[o->connz_state] : ConnzState::kNone;
  MR_RETURN_IF_ERROR(CompleteConnzOptions(&connz));
  NeedConnections(&o->page);
  return absl::OkStatus();
}

absl::Status PrepareSubsz(std::string_view account, EventOptions* o) {
  SubszOptions& subsz = o->page.subsz;
  if (!account.empty()) subsz.subs = true, subsz.account = account;
  MR_RETURN_IF_ERROR(CompleteSubszOptions(&subsz));
  o->page.needs = kNeedSublistStats | (subsz.subs ? kNeedSubscriptions : 0u);
  return absl::OkStatus();
}

absl::Status PrepareAccountz(std::string_view, EventOptions* o) {
  o->page.needs = o->page.accountz_name.empty() ? kNeedAccountNames : kNeedAccountDetail;
  return absl::OkStatus();
}

absl::Status PrepareAccountInfo(std::string_view account, EventOptions* o) {
  o->page.accountz_name = account;
  o->page.needs = kNeedAccountDetail;
  return absl::OkStatus();
}

absl::Status PrepareAccountStatz(std::string_view account, EventOptions* o) {
  if (account != kPing) o->accounts = {std::string(account)};
  o->page.needs = kNeedAccountStats;
  return absl::OkStatus();
}

absl::Status PrepareJsz(std::string_view, EventOptions* o) {
  CompleteJszOptions(&o->page.jsz);
  o->page.needs = kNeedJsz;
  return absl::OkStatus();
}

absl::Status PrepareAccountJsz(std::string_view account, EventOptions* o) {
  JszOptions& jsz = o->page.jsz;
  jsz.account = account;
  jsz.accounts = false;
  o->page.needs = kNeedJsz;
  return absl::OkStatus();
}

absl::Status PrepareHealthz(std::string_view, EventOptions* o) {
  NeedHealth(&o->page);
  return absl::OkStatus();
}

// ---- answers -------------------------------------------------------------------------------------------------------

HttpResponse Json(JsonWriter&& writer) {
  HttpResponse response;
  response.body = std::move(writer).Take();
  return response;
}

HttpResponse Failed(std::string text) {
  HttpResponse response;
  response.status = 400;
  response.content_type = kPlainText;
  response.body = std::move(text);
  return response;
}

HttpResponse ByPath(std::string_view path, const EventOptions& options, MonitorData&& data, const Context& context) {
  return PageAt(path).render(options.page, std::move(data), context);
}
template <const char* kPath>
HttpResponse RenderPage(const EventOptions& options, MonitorData&& data, const Context& context) {
  return ByPath(kPath, options, std::move(data), context);
}
constexpr char kVarzPath[] = "/varz", kConnzPath[] = "/connz", kSubszPath[] = "/subsz", kRoutezPath[] = "/routez",
               kGatewayzPath[] = "/gatewayz", kLeafzPath[] = "/leafz", kAccountzPath[] = "/accountz",
               kJszPath[] = "/jsz", kHealthzPath[] = "/healthz", kIpqueueszPath[] = "/ipqueuesz",
               kExpvarPath[] = "/debug/vars";

HttpResponse RenderAccountInfo(const EventOptions& options, MonitorData&& data, const Context&) {
  if (data.accounts.empty()) return Failed("Account " + options.page.accountz_name + " does not exist");
  JsonWriter out(JsonLayout::kCompact);
  RenderAccountDetail(data.accounts[0], &out);
  return Json(std::move(out));
}

// An account that nobody uses is not shown unless asked for; a page without any is not sent.
HttpResponse RenderAccountStatzOf(const EventOptions& options, MonitorData&& data, const Context&) {
  std::vector<const AccountSnapshot*> shown;
  const auto add = [&](const AccountSnapshot& account) {
    if (options.include_unused || account.clients != 0 || account.leafnodes != 0) shown.push_back(&account);
  };
  if (options.accounts.empty()) std::for_each(data.accounts.begin(), data.accounts.end(), add);
  for (const std::string& name : options.accounts) {
    const auto is_meant = [&name](const AccountSnapshot& account) { return account.name == name; };
    const auto found = std::find_if(data.accounts.begin(), data.accounts.end(), is_meant);
    if (found != data.accounts.end()) add(*found);
  }
  if (shown.empty() && !options.include_unused) return Failed(std::string(kFilteredResponse));
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.Put("server_id", data.server_id);
  out.PutTime("now", data.now_ns);
  out.Key("account_statz");
  out.BeginArray();
  for (const AccountSnapshot* account : shown) RenderAccountStat(*account, &out);
  out.EndArray();
  out.EndObject();
  return Json(std::move(out));
}

HttpResponse RenderAccountJsz(const EventOptions& options, MonitorData&& data, const Context&) {
  const JszOptions& jsz = options.page.jsz;
  if (!data.jsz) return Failed("jetstream not enabled");
  const std::string account = Quoted(jsz.account);
  const std::vector<std::string>& names = data.account_names;
  if (std::find(names.begin(), names.end(), jsz.account) == names.end()) {
    return Failed("account " + account + " not found");
  }
  if (data.jsz->accounts.empty()) return Failed("account " + account + " not jetstream enabled");
  JsonWriter out(JsonLayout::kCompact);
  RenderJszAccount(data.jsz->accounts[0], jsz, &out);
  return Json(std::move(out));
}

// A broker without Go's profiler has none of its profiles.
HttpResponse RenderProfilez(const EventOptions& options, MonitorData&&, const Context&) {
  std::string error = absl::StrFormat("Profile %s not found", Quoted(options.profile));
  if (options.profile.empty()) error = "Profile name not specified";
  if (options.profile == "cpu") {
    constexpr int64_t kDurationMax = 15'000'000'000;
    error = "Failed to start CPU profile: not supported by this server";
    if (options.duration_ns <= 0 || options.duration_ns > kDurationMax) {
      error = absl::StrFormat("Duration %s should be between 0s and 15s", FormatDuration(options.duration_ns));
    }
  }
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.Key("profile"), out.Null();
  out.Put("error", error);
  out.EndObject();
  return Json(std::move(out));
}

HttpResponse RenderRaftz(const EventOptions&, MonitorData&&, const Context&) {
  HttpResponse response;
  response.body = "{}";
  return response;
}

constexpr SystemPage kPages[] = {
    {"VARZ", SystemPage::kServer, &kVarzOptions, PrepareVarz, RenderPage<kVarzPath>},
    {"CONNZ", SystemPage::kServer | SystemPage::kAccount, &kConnzOptions, PrepareConnz, RenderPage<kConnzPath>},
    {"SUBSZ", SystemPage::kServer | SystemPage::kAccount, &kSubszOptions, PrepareSubsz, RenderPage<kSubszPath>},
    {"ROUTEZ", SystemPage::kServer, &kRoutezOptions, PrepareNothing, RenderPage<kRoutezPath>},
    {"GATEWAYZ", SystemPage::kServer, &kGatewayzOptions, PrepareNothing, RenderPage<kGatewayzPath>},
    {"LEAFZ", SystemPage::kServer | SystemPage::kAccount, &kLeafzOptions, PrepareNothing, RenderPage<kLeafzPath>},
    {"ACCOUNTZ", SystemPage::kServer, &kAccountzOptions, PrepareAccountz, RenderPage<kAccountzPath>},
    {"JSZ", SystemPage::kServer, &kJszOptions, PrepareJsz, RenderPage<kJszPath>},
    {"JSZ", SystemPage::kAccount, &kJszOptions, PrepareAccountJsz, RenderAccountJsz},
    {"HEALTHZ", SystemPage::kServer, &kHealthzOptions, PrepareHealthz, RenderPage<kHealthzPath>},
    {"PROFILEZ", SystemPage::kServer, &kProfilezOptions, PrepareNothing, RenderProfilez},
    {"EXPVARZ", SystemPage::kServer, &kExpvarzOptions, PrepareNothing, RenderPage<kExpvarPath>},
    {"IPQUEUESZ", SystemPage::kServer, &kIpqueueszOptions, PrepareNothing, RenderPage<kIpqueueszPath>},
    {"RAFTZ", SystemPage::kServer, &kRaftzOptions, PrepareNothing, RenderRaftz},
    {"INFO", SystemPage::kAccount, &kAccountInfoOptions, PrepareAccountInfo, RenderAccountInfo},
    {"STATZ", SystemPage::kAccount, &kAccountStatzOptions, PrepareAccountStatz, RenderAccountStatzOf},
};

void RenderKindCounts(std::string_view key, const KindCounts& counts, JsonWriter* out) {
  if (counts.clients == 0 && counts.routes == 0 && counts.gateways == 0 && counts.leafs == 0) return;
  out->Key(key);
  out->BeginObject();
  out->PutUint("clients", counts.clients);
  out->PutUint("routes", counts.routes);
  out->PutUint("gateways", counts.gateways);
  out->PutUint("leafs", counts.leafs);
  out->EndObject();
}

void RenderTraffic(std::string_view key, int64_t messages, int64_t bytes, JsonWriter* out) {
  out->Key(key);
  out->BeginObject();
  out->PutInt("msgs", messages);
  out->PutInt("bytes", bytes);
  out->EndObject();
}

}  // namespace

const EventOptionTable kFilterOptions = {"EventFilterOptions", ""};
const EventOptionTable kStatszOptions = {"StatszEventOptions", ""};

const SystemPage* FindSystemPage(std::string_view name, SystemPage::Scope scope) {
  const auto found = std::find_if(std::begin(kPages), std::end(kPages), [&](const SystemPage& page) {
    return page.name == name && (page.scope & scope) != 0;
  });
  return found == std::end(kPages) ? nullptr : &*found;
}

EventAnswer AnswerOf(const SystemPage& page, const EventOptions& options, MonitorData&& data,
                     const std::map<std::string, uint64_t>& http_req_stats) {
  const MonitorPage::Context context{.base_path = "", .http_req_stats = http_req_stats, .is_event = true};
  HttpResponse response = page.render(options, std::move(data), context);
  if (response.content_type != kPlainText) {
    return {.kind = EventAnswer::Kind::kData, .data = std::move(response.body)};
  }
  if (std::string_view(response.body).starts_with(kFilteredResponse)) return {};
  return {.kind = EventAnswer::Kind::kError, .error = {500, std::move(response.body)}};
}

void RenderStatsz(const VarzSnapshot& varz, int active_accounts, JsonWriter* out) {
  out->BeginObject();
  out->PutTime("start", varz.start_ns);
  out->PutInt("mem", varz.mem_bytes);
  out->PutInt("cores", varz.cores);
  out->PutFloat("cpu", varz.cpu_percent);
  out->PutInt("connections", varz.connections);
  out->PutUint("total_connections", varz.total_connections);
  out->PutInt("active_accounts", active_accounts);
  out->PutUint("subscriptions", varz.subscriptions);
  RenderTraffic("sent", varz.out_msgs, varz.out_bytes, out);
  RenderTraffic("sent_to_clients", varz.out_client_msgs, varz.out_client_bytes, out);
  RenderTraffic("received", varz.in_msgs, varz.in_bytes, out);
  RenderTraffic("received_from_clients", varz.in_client_msgs, varz.in_client_bytes, out);
  out->PutInt("slow_consumers", varz.slow_consumers);
  RenderKindCounts("slow_consumer_stats", varz.slow_consumer_stats, out);
  out->OptInt("stale_connections", varz.stale_connections);
  RenderKindCounts("stale_connection_stats", varz.stale_connection_stats, out);
  out->OptInt("stalled_clients", varz.stalled_clients);
  out->PutInt("active_servers", 1);
  if (varz.jetstream) {
    JetStreamVarz jetstream = *varz.jetstream;
    jetstream.config.store_dir.clear();  // a heartbeat does not say where the server keeps its files
    out->Key("jetstream");
    out->BeginObject();
    RenderJetStreamFields(jetstream, out);
    out->EndObject();
  }
  out->OptInt("gomemlimit", varz.gomemlimit);
  out->OptInt("gomaxprocs", varz.gomaxprocs);
  out->EndObject();
}

std::string EventEnvelope(std::string_view server, std::string_view data, const EventError* error, bool null_data) {
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.Key("server"), out.Raw(server);
  if (!data.empty()) {
    out.Key("data"), out.Raw(data);
  } else if (null_data) {
    out.Key("data"), out.Null();
  }
  if (error != nullptr) {
    out.Key("error");
    out.BeginObject();
    out.PutInt("code", error->code);
    out.Opt("description", error->description);
    out.EndObject();
  }
  out.EndObject();
  return std::move(out).Take();
}

}  // namespace millrace
