// SPDX-License-Identifier: Apache-2.0
// Stream rules: the parts of CheckStreamConfig, in the order in which they run.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/stream_check.h"

namespace millrace {

using MaybeError = std::optional<ApiError>;

inline ApiError InvalidStream(std::string_view text) { return MakeErrorText(ApiErrorId::kStreamInvalidConfigF, text); }
inline ApiError PedanticRefusal(std::string_view text) { return MakeErrorText(ApiErrorId::kPedantic, text); }

// What mirror and sources bring in, for the checks of external prefixes.
struct Upstreams {
  std::vector<std::string> subjects;
  std::vector<std::string> delivery_prefixes;
  std::vector<std::string> api_prefixes;
};

// Mirror and sources of a stream (stream_check_sources.cc).
MaybeError CheckMirror(StreamConfig* config, const StreamCheckContext& context, bool pedantic, Upstreams* upstreams);
MaybeError CheckSources(const StreamConfig& config, const StreamCheckContext& context, Upstreams* upstreams);
MaybeError CheckExternalPrefixes(const Upstreams& upstreams);
MaybeError CheckCycles(const StreamConfig& config, const StreamCheckContext& context);
// What adding a stream refuses: filters and transforms that do not compile.
MaybeError CheckUpstreamTransforms(const StreamConfig& config);

// Subjects, transforms and republishing (stream_check_subjects.cc).
MaybeError CheckSubjects(StreamConfig* config);
MaybeError CheckSubjectTransform(const StreamConfig& config);
MaybeError CheckRepublish(StreamConfig* config, bool pedantic);

inline const StreamConfig* FindStream(const StreamCheckContext& context, std::string_view name) {
  return context.find_stream ? context.find_stream(name) : nullptr;
}

}  // namespace millrace
