// SPDX-License-Identifier: Apache-2.0
// STREAM.SNAPSHOT and STREAM.RESTORE: what is checked before data flows (spec J-38).
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api_server/api_server.h"
#include "broker/jetstream/backup/stream_restore.h"
#include "broker/jetstream/backup/stream_snapshot.h"
#include "proto/subject.h"

namespace millrace {

bool ApiServer::OnStreamSnapshot(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamSnapshot;
  const auto refuse = [&](const ApiError& error) {
    Refuse(request, kKind, error);
    return true;
  };
  if (IsEmptyRequest(request.body)) return refuse(MakeError(ApiErrorId::kBadRequest));
  Stream* stream = StreamOf(request, kKind, 4);
  if (stream == nullptr) return true;
  StreamSnapshotRequest snapshot;
  if (!Parse(request, kKind, &snapshot)) return true;
  if (!IsValidSubject(snapshot.deliver_subject) || !IsLiteral(snapshot.deliver_subject))
    return refuse(MakeError(ApiErrorId::kSnapshotDeliverSubjectInvalid));
  host_.port().log().Info(absl::StrFormat("Starting %ssnapshot for stream '%s > %s'",
                                          snapshot.check_messages ? "health check and " : "", AccountOf(request).name(),
                                          stream->name()));
  StreamState state = stream->State(nullptr);
  Respond(request, StreamSnapshotAnswer(stream->config(), state));
  const AdvisoryClient client = ClientOf(request);
  Advise(request, SnapshotCreateAdvisory{stream->name(), state, client, host_.options().domain});
  backups_.Start(std::make_unique<StreamSnapshot>(host_, directory_, *stream, std::move(snapshot),
                                                  std::move(state), client));
  return true;
}

bool ApiServer::OnStreamRestore(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamRestore;
  const auto refuse = [&](const ApiError& error) {
    Refuse(request, kKind, error);
    return true;
  };
  if (IsEmptyRequest(request.body)) return refuse(MakeError(ApiErrorId::kBadRequest));
  StreamRestoreRequest restore;
  if (!Parse(request, kKind, &restore)) return true;
  const std::string_view name = TokenAt(request.subject, 4);
  if (restore.config.name.empty()) restore.config.name = name;
  if (name != restore.config.name) return refuse(MakeError(ApiErrorId::kStreamMismatch));
  if (name.find_first_of("\\/") != std::string_view::npos)
    return refuse(MakeError(ApiErrorId::kStreamNameContainsPathSeparators));
  if (const auto error = directory_.CheckRestore(AccountOf(request), &restore.config)) return refuse(*error);
  if (Find(request, name) != nullptr || backups_.IsRestoring(request.account, name))
    return refuse(MakeError(ApiErrorId::kStreamNameExistRestoreFailed));
  host_.port().log().Info(
      absl::StrFormat("Starting restore for stream '%s > %s'", AccountOf(request).name(), restore.config.name));
  const AdvisoryClient client = ClientOf(request);
  Advise(request, RestoreCreateAdvisory{restore.config.name, client, host_.options().domain});
  auto session = std::make_unique<StreamRestore>(host_, directory_, AccountOf(request), std::move(restore.config),
                                                 client);
  Respond(request, StreamRestoreAnswer(session->subject()));
  backups_.Start(std::move(session));
  return true;
}

}  // namespace millrace
