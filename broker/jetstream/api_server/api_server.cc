// SPDX-License-Identifier: Apache-2.0
// The API of JetStream: which request goes to which handler, what is common to all, and what concerns the account.
#include "broker/jetstream/api_server/api_server.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/base/letter.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

// Requests that only a consumer or a stream that is there listens to; for others there is no responder.
constexpr std::string_view kNextPrefix = "$JS.API.CONSUMER.MSG.NEXT.";
constexpr std::string_view kDirectPrefix = "$JS.API.DIRECT.GET.";

// What one turn does at most, so that everybody else gets theirs.
constexpr size_t kRequestsPerTurn = 64;

// Their answers wait for the disk.
bool ChangesTheStore(std::string_view filter) {
  for (const std::string_view verb : {".CREATE.", ".UPDATE.", ".DELETE.", ".PURGE.", ".RESTORE.", ".PAUSE.", ".UNPIN.",
                                      ".RESET."}) {
    if (filter.find(verb) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

// A row is a subject with `*` for one name, and what the answer is called.
struct ApiServer::Route {
  std::string_view filter;
  bool (ApiServer::*handler)(const ApiRequest&);
  ResponseKind kind;
};

const std::vector<ApiServer::Route>& ApiServer::Routes() {
  using J = ApiServer;
  static const auto& routes = *new std::vector<Route>{
      {"INFO", &J::OnAccountInfo, ResponseKind::kAccountInfo},
      {"STREAM.CREATE.*", &J::OnStreamCreate, ResponseKind::kStreamCreate},
      {"STREAM.UPDATE.*", &J::OnStreamUpdate, ResponseKind::kStreamUpdate},
      {"STREAM.NAMES", &J::OnStreamNames, ResponseKind::kStreamNames},
      {"STREAM.LIST", &J::OnStreamList, ResponseKind::kStreamList},
      {"STREAM.INFO.*", &J::OnStreamInfo, ResponseKind::kStreamInfo},
      {"STREAM.DELETE.*", &J::OnStreamDelete, ResponseKind::kStreamDelete},
      {"STREAM.PURGE.*", &J::OnStreamPurge, ResponseKind::kStreamPurge},
      {"STREAM.SNAPSHOT.*", &J::OnStreamSnapshot, ResponseKind::kStreamSnapshot},
      {"STREAM.RESTORE.*", &J::OnStreamRestore, ResponseKind::kStreamRestore},
      {"STREAM.MSG.DELETE.*", &J::OnMessageDelete, ResponseKind::kStreamMsgDelete},
      {"STREAM.MSG.GET.*", &J::OnMessageGet, ResponseKind::kStreamMsgGet},
      {"CONSUMER.CREATE.*", &J::OnConsumerCreate, ResponseKind::kConsumerCreate},
      {"CONSUMER.CREATE.*.>", &J::OnConsumerCreate, ResponseKind::kConsumerCreate},
      {"CONSUMER.DURABLE.CREATE.*.*", &J::OnConsumerCreate, ResponseKind::kConsumerCreate},
      {"CONSUMER.NAMES.*", &J::OnConsumerNames, ResponseKind::kConsumerNames},
      {"CONSUMER.LIST.*", &J::OnConsumerList, ResponseKind::kConsumerList},
      {"CONSUMER.INFO.*.*", &J::OnConsumerInfo, ResponseKind::kConsumerInfo},
      {"CONSUMER.DELETE.*.*", &J::OnConsumerDelete, ResponseKind::kConsumerDelete},
      {"CONSUMER.PAUSE.*.*", &J::OnConsumerPause, ResponseKind::kConsumerPause},
      {"CONSUMER.UNPIN.*.*", &J::OnConsumerUnpin, ResponseKind::kConsumerUnpin},
      {"CONSUMER.RESET.*.*", &J::OnConsumerReset, ResponseKind::kConsumerReset},
      {"DIRECT.GET.*", &J::OnDirectGet, ResponseKind::kSystem},
      {"DIRECT.GET.*.>", &J::OnDirectGet, ResponseKind::kSystem},
      {"STREAM.PEER.REMOVE.*", &J::OnClusterOnly, ResponseKind::kStreamRemovePeer},
      {"STREAM.PEER.EVACUATE.*", &J::OnClusterOnly, ResponseKind::kStreamEvacuatePeer},
      {"STREAM.CANCEL_MOVE.*", &J::OnClusterOnly, ResponseKind::kStreamCancelMove},
      {"STREAM.LEADER.STEPDOWN.*", &J::OnClusterOnly, ResponseKind::kStreamLeaderStepdown},
      {"CONSUMER.LEADER.STEPDOWN.*.*", &J::OnClusterOnly, ResponseKind::kConsumerLeaderStepdown},
      {"CONSUMER.PEER.REMOVE.*.*", &J::OnClusterOnly, ResponseKind::kConsumerRemovePeer},
      {"CONSUMER.PEER.EVACUATE.*.*", &J::OnClusterOnly, ResponseKind::kConsumerEvacuatePeer},
      {"ACCOUNT.PURGE.*", &J::OnAccountPurge, ResponseKind::kAccountPurge},
  };
  return routes;
}

// A pull is the frequent one: it changes state and publishes nothing, so it need not wait for its phase.
bool ApiServer::OnNextRequest(const Message& message) {
  const std::string_view rest = message.subject.substr(kNextPrefix.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return false;
  Stream* stream = directory_.streams().FindAwake(message.account, rest.substr(0, dot));
  Consumer* consumer = stream == nullptr ? nullptr : stream->FindConsumer(rest.substr(dot + 1));
  if (consumer == nullptr) return false;
  if (stream->MustWait()) [[unlikely]] {
    Letter letter(message);
    const size_t bytes = letter.bytes();
    host_.work().Enqueue(stream->uid(), [this, letter = std::move(letter)] { OnNextRequest(letter.View()); }, bytes);
    return true;
  }
  consumer->OnNextRequest(message.reply, message.payload.substr(0, message.header_bytes),
                          message.payload.substr(message.header_bytes));
  return true;
}

bool ApiServer::Deliver(const Message& message) {
  const bool system = message.account == host_.options().system_account;
  if (message.subject.starts_with(kNextPrefix) && !system) return OnNextRequest(message);
  if (message.subject.starts_with(kDirectPrefix) && !system) {
    if (FindDirect(message.account, TokenAt(message.subject, 4)) == nullptr) return false;
  }
  if (requests_.size() >= host_.options().request_queue_max) {
    // As the peer: all that wait are dropped at once, and say so to whoever watches.
    const auto dropped = static_cast<int64_t>(requests_.size());
    requests_.clear();
    host_.port().log().WarnLimited(absl::StrFormat("JetStream API queue limit reached, dropping %d requests", dropped));
    host_.replies().Advise(host_.options().system_account,
                           ApiLimitReachedAdvisory{host_.options().server_name, host_.options().domain, dropped});
    return true;
  }
  requests_.push_back(ApiRequest{message.account, message.origin_id, std::string(message.subject),
                                 std::string(message.reply),
                                 std::string(message.payload.substr(0, message.header_bytes)),
                                 std::string(message.payload.substr(message.header_bytes)), message.by_service});
  return true;
}

void ApiServer::AnswerRequests() {
  for (size_t i = 0; i < kRequestsPerTurn && !requests_.empty() && (i == 0 || !host_.tasks().spent()); ++i) {
    ApiRequest request = std::move(requests_.front());
    requests_.pop_front();
    Run(std::move(request));
  }
}

void ApiServer::AnswerParked() {
  for (ApiRequest& request : std::exchange(parked_, {})) Run(std::move(request));
}

void ApiServer::Stop() {
  requests_.clear();
  parked_.clear();
}

void ApiServer::Run(ApiRequest request) {
  MR_DCHECK(request.subject.starts_with(kApiPrefix));
  const Stream* stream = StreamFor(request);
  const size_t bytes = sizeof request + request.body.size();
  host_.work().Enqueue(stream == nullptr ? StreamWork::kNoStream : stream->uid(), [this, request = std::move(request)] {
    if (!Handle(request)) parked_.push_back(request);
  }, bytes);
}

Stream* ApiServer::StreamFor(const ApiRequest& request) {
  const std::string_view kind = TokenAt(request.subject, 2);
  const std::string_view what = TokenAt(request.subject, 3);
  if (kind == "DIRECT") return FindDirect(request.account, TokenAt(request.subject, 4));
  if (kind != "STREAM" && kind != "CONSUMER") return nullptr;
  const std::string_view name = TokenAt(request.subject, what == "MSG" || what == "DURABLE" ? 5 : 4);
  return name.empty() ? nullptr : Find(request, name);
}

bool ApiServer::Handle(const ApiRequest& request) {
  if (RefuseSystem(request)) return true;
  const std::string_view subject = std::string_view(request.subject).substr(kApiPrefix.size());
  for (const Route& route : Routes()) {
    if (!SubjectMatches(subject, route.filter)) continue;
    const std::optional<std::string_view> level = FindHeader(request.header, kRequiredApiLevelHeader);
    if (level && route.handler != &ApiServer::OnDirectGet && RefusesRequiredLevel(*level)) {
      Refuse(request, route.kind, MakeError(ApiErrorId::kRequiredApiLevel));
      return true;
    }
    if (RefuseAccount(request, route)) return true;
    if (!host_.store().writable() && ChangesTheStore(route.filter)) [[unlikely]] {
      Refuse(request, route.kind, MakeError(ApiErrorId::kInsufficientResources));
      return true;
    }
    return (this->*route.handler)(request);
  }
  return true;  // the peer, too, leaves an unknown request unanswered
}

// The system account has no streams. Only there are requests that concern the server; those of clusters nobody answers.
bool ApiServer::RefuseSystem(const ApiRequest& request) {
  if (request.account != host_.options().system_account) return false;
  const std::string_view subject = std::string_view(request.subject).substr(kApiPrefix.size());
  for (const std::string_view silent : {"META.LEADER.STEPDOWN", "META.RESCUE", "SERVER.REMOVE", "SERVER.EVACUATE"}) {
    if (subject == silent) return true;
  }
  // A header there says who asks from another account, or nobody is answered.
  if (subject == "INFO" || subject.starts_with("ACCOUNT.")) return !request.header.empty();
  Refuse(request, ResponseKind::kSystem, MakeError(ApiErrorId::kNotEnabledForAccount));
  return true;
}

// An account without JetStream is told so, whatever it asks.
bool ApiServer::RefuseAccount(const ApiRequest& request, const Route& route) {
  if (route.handler == &ApiServer::OnAccountPurge) return request.account != host_.options().system_account;
  if (AccountOf(request).enabled() || route.handler == &ApiServer::OnClusterOnly) return false;
  Refuse(request, route.kind, MakeError(ApiErrorId::kNotEnabledForAccount));
  return true;
}

// Only those of accounts that have JetStream.
void ApiServer::Count(const ApiRequest& request, bool error) {
  JetStreamAccount& account = AccountOf(request);
  if (!account.enabled()) return;
  ++(error ? counts_.errors : counts_.requests);
  ++(error ? account.api.errors : account.api.requests);
}

void ApiServer::Respond(const ApiRequest& request, const std::string& answer, Lsn lsn, std::string_view header) {
  Count(request, false);
  if (!request.reply.empty()) {
    const std::string with_header = header.empty() ? std::string() : std::string(header) + answer;
    const std::string& payload = header.empty() ? answer : with_header;
    const auto header_bytes = static_cast<uint32_t>(header.size());
    if (lsn == 0) {
      host_.replies().SendNow(request.account, request.reply, payload, header_bytes);
    } else {
      host_.replies().SendWhenDurable(request.account, request.reply, payload, header_bytes);
    }
  }
  Audit(request, answer);
}

void ApiServer::RespondOnceErased(const ApiRequest& request, const std::string& answer, uint64_t stream_uid) {
  Count(request, false);
  const uint64_t ticket = host_.store().EraseFromDisk(stream_uid);
  if (!request.reply.empty()) host_.replies().SendOnceErased(ticket, request.account, request.reply, answer);
  Audit(request, answer);
}

void ApiServer::Audit(const ApiRequest& request, const std::string& answer) {
  ApiAuditAdvisory audit;
  if (!host_.port().HasInterest(request.account, AdvisorySubject(audit))) return;  // an answer may be large
  audit.server = host_.options().server_name;
  audit.subject = request.subject;
  audit.request = request.body;
  audit.response = answer;
  audit.domain = host_.options().domain;
  audit.client = ClientOf(request);
  Advise(request, audit);
}

AdvisoryClient ApiServer::ClientOf(const ApiRequest& request) const {
  AdvisoryClient client;
  client.server = host_.options().server_name;
  // A header of who asks directly is that client's own invention.
  const std::optional<std::string_view> info =
      request.by_service ? FindHeader(request.header, kRequestInfoHeader) : std::nullopt;
  if (info && ParseJson(*info, &client).empty()) {
    client.service = AccountOf(request).name();
    client.server = host_.options().server_name;
    return client;
  }
  client.id = request.origin.cid;
  client.account = AccountOf(request).name();
  return client;
}

void ApiServer::Refuse(const ApiRequest& request, ResponseKind kind, const ApiError& error) {
  Count(request, true);
  Respond(request, ErrorAnswer(kind, error));
}

AccountInfo ApiServer::Usage(const JetStreamAccount& account) const {
  AccountInfo info;
  directory_.Describe(account, &info);
  info.domain = host_.options().domain;
  info.api.level = 5;
  info.api.total = account.api.requests;
  info.api.errors = account.api.errors;
  return info;
}

bool ApiServer::OnAccountInfo(const ApiRequest& request) {
  Respond(request, AccountInfoAnswer(Usage(AccountOf(request))));
  return true;
}

// Of the system account: all streams of an account go. There need not be one: a name may have kept streams only.
bool ApiServer::OnAccountPurge(const ApiRequest& request) {
  const std::string_view name = TokenAt(request.subject, 4);
  if (name.find_first_of("\\/") != std::string_view::npos) {
    Refuse(request, ResponseKind::kAccountPurge,
           MakeErrorText(ApiErrorId::kStreamGeneralErrorF, "account name can not contain path separators"));
    return true;
  }
  const JetStreamAccount* account = host_.accounts().Find(name);
  host_.port().log().Info(absl::StrFormat("Purge request for account %s (streams: %d, hasAccount: %s)",
                                          std::string(name),
                                          account == nullptr ? 0 : directory_.streams().size(account->id()),
                                          account == nullptr ? "false" : "true"));
  directory_.PurgeAccount(name);
  Respond(request, AccountPurgeAnswer(), host_.store().staged());
  return true;
}

bool ApiServer::OnClusterOnly(const ApiRequest& request) {
  for (const Route& route : Routes()) {
    if (!SubjectMatches(std::string_view(request.subject).substr(kApiPrefix.size()), route.filter)) continue;
    Refuse(request, route.kind, MakeError(ApiErrorId::kClusterRequired));
    break;
  }
  return true;
}

}  // namespace millrace
