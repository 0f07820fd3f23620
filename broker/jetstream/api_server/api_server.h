// SPDX-License-Identifier: Apache-2.0
// ApiServer: answers what is asked under $JS.API: the table of subjects, the queue of requests, the handlers, and what
//         is counted and told of them.
// Owner:  shard; part of the engine.  Source: spec 5d.
// Turn:   Deliver (inside publishers' turns) queues requests, AnswerRequests handles them in the JetStream phase, each
//         as work on the stream that it is about (stream_work.h). One that cannot be answered yet, because a message is
//         on the disk, is parked and handled again.
// Bounds: requests that wait, by JetStreamEngineOptions::request_queue_max.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/backup/backups.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "broker/jetstream/stream/stream_host.h"

namespace millrace {

inline constexpr std::string_view kApiPrefix = "$JS.API.";
inline constexpr int64_t kApiNamesLimit = 1024;
inline constexpr int64_t kApiListLimit = 256;
inline constexpr int64_t kSubjectDetailsMax = 100'000;

// One request as it waits for its phase of the turn.
struct ApiRequest {
  AccountId account = kNoAccount;
  ConnectionId origin;
  std::string subject;
  std::string reply;
  std::string header;
  std::string body;
  bool by_service = false;  // through an import: the header says who asks (Nats-Request-Info)
};

class ApiServer {
 public:
  ApiServer(StreamHost& host, StreamDirectory& directory, Backups& backups)
      : host_(host), directory_(directory), backups_(backups) {}
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // A message to kApiPrefix. False: nobody listens to this subject.
  bool Deliver(const Message& message);

  // --- the turn
  void AnswerRequests();
  // Something was loaded.
  void AnswerParked();
  bool idle() const { return requests_.empty(); }
  // None waits for the disk.
  bool none_parked() const { return parked_.empty(); }
  // Nobody is answered any more.
  void Stop();

  AccountInfo Usage(const JetStreamAccount& account) const;
  // Of all accounts.
  JetStreamAccount::Counts counts() const { return counts_; }

 private:
  struct Route;
  static const std::vector<Route>& Routes();

  void Run(ApiRequest request);
  // The stream that a request is about; nullptr: none in particular, or there is none.
  Stream* StreamFor(const ApiRequest& request);
  // False: it waits for the disk and is asked again.
  bool Handle(const ApiRequest& request);
  bool OnNextRequest(const Message& message);

  // --- what handlers share
  void Count(const ApiRequest& request, bool error);
  void Respond(const ApiRequest& request, const std::string& answer, Lsn lsn = 0, std::string_view header = {});
  // When what was removed from this stream until now is nowhere on the disk.
  void RespondOnceErased(const ApiRequest& request, const std::string& answer, uint64_t stream_uid);
  void Audit(const ApiRequest& request, const std::string& answer);
  void Refuse(const ApiRequest& request, ResponseKind kind, const ApiError& error);
  // What the account may not ask at all. False: it may.
  bool RefuseSystem(const ApiRequest& request);
  bool RefuseAccount(const ApiRequest& request, const Route& route);
  template <class Request>
  bool Parse(const ApiRequest& request, ResponseKind kind, Request* out);
  template <class A>
  void Advise(const ApiRequest& request, const A& advisory) {
    host_.replies().Advise(request.account, advisory);
  }
  JetStreamAccount& AccountOf(const ApiRequest& request) const { return host_.accounts()[request.account]; }
  Stream* Find(const ApiRequest& request, std::string_view name) { return directory_.Find(request.account, name); }
  Stream* StreamOf(const ApiRequest& request, ResponseKind kind, size_t token);
  StreamInfo InfoOf(Stream& stream, const StreamInfoRequest* details);
  ConsumerInfo InfoOf(Consumer& consumer);
  AdvisoryClient ClientOf(const ApiRequest& request) const;

  // --- handlers (api_streams.cc, api_messages.cc, api_consumers.cc, api_backup.cc)
  bool OnAccountInfo(const ApiRequest& request);
  bool OnStreamCreate(const ApiRequest& request);
  bool OnStreamUpdate(const ApiRequest& request);
  bool OnStreamNames(const ApiRequest& request);
  bool OnStreamList(const ApiRequest& request);
  bool OnStreamInfo(const ApiRequest& request);
  bool OnStreamDelete(const ApiRequest& request);
  bool OnStreamPurge(const ApiRequest& request);
  bool OnStreamSnapshot(const ApiRequest& request);
  bool OnStreamRestore(const ApiRequest& request);
  bool OnMessageDelete(const ApiRequest& request);
  bool OnMessageGet(const ApiRequest& request);
  bool OnDirectGet(const ApiRequest& request);
  bool OnConsumerCreate(const ApiRequest& request);
  bool OnConsumerNames(const ApiRequest& request);
  bool OnConsumerList(const ApiRequest& request);
  bool OnConsumerInfo(const ApiRequest& request);
  bool OnConsumerDelete(const ApiRequest& request);
  bool OnConsumerPause(const ApiRequest& request);
  bool OnConsumerUnpin(const ApiRequest& request);
  bool OnConsumerReset(const ApiRequest& request);
  bool OnClusterOnly(const ApiRequest& request);
  bool OnAccountPurge(const ApiRequest& request);
  bool UpdateConsumer(const ApiRequest& request, const Stream& stream, Consumer* consumer, ConsumerConfig config);
  bool MakeConsumer(const ApiRequest& request, Stream* stream, ConsumerConfig config);
  // A consumer that is made or changed while it is paused says so.
  void AdviseIfPaused(const ApiRequest& request, const Stream& stream, const Consumer& consumer);
  Stream* FindDirect(AccountId account, std::string_view name);

  StreamHost& host_;
  StreamDirectory& directory_;
  Backups& backups_;
  std::deque<ApiRequest> requests_;
  std::vector<ApiRequest> parked_;
  JetStreamAccount::Counts counts_;
};

template <class Request>
bool ApiServer::Parse(const ApiRequest& request, ResponseKind kind, Request* out) {
  const ParseReport report =
      ParseRequest(request.body, host_.options().strict ? JsonMode::kStrict : JsonMode::kLenient, out);
  if (!report.warning.empty()) {
    host_.port().log().Warn(absl::StrFormat("Invalid JetStream request '%s > %s': %s", AccountOf(request).name(),
                                            request.subject, report.warning));
  }
  if (report.ok()) return true;
  Refuse(request, kind, MakeErrorText(ApiErrorId::kInvalidJSON, report.error));
  return false;
}

}  // namespace millrace
