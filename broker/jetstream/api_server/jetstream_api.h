// SPDX-License-Identifier: Apache-2.0
// What the handlers of the API share (templates of JetStream, included by api*.cc only).
// Owner:  shard.
#pragma once

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/engine/jetstream.h"

namespace millrace {

inline constexpr int64_t kApiNamesLimit = 1024;
inline constexpr int64_t kApiListLimit = 256;
inline constexpr int64_t kSubjectDetailsMax = 100'000;

template <class Request>
bool JetStream::Parse(const ApiRequest& request, ResponseKind kind, Request* out) {
  const ParseReport report =
      ParseRequest(request.body, options_.strict ? JsonMode::kStrict : JsonMode::kLenient, out);
  if (!report.warning.empty()) {
    port_.log().Warn(absl::StrFormat("Invalid JetStream request '%s > %s': %s", "$G", request.subject, report.warning));
  }
  if (report.ok()) return true;
  Refuse(request, kind, MakeErrorText(ApiErrorId::kInvalidJSON, report.error));
  return false;
}

// Costs nothing while nobody listens.
template <class A>
void JetStream::Advise(const A& advisory) {
  const std::string subject = AdvisorySubject(advisory);
  if (!port_.HasInterest(kGlobalAccount, subject)) return;
  const AdvisoryHead head{NewEventId(), port_.WallNs()};
  SendNow(kGlobalAccount, subject, AdvisoryJson(head, advisory), 0);
}

}  // namespace millrace
