// SPDX-License-Identifier: Apache-2.0
// The API of JetStream: which request goes to which handler, what is common to all, and what concerns the account.
// A request that cannot be answered yet, because a message is on the disk, is parked and handled again.
#include "absl/strings/str_format.h"
#include "broker/jetstream/api/base62.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/api_server/jetstream_api.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

// Requests that only a consumer or a stream that is there listens to; for others there is no responder.
constexpr std::string_view kNextPrefix = "$JS.API.CONSUMER.MSG.NEXT.";
constexpr std::string_view kDirectPrefix = "$JS.API.DIRECT.GET.";

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
struct JetStream::ApiRoute {
  std::string_view filter;
  bool (JetStream::*handler)(const ApiRequest&);
  ResponseKind kind;
};

const std::vector<JetStream::ApiRoute>& JetStream::Routes() {
  using J = JetStream;
  static const auto& routes = *new std::vector<ApiRoute>{
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
  };
  return routes;
}

std::string JetStream::RandomDigits(size_t count) {
  constexpr size_t kDigitsPerDraw = 8;
  std::string digits;
  uint64_t bits = 0;
  for (size_t i = 0; i < count; ++i, bits /= kBase62Digits.size()) {
    if (i % kDigitsPerDraw == 0) bits = port_.Random();
    digits += kBase62Digits[bits % kBase62Digits.size()];
  }
  return digits;
}

bool JetStream::DeliverApi(const Message& message) {
  if (message.subject.starts_with(kNextPrefix)) {
    const std::string_view rest = message.subject.substr(kNextPrefix.size());
    const size_t dot = rest.find('.');
    Stream* stream = dot == std::string_view::npos ? nullptr : streams_.FindAwake(rest.substr(0, dot));
    Consumer* consumer = stream == nullptr ? nullptr : stream->FindConsumer(rest.substr(dot + 1));
    if (consumer == nullptr) return false;
    if (MustWait(*stream)) [[unlikely]] return Postpone(*stream, message, &JetStream::DeliverApi);
    // The frequent one: it changes state and publishes nothing, so it need not wait for its phase.
    consumer->OnNextRequest(message.reply, message.payload.substr(0, message.header_bytes),
                            message.payload.substr(message.header_bytes));
    return true;
  }
  if (message.subject.starts_with(kDirectPrefix)) {
    if (FindDirect(TokenAt(message.subject, 4)) == nullptr) return false;
  }
  if (requests_.size() >= options_.request_queue_max) {
    // As the peer: all that wait are dropped at once, and say so to whoever watches.
    const auto dropped = static_cast<int64_t>(requests_.size());
    requests_.clear();
    port_.log().WarnLimited(absl::StrFormat("JetStream API queue limit reached, dropping %d requests", dropped));
    Advise(ApiLimitReachedAdvisory{options_.server_name, options_.domain, dropped});
    return true;
  }
  requests_.push_back(ApiRequest{message.account, message.origin_id, std::string(message.subject),
                                 std::string(message.reply),
                                 std::string(message.payload.substr(0, message.header_bytes)),
                                 std::string(message.payload.substr(message.header_bytes))});
  return true;
}

// The stream that a request is about; nullptr: none in particular, or there is none.
Stream* JetStream::StreamFor(const ApiRequest& request) {
  const std::string_view kind = TokenAt(request.subject, 2);
  const std::string_view what = TokenAt(request.subject, 3);
  if (kind == "DIRECT") return FindDirect(TokenAt(request.subject, 4));
  if (kind != "STREAM" && kind != "CONSUMER") return nullptr;
  const std::string_view name = TokenAt(request.subject, what == "MSG" || what == "DURABLE" ? 5 : 4);
  return name.empty() ? nullptr : FindStream(name);
}

bool JetStream::Handle(const ApiRequest& request) {
  constexpr std::string_view kPrefix = "$JS.API.";
  const std::string_view subject = std::string_view(request.subject).substr(kPrefix.size());
  for (const ApiRoute& route : Routes()) {
    if (!SubjectMatches(subject, route.filter)) continue;
    const std::optional<std::string_view> level = FindHeader(request.header, kRequiredApiLevelHeader);
    if (level && route.handler != &JetStream::OnDirectGet && RefusesRequiredLevel(*level)) {
      Refuse(request, route.kind, MakeError(ApiErrorId::kRequiredApiLevel));
      return true;
    }
    if (!store_.writable() && ChangesTheStore(route.filter)) [[unlikely]] {
      Refuse(request, route.kind, MakeError(ApiErrorId::kInsufficientResources));
      return true;
    }
    return (this->*route.handler)(request);
  }
  return true;  // the peer, too, leaves an unknown request unanswered
}

void JetStream::Respond(const ApiRequest& request, const std::string& answer, Lsn lsn, std::string_view header) {
  ++api_total_;
  if (!request.reply.empty()) {
    const std::string with_header = header.empty() ? std::string() : std::string(header) + answer;
    const std::string& payload = header.empty() ? answer : with_header;
    const auto header_bytes = static_cast<uint32_t>(header.size());
    if (lsn == 0) {
      SendNow(request.account, request.reply, payload, header_bytes);
    } else {
      durable_.Push(store_.staged(), request.account, request.reply, payload, header_bytes);
    }
  }
  Audit(request, answer);
}

void JetStream::RespondOnceErased(const ApiRequest& request, const std::string& answer, uint64_t stream_uid) {
  ++api_total_;
  const uint64_t ticket = store_.EraseFromDisk(stream_uid);
  if (!request.reply.empty()) erasing_.Push(ticket, request.account, request.reply, answer);
  Audit(request, answer);
}

void JetStream::Audit(const ApiRequest& request, const std::string& answer) {
  ApiAuditAdvisory audit;
  if (!port_.HasInterest(kGlobalAccount, AdvisorySubject(audit))) return;  // an answer may be large
  audit.server = options_.server_name;
  audit.subject = request.subject;
  audit.request = request.body;
  audit.response = answer;
  audit.domain = options_.domain;
  audit.client = AdvisoryClient{};
  audit.client->id = request.origin.cid;
  audit.client->account = "$G";
  audit.client->server = options_.server_name;
  Advise(audit);
}

void JetStream::Refuse(const ApiRequest& request, ResponseKind kind, const ApiError& error) {
  ++api_errors_;
  Respond(request, ErrorAnswer(kind, error));
}

bool JetStream::OnAccountInfo(const ApiRequest& request) {
  Respond(request, AccountInfoAnswer(Usage()));
  return true;
}

bool JetStream::OnClusterOnly(const ApiRequest& request) {
  constexpr std::string_view kPrefix = "$JS.API.";
  for (const ApiRoute& route : Routes()) {
    if (!SubjectMatches(std::string_view(request.subject).substr(kPrefix.size()), route.filter)) continue;
    Refuse(request, route.kind, MakeError(ApiErrorId::kClusterRequired));
    break;
  }
  return true;
}

}  // namespace millrace
