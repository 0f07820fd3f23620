// SPDX-License-Identifier: Apache-2.0
// Requests about streams and their messages (spec 5d, J-10 to J-30).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/engine/jetstream.h"
#include "broker/jetstream/api_server/jetstream_api.h"
#include "broker/jetstream/api/stored_config.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr uint64_t kInfoUnits = 100;  // of a pace

std::vector<std::string> PageOf(std::vector<std::string> all, int64_t offset, int64_t limit) {
  all.erase(all.begin(), all.begin() + offset);
  if (static_cast<int64_t>(all.size()) > limit) all.resize(static_cast<size_t>(limit));
  return all;
}

}  // namespace

Stream* JetStream::StreamOf(const ApiRequest& request, ResponseKind kind, size_t token) {
  Stream* stream = FindStream(TokenAt(request.subject, token));
  if (stream == nullptr) Refuse(request, kind, MakeError(ApiErrorId::kStreamNotFound));
  return stream;
}

StreamInfo JetStream::InfoOf(Stream& stream, const StreamInfoRequest* details) {
  StreamInfo info;
  info.config = WithDynamicMetadata(stream.config());
  info.created_ns = stream.created_ns();
  info.state = stream.State(details);
  info.ts_ns = port_.WallNs();
  info.domain = options_.domain;
  if (stream.upstream() != nullptr) stream.upstream()->Describe(&info);
  return info;
}

bool JetStream::OnStreamCreate(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamCreate;
  StreamConfigRequest create;
  if (!Parse(request, kKind, &create)) return true;
  SetStaticMetadata(&create.config);
  if (const auto error = CheckStreamCreateRequest(TokenAt(request.subject, 4), create.config)) {
    Refuse(request, kKind, *error);
    return true;
  }
  const Made made = MakeStream(std::move(create.config), create.pedantic);
  if (made.error) {
    Refuse(request, kKind, *made.error);
    return true;
  }
  StreamInfo info = InfoOf(*made.stream, nullptr);
  info.domain.clear();
  Respond(request, StreamCreateAnswer(info, true), store_.staged());
  if (made.created) Advise(StreamActionAdvisory{made.stream->name(), AdvisoryAction::kCreate, options_.domain});
  return true;
}

bool JetStream::OnStreamUpdate(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamUpdate;
  StreamConfigRequest update;
  if (!Parse(request, kKind, &update)) return true;
  const StreamCheckContext context = CheckContext();
  StreamConfig checked = update.config;
  if (const auto error = CheckStreamConfig(&checked, context, update.pedantic)) {
    Refuse(request, kKind, *error);
    return true;
  }
  const std::string_view name = TokenAt(request.subject, 4);
  if (name != checked.name) {
    Refuse(request, kKind, MakeError(ApiErrorId::kStreamMismatch));
    return true;
  }
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  SetStaticMetadata(&checked);
  std::optional<ApiError> error = CheckStreamUpdate(stream->config(), &checked, context, update.pedantic);
  if (!error)
    error = CheckUpdateReservations(stream->config(), checked, context, ReservationsWithout(stream, checked.storage));
  if (!error) {
    std::vector<NamedConsumer> consumers;
    for (const auto& [consumer_name, consumer] : stream->consumers())
      consumers.push_back(NamedConsumer{consumer_name, &consumer->config()});
    error = CheckConsumersAgainstLimits(stream->config(), checked, consumers);
  }
  if (!error && AreTaken(checked.subjects, stream->uid()))
    error = MakeError(ApiErrorId::kStreamSubjectOverlap);
  if (error) {
    Refuse(request, kKind, *error);
    return true;
  }
  const bool lets_go = stream->LetsGo(checked);
  const Lsn lsn = StoreConfig(*stream, checked, lets_go ? Applied::kPartly : Applied::kWhole);
  Unlist(stream);
  stream->Update(std::move(checked));
  if (lets_go) StoreConfig(*stream, stream->config(), Applied::kWhole);
  List(stream);
  Respond(request, StreamUpdateAnswer(InfoOf(*stream, nullptr)), lsn);
  Advise(StreamActionAdvisory{stream->name(), AdvisoryAction::kModify, options_.domain});
  return true;
}

bool JetStream::OnStreamNames(const ApiRequest& request) {
  StreamListRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, ResponseKind::kStreamNames, &list)) return true;
  std::vector<std::string> found = streams_.Names(list.subject, &tasks_);
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  const std::vector<std::string> names = PageOf(std::move(found), offset, kApiNamesLimit);
  Respond(request, StreamNamesAnswer(Paging{total, offset, kApiNamesLimit}, names));
  return true;
}

bool JetStream::OnStreamList(const ApiRequest& request) {
  StreamListRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, ResponseKind::kStreamList, &list)) return true;
  std::vector<std::string> found = streams_.Names(list.subject, &tasks_);
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  const std::vector<std::string> page = PageOf(std::move(found), offset, kApiListLimit);
  std::vector<StreamInfo> infos;
  for (const std::string& name : page) {
    Stream* stream = streams_.FindFree(name, &tasks_);
    if (stream == nullptr) continue;  // deleted meanwhile
    infos.push_back(InfoOf(*stream, nullptr));
    infos.back().config = stream->config();  // the peer's list leaves the dynamic fields out
    tasks_.Tick(kInfoUnits);
  }
  Respond(request, StreamListAnswer(Paging{total, offset, kApiListLimit}, infos));
  return true;
}

bool JetStream::OnStreamInfo(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamInfo;
  StreamInfoRequest details;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, kKind, &details)) return true;
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  if (!details.subjects_filter.empty()) (void)stream->Prepare();  // the index, in slices, before anybody counts in it
  StreamInfo info = InfoOf(*stream, &details);
  info.cluster = ClusterInfo{};
  info.cluster->leader = options_.server_name;
  Paging paging;
  if (!details.subjects_filter.empty()) {
    int64_t total = 0;
    const int64_t offset = std::max<int64_t>(details.offset, 0);
    info.state.subjects_json = stream->Subjects(details.subjects_filter, offset, kSubjectDetailsMax, &total);
    if (total > 0) paging = Paging{total, offset, kSubjectDetailsMax};
  }
  Respond(request, StreamInfoAnswer(info, paging));
  return true;
}

bool JetStream::OnStreamDelete(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamDelete;
  if (!IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNotEmptyRequest));
    return true;
  }
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  const std::string name = stream->name();
  stream->Dissolve();
  DropStream(stream);
  Respond(request, SuccessAnswer(kKind), store_.staged());
  Advise(StreamActionAdvisory{name, AdvisoryAction::kDelete, options_.domain});
  return true;
}

bool JetStream::OnStreamPurge(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamPurge;
  StreamPurgeRequest purge;
  if (IsJsonObjectOrArray(request.body)) {
    if (!Parse(request, kKind, &purge)) return true;
    if (purge.seq > 0 && purge.keep > 0) {
      Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
      return true;
    }
  }
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  if (stream->config().sealed) {
    Refuse(request, kKind, MakeError(ApiErrorId::kStreamSealed));
  } else if (stream->config().deny_purge) {
    Refuse(request, kKind, MakeErrorText(ApiErrorId::kStreamPurgeFailedF, "stream purge not permitted"));
  } else {
    Lsn lsn = 0;
    const uint64_t purged = stream->Purge(purge, &lsn);
    Respond(request, StreamPurgeAnswer(purged), lsn);
  }
  return true;
}

bool JetStream::OnMessageDelete(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamMsgDelete;
  if (IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  MessageDeleteRequest remove;
  if (!Parse(request, kKind, &remove)) return true;
  Stream* stream = StreamOf(request, kKind, 5);
  if (stream == nullptr) return true;
  Lsn lsn = 0;
  if (stream->config().sealed) {
    Refuse(request, kKind, MakeError(ApiErrorId::kStreamSealed));
  } else if (stream->config().deny_delete) {
    Refuse(request, kKind, MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "message delete not permitted"));
  } else if (!stream->Delete(remove.seq, !remove.no_erase, &lsn)) {
    // The peer's two stores say it in two ways, and neither counts it as an error of the API.
    const StreamLogState& state = stream->log().state();
    ApiError error = MakeError(ApiErrorId::kSequenceNotFound, {{"seq", std::to_string(remove.seq)}});
    if (stream->config().storage == Storage::kFile && remove.seq > state.last_seq) {
      error = MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "stream store EOF");
    } else if (stream->config().storage == Storage::kFile && remove.seq < std::max<uint64_t>(state.first_seq, 1)) {
      error = MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "no message found");
    }
    Respond(request, ErrorAnswer(kKind, error));
  } else if (!remove.no_erase && stream->config().storage == Storage::kFile) {
    RespondOnceErased(request, SuccessAnswer(kKind), stream->uid());
  } else {
    Respond(request, SuccessAnswer(kKind), lsn);
  }
  return true;
}

bool JetStream::OnMessageGet(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamMsgGet;
  if (IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  MessageGetRequest get;
  if (!Parse(request, kKind, &get)) return true;
  const bool by_last = !get.last_by_subj.empty();
  const bool by_next = !get.next_by_subj.empty();
  const bool by_time = get.start_time_ns.has_value();
  if (get.batch > 0 || get.max_bytes > 0 || (get.seq > 0 && by_last) ||
      (get.seq == 0 && !by_last && !by_next && !by_time) || (get.seq > 0 && by_time) || (by_time && by_last) ||
      (by_last && by_next)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  Stream* stream = StreamOf(request, kKind, 5);
  if (stream == nullptr) return true;
  StreamLog& log = stream->log();
  uint64_t seq = by_time ? log.FirstAtOrAfter(*get.start_time_ns) : get.seq;
  if (by_next) {
    seq = log.Next({get.next_by_subj}, seq);
  } else if (by_last) {
    seq = log.Previous({get.last_by_subj}, log.state().last_seq);
  }
  StoredMessage message;
  const LoadStatus status = seq == 0 ? LoadStatus::kAbsent : log.Load(seq, &message);
  if (status == LoadStatus::kPending) return false;
  if (status != LoadStatus::kFound) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNoMessageFound));
    return true;
  }
  ApiMessage answer;
  answer.subject = message.subject;
  answer.seq = message.seq;
  if (!get.no_hdr) answer.hdrs = message.header();
  answer.data = message.body();
  answer.time_ns = message.time_ns;
  // The peer neither counts nor audits this one.
  if (!request.reply.empty()) SendNow(request.account, request.reply, MessageGetAnswer(answer), 0);
  return true;
}

// The stream itself if it may answer: it knows most; else a mirror of it.
Stream* JetStream::FindDirect(std::string_view name) {
  Stream* stream = FindStream(name);
  if (stream != nullptr && stream->config().allow_direct) return stream;
  return readers_.DirectMirrorOf(name);
}

bool JetStream::OnDirectGet(const ApiRequest& request) {
  if (request.reply.empty()) return true;
  const auto status = [&](std::string_view line) {
    SendNow(request.account, request.reply, line, static_cast<uint32_t>(line.size()));
    return true;
  };
  Stream* stream = FindDirect(TokenAt(request.subject, 4));
  if (stream == nullptr) return true;
  const std::optional<std::string_view> level = FindHeader(request.header, kRequiredApiLevelHeader);
  if (level && RefusesRequiredLevel(*level)) return status("NATS/1.0 412 Required Api Level\r\n\r\n");
  MessageGetRequest get;
  const bool by_subject = CountTokens(request.subject) > 5;
  if (!by_subject && request.body.empty()) return status("NATS/1.0 408 Empty Request\r\n\r\n");
  if (!request.body.empty() && !ParseJson(request.body, &get).empty())
    return status("NATS/1.0 408 Malformed Request\r\n\r\n");
  if (by_subject) {
    if (!get.last_by_subj.empty() || !get.next_by_subj.empty() || !get.multi_last.empty() || get.seq != 0 ||
        get.batch != 0 || get.start_time_ns || get.up_to_seq != 0 || get.up_to_time_ns) {
      return status("NATS/1.0 408 Bad Request\r\n\r\n");
    }
    const std::string_view stream_token = TokenAt(request.subject, 4);
    get.last_by_subj = request.subject.substr(static_cast<size_t>(stream_token.data() - request.subject.data()) +
                                              stream_token.size() + 1);
  } else {
    const bool by_last = !get.last_by_subj.empty();
    const bool by_next = !get.next_by_subj.empty();
    const bool multi = !get.multi_last.empty();
    const bool by_time = get.start_time_ns.has_value();
    if (get.seq == 0 && !by_last && !by_next && !multi && !by_time)
      return status("NATS/1.0 408 Empty Request\r\n\r\n");
    if ((get.seq > 0 && by_last) || (get.seq > 0 && by_time) || (by_time && by_last) || (by_last && by_next) ||
        (by_last && get.batch > 0) || (by_last && multi) || (by_next && multi) ||
        (get.up_to_seq > 0 && get.up_to_time_ns)) {
      return status("NATS/1.0 408 Bad Request\r\n\r\n");
    }
  }
  return stream->DirectGet(get, request.reply) != LoadStatus::kPending;
}

}  // namespace millrace
