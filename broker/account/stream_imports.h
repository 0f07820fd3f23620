// SPDX-License-Identifier: Apache-2.0
// StreamImports: what an account hears of another one: for a filter that is subscribed to here, the filters that have
// to be subscribed to there (its shadows), and what a message from there is called here.
// Owner:  caller (pure).  Values, immutable once compiled.
// Errors: the peer's texts.  Bounds: a place holder that stands twice in `to`, or one that names no wildcard, has no
//         way back: then only filters that take all of the import have a shadow (the peer ends there).
// Source: spec.  Proof: stream_imports_test.cc against an enumeration of subjects.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/subject_transform.h"

namespace millrace {

struct CompiledStreamImport {
  uint32_t exporter = 0;  // its index among the accounts that were compiled together
  std::string from = {};  // filter there
  std::string to = {};    // filter here
  bool use_pub = false;   // subjects are the same here and there
  bool allow_trace = false;
  std::optional<SubjectTransform> transform = {};  // from there to here; neither this nor use_pub: all are called `to`
  std::optional<SubjectTransform> reverse = {};    // from here to there, where there is a way back
};

// to: with its prefix, if it has one; wildcards of `from` are $1, {{wildcard(1)}} or `*` in it. Empty: as `from`.
absl::StatusOr<CompiledStreamImport> CompileStreamImport(std::string_view from, std::string_view to);

struct Shadow {
  uint32_t import = 0;      // index
  std::string filter = {};  // in the exporter
  bool operator==(const Shadow&) const = default;
};

// What a subscription to this filter has to hear in other accounts, in the order of the imports: one shadow for each
// import that it shares a subject with, also where several name the same filter of the same account.
std::vector<Shadow> ShadowsOf(std::string_view filter, std::span<const CompiledStreamImport> imports);

// What a subject of the exporter is called here. The answer lives in import, subject or *room.
std::string_view LocalSubject(const CompiledStreamImport& import, std::string_view subject, std::string* room);

}  // namespace millrace
