// SPDX-License-Identifier: Apache-2.0
// Requests about consumers (spec 5d, J-40 to J-5b).
#include <algorithm>

#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/stream_identity.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/api_server/api_server.h"
#include "broker/jetstream/base/sort_in_slices.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

std::vector<OtherConsumer> OthersOf(const Stream& stream, std::string_view but) {
  std::vector<OtherConsumer> others;
  for (const auto& [name, consumer] : stream.consumers()) {
    if (name != but) others.push_back(OtherConsumer{name, &consumer->config()});
  }
  return others;
}

std::vector<Consumer*> PublicConsumers(Stream& stream) {
  std::vector<Consumer*> found;
  for (const auto& [name, consumer] : stream.consumers()) {
    if (!consumer->hidden()) found.push_back(consumer.get());
  }
  const auto by_name = [](const Consumer* a, const Consumer* b) { return a->name() < b->name(); };
  SortInSlices(&found, by_name, stream.pace());
  return found;
}

// Who reads a stream for another one hears which of its name it is.
std::string IdentityAnswer(const ConsumerConfig& config, const Stream& stream) {
  if (!config.direct && !config.sourcing) return {};
  return StreamIdentityBlock(StreamIdentity(stream.created_ns()));
}

}  // namespace

ConsumerInfo ApiServer::InfoOf(Consumer& consumer) {
  ConsumerInfo info = consumer.Info();
  if (info.config) info.config = WithDynamicMetadata(*info.config);
  return info;
}

bool ApiServer::OnConsumerCreate(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerCreate;
  const auto refuse = [&](const ApiError& error) {
    Refuse(request, kKind, error);
    return true;
  };
  ConsumerCreateRequest create;
  if (!Parse(request, kKind, &create)) return true;
  const ConsumerCreateSubject subject =
      SplitConsumerCreateSubject(std::string_view(request.subject).substr(sizeof("$JS.API.") - 1));
  if (const auto error = CheckConsumerCreateRequest(subject, &create)) return refuse(*error);
  if (create.config.num_replicas > 1) return refuse(MakeError(ApiErrorId::kStreamReplicasNotSupported));
  Stream* stream = Find(request, create.stream_name);
  if (stream == nullptr) return refuse(MakeError(ApiErrorId::kStreamNotFound));

  ConsumerConfig& config = create.config;
  const std::string_view identity = FindHeader(request.header, kStreamIdentityHeader).value_or("");
  if (!identity.empty() && (config.direct || config.sourcing)) {
    const std::string is = StreamIdentity(stream->created_ns());
    if (identity != is) return refuse(MakeError(ApiErrorId::kConsumerStreamIdentityMismatchF, {{"msg", is}}));
  }
  if (config.name.empty()) config.name = config.durable_name;
  Consumer* existing = config.name.empty() ? nullptr : stream->FindConsumer(config.name);
  if (existing != nullptr) config.pause_until_ns = existing->config().pause_until_ns;
  SetStaticMetadata(&config);
  const ServerLimits& server = host_.options().limits;
  const int64_t replicas = config.num_replicas > 0 ? config.num_replicas : stream->config().num_replicas;
  const JetStreamAccountLimits* limits = AccountOf(request).LimitsFor(replicas);
  if (limits == nullptr) return refuse(MakeError(ApiErrorId::kNoLimits));
  if (const auto error = SetConsumerDefaults(&config, stream->config(), server, limits, create.pedantic))
    return refuse(*error);
  if (const auto error = CheckConsumerConfig(config, stream->config(), server, limits)) return refuse(*error);
  const std::vector<OtherConsumer> others = OthersOf(*stream, config.name);

  if (existing != nullptr) {
    const bool listened = existing->is_push() && existing->active();
    if (const auto error = CheckConsumerUpdate(existing->config(), config, create.action, stream->config(), others,
                                               listened)) {
      return refuse(*error);
    }
    return UpdateConsumer(request, *stream, existing, std::move(config));
  }
  if (create.action == ConsumerAction::kUpdate) return refuse(MakeError(ApiErrorId::kConsumerDoesNotExist));
  if (const auto error = CheckConsumerCreate(config, stream->config(), others, server, limits))
    return refuse(*error);
  return MakeConsumer(request, stream, std::move(config));
}

bool ApiServer::UpdateConsumer(const ApiRequest& request, const Stream& stream, Consumer* consumer,
                               ConsumerConfig config) {
  Lsn lsn = 0;
  if (!IsSameConsumer(config, consumer->config())) lsn = directory_.UpdateConsumer(consumer, std::move(config));
  Respond(request, ConsumerCreateAnswer(InfoOf(*consumer)), lsn, IdentityAnswer(consumer->config(), stream));
  if (lsn != 0) host_.deliveries().DeliverWhenAnswered(consumer);
  AdviseIfPaused(request, stream, *consumer);
  return true;
}

void ApiServer::AdviseIfPaused(const ApiRequest& request, const Stream& stream, const Consumer& consumer) {
  const std::optional<int64_t>& until = consumer.config().pause_until_ns;
  if (!until || *until <= host_.port().WallNs()) return;
  Advise(request, ConsumerPauseAdvisory{stream.name(), consumer.name(), true, *until, host_.options().domain});
}

bool ApiServer::MakeConsumer(const ApiRequest& request, Stream* stream, ConsumerConfig config) {
  constexpr size_t kNameDigits = 8;
  SetInactiveThreshold(&config);
  while (config.name.empty()) {
    config.name = RandomDigits(host_.port(), kNameDigits);
    if (stream->FindConsumer(config.name) != nullptr) config.name.clear();
  }
  Lsn lsn = 0;
  Consumer* consumer = directory_.AddConsumer(stream, std::move(config), &lsn);
  consumer->Start();
  Respond(request, ConsumerCreateAnswer(InfoOf(*consumer)), lsn, IdentityAnswer(consumer->config(), *stream));
  if (lsn != 0) host_.deliveries().DeliverWhenAnswered(consumer);
  if (!consumer->hidden()) {
    Advise(request, ConsumerActionAdvisory{stream->name(), consumer->name(), AdvisoryAction::kCreate,
                                           host_.options().domain});
  }
  AdviseIfPaused(request, *stream, *consumer);
  return true;
}

bool ApiServer::OnConsumerNames(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerNames;
  ConsumerListRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, kKind, &list)) return true;
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  const std::vector<Consumer*> found = PublicConsumers(*stream);
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  std::vector<std::string> names;
  for (int64_t i = offset; i < std::min(total, offset + kApiNamesLimit); ++i)
    names.push_back(found[static_cast<size_t>(i)]->name());
  Respond(request, ConsumerNamesAnswer(Paging{total, offset, kApiNamesLimit}, names));
  return true;
}

bool ApiServer::OnConsumerList(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerList;
  ConsumerListRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, kKind, &list)) return true;
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  const std::vector<Consumer*> found = PublicConsumers(*stream);
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  std::vector<ConsumerInfo> infos;
  for (int64_t i = offset; i < std::min(total, offset + kApiListLimit); ++i)
    infos.push_back(found[static_cast<size_t>(i)]->Info());  // the peer's list leaves the dynamic fields out
  Respond(request, ConsumerListAnswer(Paging{total, offset, kApiListLimit}, infos));
  return true;
}

// The stream and consumer that tokens 4 and 5 of the subject name.
#define MR_FIND_CONSUMER(kind)                                                                  \
  Stream* stream = StreamOf(request, kind, 4);                                                  \
  if (stream == nullptr) return true;                                                           \
  Consumer* consumer = stream->FindConsumer(TokenAt(request.subject, 5));                       \
  if (consumer == nullptr) {                                                                    \
    Refuse(request, kind, MakeError(ApiErrorId::kConsumerNotFound));                            \
    return true;                                                                                \
  }

bool ApiServer::OnConsumerInfo(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerInfo;
  if (!IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNotEmptyRequest));
    return true;
  }
  MR_FIND_CONSUMER(kKind)
  Respond(request, ConsumerInfoAnswer(InfoOf(*consumer)));
  return true;
}

bool ApiServer::OnConsumerDelete(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerDelete;
  if (!IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNotEmptyRequest));
    return true;
  }
  MR_FIND_CONSUMER(kKind)
  directory_.DeleteConsumer(consumer);
  Respond(request, SuccessAnswer(kKind), host_.store().staged());
  return true;
}

bool ApiServer::OnConsumerPause(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerPause;
  ConsumerPauseRequest pause;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, kKind, &pause)) return true;
  MR_FIND_CONSUMER(kKind)
  consumer->Pause(pause.pause_until_ns);
  ConsumerConfig config = consumer->config();
  SetStaticMetadata(&config);
  const Lsn lsn = directory_.UpdateConsumer(consumer, std::move(config));
  const int64_t now_ns = host_.port().WallNs();
  const bool paused = pause.pause_until_ns > now_ns;
  Respond(request, ConsumerPauseAnswer(paused, pause.pause_until_ns, paused ? pause.pause_until_ns - now_ns : 0), lsn);
  if (lsn != 0) host_.deliveries().DeliverWhenAnswered(consumer);
  return true;
}

bool ApiServer::OnConsumerUnpin(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerUnpin;
  ConsumerUnpinRequest unpin;
  const auto refuse = [&](const ApiError& error) {
    Refuse(request, kKind, error);
    return true;
  };
  const std::string error = ParseJson(request.body, &unpin);
  if (!error.empty()) return refuse(MakeErrorText(ApiErrorId::kInvalidJSON, error));
  if (unpin.group.empty()) return refuse(MakeErrorText(ApiErrorId::kInvalidJSON, "consumer group not specified"));
  if (!IsValidPriorityGroup(unpin.group)) return refuse(MakeError(ApiErrorId::kConsumerInvalidGroupName));
  MR_FIND_CONSUMER(kKind)
  if (!consumer->Unpin(unpin.group)) return refuse(MakeError(ApiErrorId::kConsumerInvalidPriorityGroup));
  Respond(request, SuccessAnswer(kKind));
  return true;
}

bool ApiServer::OnConsumerReset(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kConsumerReset;
  Consumer* consumer =
      directory_.FindConsumer(request.account, TokenAt(request.subject, 4), TokenAt(request.subject, 5));
  if (consumer == nullptr) return true;  // nobody listens there, as at the peer
  // The peer's consumer answers by itself: it is not strict, and nothing is counted or audited.
  if (request.reply.empty()) return true;
  const auto answer = [&](const std::string& text, const std::string& header = {}) {
    host_.replies().SendWhenDurable(request.account, request.reply, header + text,
                                    static_cast<uint32_t>(header.size()));
    return true;
  };
  ConsumerResetRequest reset;
  const std::string error = request.body.empty() ? std::string() : ParseJson(request.body, &reset);
  if (!error.empty()) return answer(ErrorAnswer(kKind, MakeErrorText(ApiErrorId::kInvalidJSON, error)));
  const absl::StatusOr<uint64_t> seq = consumer->Reset(reset.seq);
  if (!seq.ok()) {
    const std::string why(seq.status().message());
    return answer(ErrorAnswer(kKind, MakeErrorText(ApiErrorId::kConsumerInvalidReset, why)));
  }
  std::string header;
  if (FindHeader(request.header, kStreamIdentityHeader)) {
    const Stream* stream = Find(request, TokenAt(request.subject, 4));
    MR_CHECK(stream != nullptr);
    header = StreamIdentityBlock(StreamIdentity(stream->created_ns()));
  }
  answer(ConsumerResetAnswer(InfoOf(*consumer), *seq), header);
  host_.deliveries().DeliverWhenAnswered(consumer);
  return true;
}

#undef MR_FIND_CONSUMER

}  // namespace millrace
