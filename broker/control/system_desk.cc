// SPDX-License-Identifier: Apache-2.0
#include "broker/control/system_desk.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "broker/jetstream/archive/s2.h"
#include "broker/json/reader.h"
#include "broker/system/server_object.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kRequestInfo = "Nats-Request-Info";
constexpr std::string_view kAcceptEncoding = "Accept-Encoding";
constexpr std::string_view kContentEncoding = "Content-Encoding";
constexpr std::string_view kPing = "PING";

constexpr std::string_view kServerNames[] = {"IDZ",      "STATSZ",  "VARZ",     "SUBSZ",   "CONNZ",
                                             "ROUTEZ",   "GATEWAYZ", "LEAFZ",   "ACCOUNTZ", "JSZ",
                                             "HEALTHZ",  "PROFILEZ", "EXPVARZ", "IPQUEUESZ", "RAFTZ"};
constexpr std::string_view kOwnNames[] = {"RELOAD", "KICK", "LDM"};
constexpr std::string_view kAccountNames[] = {"SUBSZ", "CONNZ", "LEAFZ", "JSZ", "INFO", "STATZ", "CONNS"};

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

// The blocks of the writer are Snappy's already; under that name every reader of Snappy takes them, too.
std::string SnappyStream(std::string_view plain) {
  constexpr std::string_view kName = "sNaPpY";
  constexpr size_t kHeadBytes = 4;  // in front of the name
  S2Writer writer;
  std::string stream;
  writer.Write(plain, &stream);
  writer.Flush(&stream);
  return stream.replace(kHeadBytes, kName.size(), kName);
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

// The text of a member of an object; empty when there is none.
std::string MemberOf(std::string_view json, std::string_view name) {
  std::string found;
  JsonMembers members(json);
  while (members.Next()) {
    if (members.key() == name && members.value().kind == JsonKind::kString) found = members.value().string;
  }
  return found;
}

// Whether the subscription counts for who asks about `subject`: it would hear it, or it is within it.
bool IsCounted(const SubInfo& sub, std::string_view subject, std::string_view queue, bool any_queue) {
  if (!any_queue && sub.queue != queue) return false;
  return IsLiteral(subject) ? SubjectMatches(subject, sub.subject) : IsSubset(sub.subject, subject);
}

}  // namespace

SystemServices::Options SystemDesk::ServicesOf(AccountId system, const std::string& server_id) {
  return {.account = system,
          .server_id = server_id,
          .server_names = {std::begin(kServerNames), std::end(kServerNames)},
          .own_names = {std::begin(kOwnNames), std::end(kOwnNames)},
          .account_names = {std::begin(kAccountNames), std::end(kAccountNames)}};
}

void SystemDesk::OnRequest(const SystemRequest& request) {
  const std::string_view subject = request.subject;
  const std::string_view kind = TokenAt(subject, 2);
  const std::string_view name = subject.substr(subject.rfind('.') + 1);
  if (subject.starts_with("$SYS.DEBUG.")) return OnSubscribers(request);
  if (kind == "USER") return OnUserInfo(request);
  if (kind == "SERVER") return OnServerRequest(name, request);
  MR_CHECK(kind == "ACCOUNT");
  if (name == "NSUBS") return OnNumSubs(request);
  if (name == "CONNS") return OnConnections(TokenAt(subject, 3), request);
  const SystemPage* page = FindSystemPage(name, SystemPage::kAccount);
  MR_CHECK(page != nullptr);
  OnPage(*page, TokenAt(subject, 3), request);
}

void SystemDesk::OnServerRequest(std::string_view name, const SystemRequest& request) {
  if (name == kPing || name == "STATSZ") return OnStatsz(request);
  if (name == "IDZ") return OnIdz(request);
  if (name == "RELOAD") return OnReload(request);
  if (name == "KICK") return OnConnectionOrder(ConnectionOrder::Kind::kKick, request);
  if (name == "LDM") return OnConnectionOrder(ConnectionOrder::Kind::kLameDuck, request);
  const SystemPage* page = FindSystemPage(name, SystemPage::kServer);
  MR_CHECK(page != nullptr);
  OnPage(*page, {}, request);
}

// ---- answers -------------------------------------------------------------------------------------------------------

std::string SystemDesk::ServerJson() {
  const ServerView view = host_.view();
  return ServerObject(view.info, view.options).Json(notices_.Next(), view.now_ns);
}

void SystemDesk::Send(const Client& client, std::string payload) {
  SystemPort::Notice notice{.account = host_.view().accounts.system().id, .subject = client.reply};
  std::string header;
  if (client.compression == Compression::kSnappy) {
    payload = SnappyStream(payload);
    SetHeader(&header, kContentEncoding, "snappy");
  } else if (client.compression == Compression::kUnsupported) {
    SetHeader(&header, kContentEncoding, "identity");
  }
  notice.header_bytes = static_cast<uint32_t>(header.size());
  notice.payload = header + payload;
  auto mail = std::make_unique<SystemReply>(std::move(notice));
  mesh_.port(mesh_.control()).SendParcel(0, std::make_unique<PartParcel>(kSystemPart, std::move(mail)));
}

void SystemDesk::Refuse(const std::string& reply, int code, std::string text, bool null_data) {
  const EventError error{code, std::move(text)};
  Send({reply}, EventEnvelope(ServerJson(), {}, &error, null_data));
}

bool SystemDesk::Read(const EventOptionTable& table, const SystemRequest& request, EventOptions* options) {
  if (request.payload.empty()) return true;
  if (const absl::Status read = ReadEventOptions(request.payload, table, options); !read.ok()) {
    Refuse(request.reply, 400, std::string(read.message()));
    return false;
  }
  const ServerView view = host_.view();
  return IsMeant(options->filter, {.name = view.info.server_name,
                                   .cluster = {},
                                   .host = view.info.host,
                                   .tags = view.options.server_tags,
                                   .domain = view.options.jetstream.domain});
}

// ---- pages ---------------------------------------------------------------------------------------------------------

void SystemDesk::OnPage(const SystemPage& page, std::string_view account, const SystemRequest& request) {
  if (request.reply.empty()) return;
  EventOptions options;
  if (!Read(*page.options, request, &options)) return;
  if (const absl::Status prepared = page.prepare(account, &options); !prepared.ok()) {
    return Refuse(request.reply, 500, std::string(prepared.message()), true);
  }
  Client client{request.reply};
  if (const std::string accepted = LowerCase(FindHeader(request.header, kAcceptEncoding).value_or(""));
      !accepted.empty()) {
    const bool snappy = accepted.find("snappy") != std::string::npos || accepted.find("s2") != std::string::npos;
    client.compression = snappy ? Compression::kSnappy : Compression::kUnsupported;
  }
  const MonitorRequest asked = options.page;
  queries_.Ask(asked, [this, &page, client = std::move(client), options = std::move(options)](MonitorData&& data) {
    EventAnswer answer = AnswerOf(page, options, std::move(data), host_.http_req_stats());
    if (answer.kind == EventAnswer::Kind::kNothing) return;
    if (answer.kind == EventAnswer::Kind::kError) {
      return Refuse(client.reply, answer.error.code, std::move(answer.error.description), true);
    }
    Send(client, EventEnvelope(ServerJson(), answer.data, nullptr, false));
  });
}

// Who gives no reply subject has the heartbeat sent at once.
void SystemDesk::OnStatsz(const SystemRequest& request) {
  SystemRequest heard = request;
  if (heard.reply.empty()) heard.reply = "$SYS.SERVER." + host_.view().info.server_id + ".STATSZ";
  EventOptions options;
  if (!Read(kStatszOptions, heard, &options)) return;
  options.page.needs = kNeedVarz | kNeedJetStreamVarz | kNeedAccountStats;
  queries_.Ask(options.page, [this, reply = heard.reply](MonitorData&& data) {
    const auto active = std::count_if(data.accounts.begin(), data.accounts.end(),
                                      [](const AccountSnapshot& account) { return account.clients > 0; });
    JsonWriter statsz(JsonLayout::kCompact);
    RenderStatsz(data.varz, static_cast<int>(active), &statsz);
    JsonWriter out(JsonLayout::kCompact);
    out.BeginObject();
    out.Key("server"), out.Raw(ServerJson());
    out.Key("statsz"), out.Raw(statsz.text());
    out.EndObject();
    Send({reply}, std::move(out).Take());
  });
}

void SystemDesk::OnIdz(const SystemRequest& request) {
  if (request.reply.empty()) return;
  const ServerView view = host_.view();
  JsonWriter out(JsonLayout::kCompact);
  out.BeginObject();
  out.Put("name", view.info.server_name);
  out.Put("host", view.info.host);
  out.Put("id", view.info.server_id);
  out.EndObject();
  Send({request.reply}, std::move(out).Take());
}

// ---- connections ---------------------------------------------------------------------------------------------------

void SystemDesk::OnUserInfo(const SystemRequest& request) {
  if (request.reply.empty() || request.cid == 0) return;
  const ConnectionOrder order{ConnectionOrder::Kind::kUserInfo, request.cid};
  queries_.AskConnection(order, [this, reply = request.reply](const ConnectionReply& said) {
    if (!said.found || said.said.empty()) return;  // it has gone
    Send({reply}, EventEnvelope(ServerJson(), said.said, nullptr, false));
  });
}

void SystemDesk::OnConnectionOrder(ConnectionOrder::Kind kind, const SystemRequest& request) {
  static constexpr EventOption kCid[] = {
      {"cid", "uint64", [](EventOptions* o) -> EventOptionPlace { return &o->page.connz.cid; }}};
  const bool is_kick = kind == ConnectionOrder::Kind::kKick;
  const EventOptionTable table{is_kick ? "KickClientReq" : "LDMClientReq", "", kCid, false};
  EventOptions asked;
  absl::Status read = absl::InvalidArgumentError("unexpected end of JSON input");
  if (!request.payload.empty()) read = ReadEventOptions(request.payload, table, &asked);
  if (!read.ok()) {
    return log_.Error(absl::StrFormat("Error unmarshalling kick client request: %s", std::string(read.message())));
  }
  const uint64_t cid = asked.page.connz.cid;
  EventOptions options;
  if (request.reply.empty() || !Read(kFilterOptions, request, &options)) return;
  queries_.AskConnection({kind, cid}, [this, is_kick, reply = request.reply](const ConnectionReply& done) {
    if (!done.found) return Refuse(reply, 500, is_kick ? "no such client or leafnode id" : "no such client id");
    if (!is_kick && !done.did) {
      return Refuse(reply, 500,
                    "client does not support Lame Duck Mode or is not ready to receive the notification");
    }
    Send({reply}, EventEnvelope(ServerJson(), {}, nullptr, false));
  });
}

void SystemDesk::OnReload(const SystemRequest& request) {
  EventOptions options;
  if (request.reply.empty() || !Read(kFilterOptions, request, &options)) return;
  const absl::Status done = host_.reload();
  if (!done.ok()) return Refuse(request.reply, 500, std::string(done.message()));
  Send({request.reply}, EventEnvelope(ServerJson(), {}, nullptr, false));
}

// ---- who subscribes ------------------------------------------------------------------------------------------------

// The payload is a subject, and may name a queue group behind a space.
void SystemDesk::OnSubscribers(const SystemRequest& request) {
  const std::optional<std::string_view> info = FindHeader(request.header, kRequestInfo);
  Counted counted;
  if (info) counted.account = MemberOf(*info, "svc");
  if (info && counted.account.empty()) counted.account = MemberOf(*info, "acc");
  if (counted.account.empty()) counted.account = host_.view().accounts.system().name;
  const std::string_view text = Trimmed(request.payload);
  const size_t space = text.find(' ');
  counted.subject = text.substr(0, space);
  counted.any_queue = space == std::string_view::npos;
  if (!counted.any_queue) {
    const std::string_view behind = text.substr(space + 1);
    counted.queue = behind.substr(0, behind.find(' '));
  }
  CountSubs(std::move(counted), request.reply);
}

void SystemDesk::OnNumSubs(const SystemRequest& request) {
  if (request.payload.empty() || !JsonMembers(request.payload).IsObjectOrNull()) {
    return log_.Error("Error unmarshalling account nsubs request message");
  }
  const std::string group = MemberOf(request.payload, "queue");
  Counted counted{.account = MemberOf(request.payload, "acc"),
                  .subject = MemberOf(request.payload, "subject"),
                  .queue = {},
                  .any_queue = group.empty(),
                  .only_if_used = true};
  absl::Base64Unescape(group, &counted.queue);
  CountSubs(std::move(counted), request.reply);
}

void SystemDesk::OnConnections(std::string_view account, const SystemRequest& request) {
  if (!request.payload.empty()) {
    if (!JsonMembers(request.payload).IsObjectOrNull()) {
      return log_.Error("Error unmarshalling account connections request message");
    }
    const std::string named = MemberOf(request.payload, "acc");
    if (!named.empty() && named != account) {
      return log_.Error("Error unmarshalled account does not match subject");
    }
  }
  const Account* const found = host_.view().accounts.Find(account);
  if (found != nullptr && !request.reply.empty()) host_.tell_connections(found->id, request.reply);
}

void SystemDesk::CountSubs(Counted counted, const std::string& reply) {
  if (reply.empty()) return;
  MonitorRequest request;
  request.needs = kNeedSubscriptions | kNeedAccountStats;
  queries_.Ask(request, [this, counted = std::move(counted), reply](MonitorData&& data) {
    const auto is_used = [&counted](const AccountSnapshot& account) {
      return account.name == counted.account && account.clients > 0;
    };
    if (counted.only_if_used && std::none_of(data.accounts.begin(), data.accounts.end(), is_used)) return;
    const auto count = std::count_if(data.subs.begin(), data.subs.end(), [&counted](const SubInfo& sub) {
      return sub.account == counted.account && IsCounted(sub, counted.subject, counted.queue, counted.any_queue);
    });
    Send({reply}, absl::StrFormat("%d", count));
  });
}

}  // namespace millrace
