// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stream_rules.h"
#include "broker/jetstream/api/subject_filters.h"
#include "proto/quoted.h"
#include "proto/subject.h"
#include "proto/subject_transform.h"

namespace millrace {
namespace {

// Subject spaces of the server's own: only a stream that does not answer publishers may take them.
MaybeError CheckReserved(std::string_view subject) {
  for (const std::string_view space : {"$JS.>", "$JSC.>", "$NRG.>"}) {
    if (SubjectsCollide(subject, space) && !IsSubset(subject, "$JS.EVENT.>"))
      return InvalidStream("subjects that overlap with jetstream api require no-ack to be true");
  }
  if (SubjectsCollide(subject, "$SYS.>") && !IsSubset(subject, "$SYS.ACCOUNT.>"))
    return InvalidStream("subjects that overlap with system api require no-ack to be true");
  return std::nullopt;
}

MaybeError CheckSubject(const StreamConfig& config, size_t index, const std::set<std::string_view>& seen) {
  const std::string& subject = config.subjects[index];
  if (!IsValidSubject(subject)) return InvalidStream("invalid subject");
  if (seen.contains(subject)) return InvalidStream("duplicate subjects detected");
  if (subject == ">") {
    if (!config.no_ack) return InvalidStream("capturing all subjects requires no-ack to be true");
    if (config.num_replicas != 1) return InvalidStream("capturing all subjects requires replicas of 1");
  }
  if (!config.no_ack) {
    if (auto error = CheckReserved(subject)) return error;
  }
  for (size_t other = index + 1; other < config.subjects.size(); ++other) {
    if (SubjectsCollide(config.subjects[other], subject)) {
      return InvalidStream(
          absl::StrFormat("subject %s overlaps with %s", Quoted(subject), Quoted(config.subjects[other])));
    }
  }
  return std::nullopt;
}

}  // namespace

MaybeError CheckSubjects(StreamConfig* config) {
  if (config->subjects.empty()) {
    if (!config->mirror && config->sources.empty()) config->subjects.push_back(config->name);
    return std::nullopt;
  }
  if (config->mirror) return MakeError(ApiErrorId::kMirrorWithSubjects);
  std::set<std::string_view> seen;
  for (size_t i = 0; i < config->subjects.size(); ++i) {
    if (auto error = CheckSubject(*config, i, seen)) return error;
    seen.insert(config->subjects[i]);
  }
  return std::nullopt;
}

MaybeError CheckSubjectTransform(const StreamConfig& config) {
  if (!config.subject_transform) return std::nullopt;
  const SubjectTransformConfig& transform = *config.subject_transform;
  if (!transform.src.empty() && !IsValidSubject(transform.src)) {
    return MakeErrorText(ApiErrorId::kStreamTransformInvalidSource,
                         absl::StrFormat("invalid subject %s", transform.src));
  }
  if (const absl::Status status = ValidateMapping(transform.src, transform.dest); !status.ok())
    return MakeErrorText(ApiErrorId::kStreamTransformInvalidDestination, std::string(status.message()));
  return std::nullopt;
}

MaybeError CheckRepublish(StreamConfig* config, bool pedantic) {
  if (!config->republish) return std::nullopt;
  Republish& republish = *config->republish;
  if (republish.src.empty()) {
    if (pedantic) return PedanticRefusal("republish source can not be empty");
    republish.src = ">";
  }
  // From all to all would be a cycle, but for a transform of the one subject: then what it makes is republished.
  if (republish.dest == ">" && republish.src == ">" && config->subject_transform && config->subjects.size() == 1 &&
      config->subject_transform->src == config->subjects[0]) {
    if (pedantic) return PedanticRefusal("implicit republish based on subject transform");
    republish.src = republish.dest = config->subject_transform->dest;
  }
  if (CollidesWithAny(republish.dest, config->subjects))
    return InvalidStream("stream configuration for republish destination forms a cycle");
  if (!SubjectTransform::Compile(republish.src, republish.dest).ok()) {
    return InvalidStream(
        absl::StrFormat("stream configuration for republish with transform from '%s' to '%s' not valid", republish.src,
                        republish.dest));
  }
  return std::nullopt;
}

}  // namespace millrace
