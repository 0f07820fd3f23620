// SPDX-License-Identifier: Apache-2.0
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <algorithm>
#include <array>
#include <deque>
#include <set>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stream_rules.h"
#include "broker/jetstream/api/subject_filters.h"
#include "proto/base/base62.h"
#include "proto/base/check.h"
#include "proto/quoted.h"
#include "proto/subject.h"
#include "proto/subject_transform.h"

namespace millrace {
namespace {

constexpr std::string_view kApiPrefix = "$JS.API";

// A literal that may be subscribed to.
bool IsValidPublishSubject(std::string_view subject) { return IsValidSubject(subject) && IsLiteral(subject); }

std::string InvalidSubject(std::string_view subject) { return absl::StrFormat("invalid subject %s", subject); }

// A durable consumer of the origin is set up by hand, so nothing else may say where to start or what to take.
bool IsValidConsumerSource(const StreamSource& source) {
  return IsValidAssetName(source.consumer->name) && IsValidPublishSubject(source.consumer->deliver_subject) &&
         source.opt_start_seq == 0 && !source.opt_start_time_ns && source.filter_subject.empty();
}

void NoteExternal(const ExternalStream& external, Upstreams* upstreams) {
  if (!external.deliver.empty()) upstreams->delivery_prefixes.push_back(external.deliver);
  if (!external.api.empty()) upstreams->api_prefixes.push_back(external.api);
}

bool TooSmallFor(const StreamConfig& config, const StreamConfig* origin) {
  return origin != nullptr && config.max_msg_size > 0 && origin->max_msg_size > 0 &&
         config.max_msg_size < origin->max_msg_size;
}

// What a mirror can not have besides.
MaybeError CheckMirrorAlone(const StreamConfig& config) {
  if (config.first_seq > 0) return MakeError(ApiErrorId::kMirrorWithFirstSeq);
  if (!config.subjects.empty()) return MakeError(ApiErrorId::kMirrorWithSubjects);
  if (!config.sources.empty()) return MakeError(ApiErrorId::kMirrorWithSources);
  if (config.allow_msg_counter) return MakeError(ApiErrorId::kMirrorWithCounters);
  if (config.allow_atomic) return MakeError(ApiErrorId::kMirrorWithAtomicPublish);
  if (config.allow_batched) return MakeError(ApiErrorId::kMirrorWithBatchPublish);
  if (config.allow_msg_schedules) return MakeError(ApiErrorId::kMirrorWithMsgSchedules);
  return std::nullopt;
}

MaybeError CheckMirrorTransforms(const StreamSource& mirror) {
  for (const SubjectTransformConfig& transform : mirror.subject_transforms) {
    if (!transform.src.empty() && !IsValidSubject(transform.src))
      return MakeErrorText(ApiErrorId::kMirrorInvalidSubjectFilter, InvalidSubject(transform.src));
    if (const absl::Status status = ValidateMapping(transform.src, transform.dest); !status.ok())
      return MakeErrorText(ApiErrorId::kMirrorInvalidTransformDestination, std::string(status.message()));
    for (const SubjectTransformConfig& other : mirror.subject_transforms) {
      if (&other != &transform && SubjectsCollide(transform.src, other.src))
        return MakeError(ApiErrorId::kMirrorOverlappingSubjectFilters);
    }
  }
  return std::nullopt;
}

MaybeError CheckSourceTransforms(const StreamSource& source) {
  for (const SubjectTransformConfig& transform : source.subject_transforms) {
    if (!transform.src.empty() && !IsValidSubject(transform.src))
      return MakeErrorText(ApiErrorId::kSourceInvalidSubjectFilter, InvalidSubject(transform.src));
    if (const absl::Status status = ValidateMapping(transform.src, transform.dest); !status.ok())
      return MakeErrorText(ApiErrorId::kSourceInvalidTransformDestination, std::string(status.message()));
  }
  std::vector<std::string> filters;
  for (const SubjectTransformConfig& transform : source.subject_transforms) filters.push_back(transform.src);
  if (FiltersContainEachOther(filters)) return MakeError(ApiErrorId::kSourceOverlappingSubjectFilters);
  return std::nullopt;
}

std::string ConsumerIndexName(const StreamSource& source) {
  std::string name = source.name;
  if (source.external) name += ":" + ShortHash(source.external->api);
  return name + " " + source.consumer->name;
}

}  // namespace

std::string ShortHash(std::string_view name) {
  std::array<unsigned char, WC_SHA256_DIGEST_SIZE> digest{};
  MR_CHECK(wc_Sha256Hash(reinterpret_cast<const unsigned char*>(name.data()), static_cast<word32>(name.size()),
                         digest.data()) == 0);
  std::string out;
  for (size_t i = 0; i < 8; ++i) out += kBase62Digits[digest[i] % kBase62Digits.size()];
  return out;
}

MaybeError CheckMirror(StreamConfig* config, const StreamCheckContext& context, bool pedantic, Upstreams* upstreams) {
  if (!config->mirror) return std::nullopt;
  const StreamSource& mirror = *config->mirror;
  if (auto error = CheckMirrorAlone(*config)) return error;
  if (mirror.consumer && !IsValidConsumerSource(mirror))
    return MakeError(ApiErrorId::kMirrorDurableConsumerCfgInvalid);
  if (!mirror.filter_subject.empty() && !mirror.subject_transforms.empty())
    return MakeError(ApiErrorId::kMirrorMultipleFiltersNotAllowed);
  // Markers would take sequence numbers that the origin does not have.
  if (config->subject_delete_marker_ttl_ns > 0) return InvalidStream("subject delete markers forbidden on mirrors");
  if (auto error = CheckMirrorTransforms(mirror)) return error;
  if (mirror.external) {
    NoteExternal(*mirror.external, upstreams);
    return std::nullopt;
  }
  if (!IsValidAssetName(mirror.name)) return MakeError(ApiErrorId::kMirrorInvalidStreamName);
  const StreamConfig* origin = FindStream(context, mirror.name);
  if (origin == nullptr) return std::nullopt;
  upstreams->subjects.insert(upstreams->subjects.end(), origin->subjects.begin(), origin->subjects.end());
  if (TooSmallFor(*config, origin)) return MakeError(ApiErrorId::kMirrorMaxMessageSizeTooBig);
  if (pedantic && config->mirror_direct != origin->allow_direct)
    return PedanticRefusal("origin stream has direct get set, mirror has it disabled");
  config->mirror_direct = origin->allow_direct;
  return std::nullopt;
}

MaybeError CheckSources(const StreamConfig& config, const StreamCheckContext& context, Upstreams* upstreams) {
  if (!config.sources.empty() && config.allow_msg_schedules) return MakeError(ApiErrorId::kSourceWithMsgSchedules);
  std::set<std::string> index_names, consumer_names;
  for (const StreamSource& source : config.sources) {
    if (!IsValidAssetName(source.name)) return MakeError(ApiErrorId::kSourceInvalidStreamName);
    if (!index_names.insert(SourceIndexName(source)).second) return MakeError(ApiErrorId::kSourceDuplicateDetected);
    if (!source.filter_subject.empty() && !source.subject_transforms.empty())
      return MakeError(ApiErrorId::kSourceMultipleFiltersNotAllowed);
    if (auto error = CheckSourceTransforms(source)) return error;
    if (source.consumer) {
      if (!IsValidConsumerSource(source)) return MakeError(ApiErrorId::kSourceDurableConsumerCfgInvalid);
      if (!consumer_names.insert(ConsumerIndexName(source)).second)
        return MakeError(ApiErrorId::kSourceDurableConsumerDuplicateDetected);
    }
    if (source.external) {
      NoteExternal(*source.external, upstreams);
      continue;
    }
    const StreamConfig* origin = FindStream(context, source.name);
    if (origin == nullptr) continue;
    upstreams->subjects.insert(upstreams->subjects.end(), origin->subjects.begin(), origin->subjects.end());
    if (TooSmallFor(config, origin)) return MakeError(ApiErrorId::kSourceMaxMessageSizeTooBig);
  }
  return std::nullopt;
}

MaybeError CheckExternalPrefixes(const Upstreams& upstreams) {
  for (const std::string& prefix : upstreams.delivery_prefixes) {
    if (!IsValidPublishSubject(prefix))
      return MakeError(ApiErrorId::kStreamInvalidExternalDeliverySubj, {{"prefix", prefix}});
    for (const std::string& subject : upstreams.subjects) {
      if (SubjectsCollide(subject, absl::StrFormat("%s.%s", prefix, subject))) {
        return MakeError(ApiErrorId::kStreamExternalDelPrefixOverlaps, {{"prefix", prefix}, {"subject", subject}});
      }
    }
  }
  for (const std::string& prefix : upstreams.api_prefixes) {
    if (!IsValidPublishSubject(prefix)) {
      return InvalidStream(absl::StrFormat(
          "stream external api prefix %s must be a valid subject without wildcards", Quoted(prefix)));
    }
    if (SubjectsCollide(prefix, kApiPrefix))
      return MakeError(ApiErrorId::kStreamExternalApiOverlap, {{"prefix", prefix}, {"subject", kApiPrefix}});
  }
  return std::nullopt;
}

// Breadth first, as the peer walks: a stream that is reached twice on ways of different length may count as a cycle.
MaybeError CheckCycles(const StreamConfig& config, const StreamCheckContext& context) {
  std::deque<const StreamConfig*> queue = {&config};
  std::set<std::string_view> visited;
  while (!queue.empty()) {
    const StreamConfig& at = *queue.front();
    queue.pop_front();
    visited.insert(at.name);
    for (const StreamSource& source : at.sources) {
      if (source.external) continue;
      if (visited.contains(source.name)) {
        if (source.filter_subject.empty() || CollidesWithAny(source.filter_subject, at.subjects))
          return InvalidStream("detected cycle");
      } else if (const StreamConfig* origin = FindStream(context, source.name)) {
        queue.push_back(origin);
      }
    }
    if (!at.mirror || at.mirror->external) continue;
    if (visited.contains(at.mirror->name)) return InvalidStream("detected cycle");
    if (const StreamConfig* origin = FindStream(context, at.mirror->name)) queue.push_back(origin);
  }
  return std::nullopt;
}

MaybeError CheckUpstreamTransforms(const StreamConfig& config) {
  const auto create_error = [](const std::string& text) { return MakeErrorText(ApiErrorId::kStreamCreate, text); };
  if (config.mirror && config.mirror->subject_transforms.empty()) {
    const std::string& filter = config.mirror->filter_subject;
    if (!filter.empty() && !IsValidSubject(filter))
      return create_error(absl::StrFormat("subject filter '%s' for the mirror invalid subject", filter));
  }
  for (const StreamSource& source : config.sources) {
    const std::string& filter = source.filter_subject;
    if (source.subject_transforms.empty() && !filter.empty() && !IsValidSubject(filter))
      return create_error(absl::StrFormat("subject filter '%s' for the source: invalid subject", filter));
  }
  return std::nullopt;  // transforms have been compiled by CheckStreamConfig
}

std::string SourceIndexName(const StreamSource& source) {
  std::string name = source.name;
  if (source.external) name += ":" + ShortHash(source.external->api);
  if (source.consumer) name += ":C=" + ShortHash(source.consumer->name);
  const auto or_all = [](const std::string& subject) { return subject.empty() ? std::string(">") : subject; };
  std::string filters = or_all(source.filter_subject), destinations = ">";
  if (!source.subject_transforms.empty()) filters = destinations = "";
  for (const SubjectTransformConfig& transform : source.subject_transforms) {
    if (!filters.empty()) filters += '\f', destinations += '\f';
    filters += or_all(transform.src);
    destinations += or_all(transform.dest);
  }
  return name + " " + filters + " " + destinations;
}

}  // namespace millrace
