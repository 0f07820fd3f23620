// SPDX-License-Identifier: Apache-2.0
// Requests about streams (spec 5d, J-10 to J-23).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/api_server/api_server.h"
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

Stream* ApiServer::StreamOf(const ApiRequest& request, ResponseKind kind, size_t token) {
  Stream* stream = Find(request, TokenAt(request.subject, token));
  if (stream == nullptr) Refuse(request, kind, MakeError(ApiErrorId::kStreamNotFound));
  return stream;
}

StreamInfo ApiServer::InfoOf(Stream& stream, const StreamInfoRequest* details) {
  StreamInfo info;
  info.config = WithDynamicMetadata(stream.config());
  info.created_ns = stream.created_ns();
  info.state = stream.State(details);
  info.ts_ns = host_.port().WallNs();
  info.domain = host_.options().domain;
  if (stream.upstream() != nullptr) stream.upstream()->Describe(&info);
  return info;
}

bool ApiServer::OnStreamCreate(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamCreate;
  StreamConfigRequest create;
  if (!Parse(request, kKind, &create)) return true;
  SetStaticMetadata(&create.config);
  if (const auto error = CheckStreamCreateRequest(TokenAt(request.subject, 4), create.config)) {
    Refuse(request, kKind, *error);
    return true;
  }
  const StreamDirectory::Made made =
      directory_.MakeStream(AccountOf(request), std::move(create.config), create.pedantic);
  if (made.error) {
    Refuse(request, kKind, *made.error);
    return true;
  }
  StreamInfo info = InfoOf(*made.stream, nullptr);
  info.domain.clear();
  Respond(request, StreamCreateAnswer(info, true), host_.store().staged());
  if (!made.created) return true;
  Advise(request, StreamActionAdvisory{made.stream->name(), AdvisoryAction::kCreate, host_.options().domain});
  return true;
}

bool ApiServer::OnStreamUpdate(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamUpdate;
  StreamConfigRequest update;
  if (!Parse(request, kKind, &update)) return true;
  StreamConfig checked = update.config;
  if (const auto error = CheckStreamConfig(&checked, directory_.CheckContext(AccountOf(request)), update.pedantic)) {
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
  if (const auto error = directory_.CheckUpdate(stream, &checked, update.pedantic)) {
    Refuse(request, kKind, *error);
    return true;
  }
  const Lsn lsn = directory_.UpdateStream(stream, std::move(checked));
  Respond(request, StreamUpdateAnswer(InfoOf(*stream, nullptr)), lsn);
  Advise(request, StreamActionAdvisory{stream->name(), AdvisoryAction::kModify, host_.options().domain});
  return true;
}

bool ApiServer::OnStreamNames(const ApiRequest& request) {
  StreamNamesRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, ResponseKind::kStreamNames, &list)) return true;
  std::vector<std::string> found = directory_.streams().Names(request.account, list.subject, &host_.tasks());
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  const std::vector<std::string> names = PageOf(std::move(found), offset, kApiNamesLimit);
  Respond(request, StreamNamesAnswer(Paging{total, offset, kApiNamesLimit}, names));
  return true;
}

bool ApiServer::OnStreamList(const ApiRequest& request) {
  StreamListRequest list;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, ResponseKind::kStreamList, &list)) return true;
  std::vector<std::string> found = directory_.streams().Names(request.account, list.subject, &host_.tasks());
  const auto total = static_cast<int64_t>(found.size());
  const int64_t offset = std::clamp<int64_t>(list.offset, 0, total);
  const std::vector<std::string> page = PageOf(std::move(found), offset, kApiListLimit);
  std::vector<StreamInfo> infos;
  for (const std::string& name : page) {
    Stream* stream = directory_.streams().FindFree(request.account, name, &host_.tasks());
    if (stream == nullptr) continue;  // deleted meanwhile
    infos.push_back(InfoOf(*stream, nullptr));
    infos.back().config = stream->config();  // the peer's list leaves the dynamic fields out
    host_.tasks().Tick(kInfoUnits);
  }
  Respond(request, StreamListAnswer(Paging{total, offset, kApiListLimit}, infos));
  return true;
}

bool ApiServer::OnStreamInfo(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamInfo;
  StreamInfoRequest details;
  if (IsJsonObjectOrArray(request.body) && !Parse(request, kKind, &details)) return true;
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  if (!details.subjects_filter.empty()) (void)stream->Prepare();  // the index, in slices, before anybody counts in it
  StreamInfo info = InfoOf(*stream, &details);
  info.cluster = ClusterInfo{};
  info.cluster->leader = host_.options().server_name;
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

bool ApiServer::OnStreamDelete(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamDelete;
  if (!IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNotEmptyRequest));
    return true;
  }
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  const std::string name = stream->name();
  stream->Dissolve();
  directory_.DropStream(stream);
  Respond(request, SuccessAnswer(kKind), host_.store().staged());
  Advise(request, StreamActionAdvisory{name, AdvisoryAction::kDelete, host_.options().domain});
  return true;
}

bool ApiServer::OnStreamPurge(const ApiRequest& request) {
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
    // Where nothing was left to purge, what has removed it may not be durable yet.
    if (lsn == 0 && !stream->log().options().memory) lsn = host_.store().staged();
    Respond(request, StreamPurgeAnswer(purged), lsn);
  }
  return true;
}

}  // namespace millrace
