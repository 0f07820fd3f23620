// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/service.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/monitor/debug_pages.h"
#include "broker/monitor/parameters.h"
#include "proto/base/check.h"
#include "proto/base/status.h"

namespace millrace {
namespace {

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

// ---- parsing -------------------------------------------------------------------------------------------------------

absl::Status NoParams(const HttpTarget&, MonitorRequest*) { return absl::OkStatus(); }

absl::Status ParseVarz(const HttpTarget&, MonitorRequest* request) {
  request->needs = kNeedVarz | kNeedJetStreamVarz;
  return absl::OkStatus();
}

absl::Status ParseConnz(const HttpTarget& target, MonitorRequest* request) {
  MR_ASSIGN_OR_RETURN(request->connz, ParseConnzParams(target));
  NeedConnections(request);
  return absl::OkStatus();
}

absl::Status ParseSubsz(const HttpTarget& target, MonitorRequest* request) {
  MR_ASSIGN_OR_RETURN(request->subsz, ParseSubszParams(target));
  request->needs = kNeedSublistStats | (request->subsz.subs ? kNeedSubscriptions : 0u);
  return absl::OkStatus();
}

absl::Status ParseAccountz(const HttpTarget& target, MonitorRequest* request) {
  request->accountz_name = target.Param("acc");
  request->needs = request->accountz_name.empty() ? kNeedAccountNames : kNeedAccountDetail | kNeedSublistStats;
  return absl::OkStatus();
}

absl::Status ParseAccstatz(const HttpTarget& target, MonitorRequest* request) {
  MR_ASSIGN_OR_RETURN(request->accstatz_unused, DecodeBool("unused", target.Param("unused")));
  request->needs = kNeedAccountStats;
  return absl::OkStatus();
}

absl::Status ParseHealthz(const HttpTarget& target, MonitorRequest* request) {
  MR_ASSIGN_OR_RETURN(request->healthz, ParseHealthzParams(target));
  NeedHealth(request);
  return absl::OkStatus();
}

absl::Status ParseRoutez(const HttpTarget& target, MonitorRequest*) { return CheckSubsParam(target); }

absl::Status ParseGatewayz(const HttpTarget& target, MonitorRequest*) {
  MR_RETURN_IF_ERROR(CheckSubsParam(target));
  return CheckParams(target, {"accs"}, {});
}

absl::Status ParseLeafz(const HttpTarget& target, MonitorRequest*) { return CheckParams(target, {"subs"}, {}); }

absl::Status ParseJsz(const HttpTarget& target, MonitorRequest* request) {
  MR_ASSIGN_OR_RETURN(request->jsz, ParseJszParams(target));
  request->needs = kNeedJsz;
  return absl::OkStatus();
}

absl::Status ParseIpqueuesz(const HttpTarget& target, MonitorRequest*) { return CheckParams(target, {"all"}, {}); }

// ---- writing -------------------------------------------------------------------------------------------------------

using Context = MonitorPage::Context;

HttpResponse RenderRootPage(const MonitorRequest&, MonitorData&&, const Context& context) {
  HttpResponse page = Plain(200, RootPage(context.base_path));
  page.content_type = "text/html; charset=utf-8";
  return page;
}

HttpResponse RenderVarzPage(const MonitorRequest&, MonitorData&& data, const Context& context) {
  data.varz.server_id = data.server_id;
  data.varz.server_name = data.server_name;
  data.varz.now_ns = data.now_ns;
  JsonWriter out(context.layout());
  RenderVarz(data.varz, context.http_req_stats, &out);
  return Json(std::move(out));
}

HttpResponse RenderConnzPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  RenderConnz({.server_id = std::move(data.server_id),
               .now_ns = data.now_ns,
               .account_known = data.account_known,
               .open = std::move(data.open),
               .closed = std::move(data.closed),
               .open_total = data.open_total,
               .closed_total = data.closed_total},
              request.connz, &out);
  return Json(std::move(out));
}

HttpResponse RenderSubszPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  RenderSubsz({.server_id = std::move(data.server_id),
               .now_ns = data.now_ns,
               .stats = data.sublist,
               .subs = std::move(data.subs)},
              request.subsz, &out);
  return Json(std::move(out));
}

HttpResponse RenderAccountzPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  if (!request.accountz_name.empty() && data.accounts.empty())
    return Plain(400, absl::StrFormat("Account %s does not exist", request.accountz_name));
  JsonWriter out(context.layout());
  BeginPage(data, &out);
  out.Opt("system_account", data.system_account);
  if (request.accountz_name.empty()) {
    out.OptStrings("accounts", data.account_names);
  } else {
    out.Key("account_detail");
    RenderAccountDetail(data.accounts[0], &out);
  }
  out.EndObject();
  return Json(std::move(out));
}

HttpResponse RenderAccstatzPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  BeginPage(data, &out);
  out.Key("account_statz");
  out.BeginArray();
  for (const AccountSnapshot& account : data.accounts) {
    if (request.accstatz_unused || account.clients != 0 || account.leafnodes != 0) RenderAccountStat(account, &out);
  }
  out.EndArray();
  out.EndObject();
  return Json(std::move(out));
}

HttpResponse RenderHealthzPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  JsonWriter compact(JsonLayout::kCompact);
  const HealthSnapshot& health = request.bad_health ? *request.bad_health : data.health;
  const int status = RenderHealthz(health, request.healthz, context.is_event, &compact);
  HttpResponse response = Json(std::move(compact));
  response.status = status;
  return response;
}

HttpResponse RenderRoutezPage(const MonitorRequest&, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  RenderRoutezOff(data.server_id, data.server_name, data.now_ns, &out);
  return Json(std::move(out));
}

HttpResponse RenderGatewayzPage(const MonitorRequest&, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  RenderGatewayzOff(data.server_id, data.now_ns, &out);
  return Json(std::move(out));
}

HttpResponse RenderLeafzPage(const MonitorRequest&, MonitorData&& data, const Context& context) {
  JsonWriter out(context.layout());
  RenderLeafzOff(data.server_id, data.now_ns, &out);
  return Json(std::move(out));
}

HttpResponse RenderJszPage(const MonitorRequest& request, MonitorData&& data, const Context& context) {
  if (!data.jsz.has_value() && request.jsz.leader_only) return Plain(400, "filtered response: not leader");
  JsonWriter out(context.layout());
  RenderJsz(data.jsz.has_value() ? &*data.jsz : nullptr, request.jsz, data.server_id, data.now_ns, &out);
  return Json(std::move(out));
}

// We have no such queues.
HttpResponse RenderIpqueueszPage(const MonitorRequest&, MonitorData&&, const Context& context) {
  JsonWriter out(context.layout());
  out.BeginObject();
  out.EndObject();
  return Json(std::move(out));
}

HttpResponse RenderRaftzPage(const MonitorRequest&, MonitorData&&, const Context&) {
  return Plain(404, "No Raft nodes registered");
}

HttpResponse RenderStackszPage(const MonitorRequest&, MonitorData&&, const Context&) {
  HttpResponse response;
  response.body = ThreadsPage();
  return response;
}

HttpResponse RenderExpvarPage(const MonitorRequest&, MonitorData&& data, const Context& context) {
  HttpResponse response;
  response.content_type = "application/json; charset=utf-8";
  response.cors = false;
  response.body = ExpvarPage(data.cmdline, context.is_event);
  return response;
}

constexpr MonitorPage kPages[] = {
    {"", "/", true, NoParams, RenderRootPage},
    {"/varz", "/varz", true, ParseVarz, RenderVarzPage},
    {"/connz", "/connz", false, ParseConnz, RenderConnzPage},
    {"/routez", "/routez", false, ParseRoutez, RenderRoutezPage},
    {"/gatewayz", "/gatewayz", true, ParseGatewayz, RenderGatewayzPage},
    {"/leafz", "/leafz", true, ParseLeafz, RenderLeafzPage},
    {"/subsz", "/subsz", true, ParseSubsz, RenderSubszPage},
    {"/subscriptionsz", "/subsz", true, ParseSubsz, RenderSubszPage},
    {"/stacksz", "", true, NoParams, RenderStackszPage},
    {"/accountz", "/accountz", true, ParseAccountz, RenderAccountzPage},
    {"/accstatz", "/accstatz", true, ParseAccstatz, RenderAccstatzPage},
    {"/jsz", "/jsz", true, ParseJsz, RenderJszPage},
    {"/healthz", "/healthz", true, ParseHealthz, RenderHealthzPage},
    {"/ipqueuesz", "", true, ParseIpqueuesz, RenderIpqueueszPage},
    {"/raftz", "", true, NoParams, RenderRaftzPage},
    {"/debug/vars", "", true, NoParams, RenderExpvarPage},
};

}  // namespace

const MonitorPage& PageAt(std::string_view path) {
  const auto found =
      std::find_if(std::begin(kPages), std::end(kPages), [path](const MonitorPage& page) { return page.path == path; });
  MR_CHECK(found != std::end(kPages));
  return *found;
}

void NeedConnections(MonitorRequest* request) {
  if (request->connz.wants_open()) request->needs |= kNeedOpenConnections;
  if (request->connz.wants_closed()) request->needs |= kNeedClosedConnections;
  if (request->connz.wants_subs()) request->needs |= kNeedConnectionSubs;
}

void NeedHealth(MonitorRequest* request) {
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
}

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
  std::string_view path = target.path();
  if (path == (base_path_.empty() ? "/" : base_path_)) {
    path = {};
  } else if (path.starts_with(base_path_)) {
    path.remove_prefix(base_path_.size());
  } else {
    path = "/";  // no page
  }
  for (const MonitorPage& page : kPages) {
    if (path != page.path) continue;
    const absl::Status parsed = page.parse(target, &request);
    if (!page.counted_as.empty() && (page.counts_refused || parsed.ok()))
      ++http_req_stats_[std::string(page.counted_as)];
    if (parsed.ok()) {
      request.page = &page;
    } else {
      request.needs = 0;
      request.ready = Plain(400, std::string(parsed.message()));
    }
    return request;
  }
  request.ready = NotFound();
  return request;
}

std::string MonitorService::Finish(const MonitorRequest& request, MonitorData&& data) const {
  const int64_t now_s = data.now_ns / 1'000'000'000;
  const MonitorPage::Context context{base_path_, http_req_stats_};
  const HttpResponse response =
      request.page == nullptr ? request.ready : request.page->render(request, std::move(data), context);
  return SerializeHttp(response, request.head, request.keep_alive, request.http10, now_s);
}

}  // namespace millrace
