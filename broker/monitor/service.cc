// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/service.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/debug_pages.h"
#include "broker/monitor/go_format.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";

struct Route {
  std::string_view path;
  MonitorEndpoint endpoint;
  std::string_view counted_as;  // in http_req_stats; empty: not counted
  bool counts_refused = true;   // a request with malformed parameters counts too
};
constexpr Route kRoutes[] = {
    {"/varz", MonitorEndpoint::kVarz, "/varz"},
    {"/connz", MonitorEndpoint::kConnz, "/connz", false},
    {"/routez", MonitorEndpoint::kRoutez, "/routez", false},
    {"/gatewayz", MonitorEndpoint::kGatewayz, "/gatewayz"},
    {"/leafz", MonitorEndpoint::kLeafz, "/leafz"},
    {"/subsz", MonitorEndpoint::kSubsz, "/subsz"},
    {"/subscriptionsz", MonitorEndpoint::kSubsz, "/subsz"},
    {"/stacksz", MonitorEndpoint::kStacksz, ""},
    {"/accountz", MonitorEndpoint::kAccountz, "/accountz"},
    {"/accstatz", MonitorEndpoint::kAccstatz, "/accstatz"},
    {"/jsz", MonitorEndpoint::kJsz, "/jsz"},
    {"/healthz", MonitorEndpoint::kHealthz, "/healthz"},
    {"/ipqueuesz", MonitorEndpoint::kIpqueuesz, ""},
    {"/raftz", MonitorEndpoint::kRaftz, ""},
    {"/debug/vars", MonitorEndpoint::kExpvarz, ""},
};

// Resolves ".", ".." and doubled slashes; a trailing slash stays.
std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::string_view rest = path; !rest.empty();) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string clean;
  for (std::string_view part : parts) clean.append("/").append(part);
  if (clean.empty() || path.ends_with('/')) clean += '/';
  return clean;
}

// Bytes that may stand in a Location as they are; the rest is escaped, so no header can be
// smuggled.
std::string EscapePath(std::string_view path) {
  std::string out;
  for (char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~/$&+,:;=@").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

HttpResponse Plain(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = kPlainText;
  response.cors = false;
  response.body = std::move(body);
  return response;
}

HttpResponse NotFound() {
  HttpResponse response = Plain(404, "404 page not found\n");
  response.nosniff = true;
  return response;
}

HttpResponse Redirect(std::string_view path, std::string_view raw_query) {
  HttpResponse response = Plain(307, "");
  response.content_type = "text/html; charset=utf-8";
  response.location = EscapePath(path);
  if (!raw_query.empty()) response.location += absl::StrFormat("?%s", raw_query);
  response.body =
      absl::StrFormat("<a href=\"%s\">Temporary Redirect</a>.\n\n", EscapeHtml(response.location));
  return response;
}

HttpResponse Json(JsonWriter&& writer) {
  HttpResponse response;
  response.body = std::move(writer).Take();
  return response;
}

// Reads parameters that only have to be well formed: the features behind them are off.
absl::Status CheckParams(const HttpTarget& target, std::initializer_list<std::string_view> bools,
                         std::initializer_list<std::string_view> ints) {
  for (std::string_view name : bools)
    if (auto value = DecodeBool(name, target.Param(name)); !value.ok()) return value.status();
  for (std::string_view name : ints)
    if (auto value = DecodeInt(name, target.Param(name)); !value.ok()) return value.status();
  return absl::OkStatus();
}

// subs=1|detail, where detail in any case is no boolean.
absl::Status CheckSubsParam(const HttpTarget& target) {
  std::string subs(target.Param("subs"));
  for (char& c : subs)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return subs == "detail" ? absl::OkStatus() : CheckParams(target, {"subs"}, {});
}

void BeginPage(const MonitorData& data, JsonWriter* out) {
  out->BeginObject();
  out->Put("server_id", data.server_id);
  out->PutTime("now", data.now_ns);
}

}  // namespace

MonitorService::MonitorService(std::string_view base_path)
    : base_path_(base_path.empty() ? "" : CleanPath(base_path)) {
  while (base_path_.ends_with('/')) base_path_.pop_back();
}

MonitorRequest MonitorService::Start(const HttpRequest& http) {
  MonitorRequest request;
  request.head = http.head();
  request.keep_alive = http.keep_alive;
  request.http10 = http.http10;

  const HttpTarget target(http.target);
  if (!target.valid()) {
    request.ready = Plain(400, "400 Bad Request");
    request.keep_alive = false;
    return request;
  }
  if (target.path() == "*") {
    request.ready = Plain(http.method == "OPTIONS" ? 200 : 400, "");
    request.ready.content_type.clear();
    return request;
  }
  if (const std::string clean = CleanPath(target.path());
      clean != target.path() && http.method != "CONNECT") {
    request.ready = Redirect(clean, target.raw_query());
    return request;
  }
  const std::string_view path = target.path();
  if (path == (base_path_.empty() ? "/" : base_path_)) {
    request.endpoint = MonitorEndpoint::kRoot;
    ++http_req_stats_["/"];
    return request;
  }
  if (path.starts_with(base_path_)) {
    for (const Route& route : kRoutes) {
      if (path.substr(base_path_.size()) != route.path) continue;
      request.endpoint = route.endpoint;
      ReadOptions(target, &request);
      const bool refused = request.endpoint == MonitorEndpoint::kReady;
      if (!route.counted_as.empty() && (route.counts_refused || !refused))
        ++http_req_stats_[std::string(route.counted_as)];
      return request;
    }
  }
  request.ready = NotFound();
  return request;
}

void MonitorService::ReadOptions(const HttpTarget& target, MonitorRequest* request) {
  absl::Status status;
  switch (request->endpoint) {
    case MonitorEndpoint::kVarz:
      request->needs = kNeedVarz | kNeedJetStreamVarz;
      break;
    case MonitorEndpoint::kConnz: {
      auto options = ParseConnzParams(target);
      status = options.status();
      if (!options.ok()) break;
      request->connz = *std::move(options);
      if (request->connz.wants_open()) request->needs |= kNeedOpenConnections;
      if (request->connz.wants_closed()) request->needs |= kNeedClosedConnections;
      if (request->connz.wants_subs()) request->needs |= kNeedConnectionSubs;
      break;
    }
    case MonitorEndpoint::kSubsz: {
      auto options = ParseSubszParams(target);
      status = options.status();
      if (!options.ok()) break;
      request->subsz = *std::move(options);
      request->needs = kNeedSublistStats | (request->subsz.subs ? kNeedSubscriptions : 0u);
      break;
    }
    case MonitorEndpoint::kAccountz:
      request->accountz_name = target.Param("acc");
      request->needs = request->accountz_name.empty() ? kNeedAccountNames : kNeedAccountDetail;
      break;
    case MonitorEndpoint::kAccstatz: {
      auto unused = DecodeBool("unused", target.Param("unused"));
      status = unused.status();
      if (!unused.ok()) break;
      request->accstatz_unused = *unused;
      request->needs = kNeedAccountStats;
      break;
    }
    case MonitorEndpoint::kHealthz: {
      auto options = ParseHealthzParams(target);
      status = options.status();
      if (!options.ok()) break;
      request->healthz = *std::move(options);
      if (request->healthz.js_enabled)
        request->warning = "Healthcheck: js-enabled deprecated, use js-enabled-only instead";
      HealthSnapshot bad;
      if (CheckHealthzOptions(request->healthz, &bad)) {
        request->needs = kNeedHealth;
        if (WantsJetStreamHealth(request->healthz)) request->needs |= kNeedJetStreamHealth;
      } else {
        request->warning = HealthWarning(bad, request->healthz);
        request->bad_health = std::move(bad);
      }
      break;
    }
    case MonitorEndpoint::kRoutez:
      status = CheckSubsParam(target);
      break;
    case MonitorEndpoint::kGatewayz:
      status = CheckSubsParam(target);
      if (status.ok()) status = CheckParams(target, {"accs"}, {});
      break;
    case MonitorEndpoint::kLeafz:
      status = CheckParams(target, {"subs"}, {});
      break;
    case MonitorEndpoint::kJsz: {
      auto options = ParseJszParams(target);
      status = options.status();
      if (!options.ok()) break;
      request->jsz = *std::move(options);
      request->needs = kNeedJsz;
      break;
    }
    case MonitorEndpoint::kIpqueuesz:
      status = CheckParams(target, {"all"}, {});
      break;
    default:
      break;
  }
  if (!status.ok()) {
    request->endpoint = MonitorEndpoint::kReady;
    request->needs = 0;
    request->ready = Plain(400, std::string(status.message()));
  }
}

std::string MonitorService::Finish(const MonitorRequest& request, MonitorData&& data) const {
  const int64_t now_s = data.now_ns / 1'000'000'000;
  const HttpResponse response = Respond(request, std::move(data));
  return SerializeHttp(response, request.head, request.keep_alive, request.http10, now_s);
}

HttpResponse MonitorService::Respond(const MonitorRequest& request, MonitorData&& data) const {
  JsonWriter out;
  switch (request.endpoint) {
    case MonitorEndpoint::kReady:
      return request.ready;
    case MonitorEndpoint::kRoot: {
      HttpResponse page = Plain(200, RootPage(base_path_));
      page.content_type = "text/html; charset=utf-8";
      return page;
    }
    case MonitorEndpoint::kVarz:
      data.varz.server_id = data.server_id;
      data.varz.server_name = data.server_name;
      data.varz.now_ns = data.now_ns;
      RenderVarz(data.varz, http_req_stats_, &out);
      break;
    case MonitorEndpoint::kConnz:
      RenderConnz({.server_id = std::move(data.server_id),
                   .now_ns = data.now_ns,
                   .account_known = data.account_known,
                   .open = std::move(data.open),
                   .closed = std::move(data.closed),
                   .open_total = data.open_total,
                   .closed_total = data.closed_total},
                  request.connz, &out);
      break;
    case MonitorEndpoint::kSubsz:
      RenderSubsz({.server_id = std::move(data.server_id),
                   .now_ns = data.now_ns,
                   .stats = data.sublist,
                   .subs = std::move(data.subs)},
                  request.subsz, &out);
      break;
    case MonitorEndpoint::kAccountz:
      if (!request.accountz_name.empty() && data.accounts.empty())
        return Plain(400, absl::StrFormat("Account %s does not exist", request.accountz_name));
      BeginPage(data, &out);
      out.Opt("system_account", data.system_account);
      if (request.accountz_name.empty()) {
        out.OptStrings("accounts", data.account_names);
      } else {
        out.Key("account_detail");
        RenderAccountDetail(data.accounts[0], &out);
      }
      out.EndObject();
      break;
    case MonitorEndpoint::kAccstatz:
      BeginPage(data, &out);
      out.Key("account_statz");
      out.BeginArray();
      for (const AccountSnapshot& account : data.accounts)
        if (request.accstatz_unused || account.clients != 0 || account.leafnodes != 0)
          RenderAccountStat(account, &out);
      out.EndArray();
      out.EndObject();
      break;
    case MonitorEndpoint::kHealthz: {
      JsonWriter compact(JsonLayout::kCompact);
      const HealthSnapshot& health = request.bad_health ? *request.bad_health : data.health;
      const int status = RenderHealthz(health, request.healthz, false, &compact);
      HttpResponse response = Json(std::move(compact));
      response.status = status;
      return response;
    }
    case MonitorEndpoint::kRoutez:
      RenderRoutezOff(data.server_id, data.server_name, data.now_ns, &out);
      break;
    case MonitorEndpoint::kGatewayz:
      RenderGatewayzOff(data.server_id, data.now_ns, &out);
      break;
    case MonitorEndpoint::kLeafz:
      RenderLeafzOff(data.server_id, data.now_ns, &out);
      break;
    case MonitorEndpoint::kJsz:
      if (!data.jsz.has_value() && request.jsz.leader_only) return Plain(400, "filtered response: not leader");
      RenderJsz(data.jsz.has_value() ? &*data.jsz : nullptr, request.jsz, data.server_id, data.now_ns, &out);
      break;
    case MonitorEndpoint::kIpqueuesz:
      out.BeginObject();  // we have no such queues
      out.EndObject();
      break;
    case MonitorEndpoint::kRaftz:
      return Plain(404, "No Raft nodes registered");
    case MonitorEndpoint::kStacksz: {
      HttpResponse response;
      response.body = ThreadsPage();
      return response;
    }
    case MonitorEndpoint::kExpvarz: {
      HttpResponse response;
      response.content_type = "application/json; charset=utf-8";
      response.cors = false;
      response.body = ExpvarPage(data.cmdline);
      return response;
    }
  }
  return Json(std::move(out));
}

}  // namespace millrace
