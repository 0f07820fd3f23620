// SPDX-License-Identifier: Apache-2.0
#include "broker/account/stream_imports.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/place_holders.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

std::vector<std::string_view> TokensOf(std::string_view subject) {
  std::vector<std::string_view> tokens;
  for (TokenCursor t(subject); !t.done(); t.Advance()) tokens.push_back(t.token());
  return tokens;
}

// What both filters take, as a filter, where they overlap and neither takes all of the other: the first one with its
// wildcards narrowed to the tokens of the other.
std::optional<std::string> Overlap(std::string_view filter, std::string_view other) {
  std::vector<std::string_view> tokens = TokensOf(filter);
  const std::vector<std::string_view> narrow = TokensOf(other);
  for (size_t i = 0; i < tokens.size() && i < narrow.size(); ++i) {
    if (tokens[i] == "*" && narrow[i] != ">") tokens[i] = narrow[i];
  }
  if (tokens.back() == ">" && narrow.size() >= tokens.size()) {
    tokens.pop_back();
    tokens.insert(tokens.end(), narrow.begin() + static_cast<ptrdiff_t>(tokens.size()), narrow.end());
  }
  std::string narrowed;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) narrowed += kTokenSeparator;
    narrowed += tokens[i];
  }
  if (!IsSubset(narrowed, other)) return std::nullopt;
  return narrowed;
}

// The filter in the exporter that stands for this filter here, which takes a part of what is imported.
std::optional<std::string> FilterThere(const CompiledStreamImport& import, std::string_view filter) {
  if (import.use_pub) return std::string(filter);
  if (!import.transform) return import.from;
  if (!import.reverse) return std::nullopt;
  return import.reverse->Apply(filter);
}

std::optional<std::string> ShadowOf(std::string_view filter, const CompiledStreamImport& import) {
  if (filter == import.to) return import.from;
  if (IsSubset(filter, import.to)) return FilterThere(import, filter);
  if (IsSubset(import.to, filter)) return import.from;
  if (IsLiteral(filter)) return std::nullopt;
  const std::optional<std::string> overlap = Overlap(filter, import.to);
  return overlap ? FilterThere(import, *overlap) : std::nullopt;
}

}  // namespace

absl::StatusOr<CompiledStreamImport> CompileStreamImport(std::string_view from, std::string_view to) {
  CompiledStreamImport import;
  import.from = from;
  import.to = to.empty() ? from : to;
  if (IsLiteral(from)) return import;
  if (import.to == from) {
    import.use_pub = true;
    return import;
  }
  absl::StatusOr<SubjectTransform> transform =
      SubjectTransform::Compile(from, WildcardsToPlaceHolders(import.to), TransformKind::kReversible);
  if (!transform.ok()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("failed to create mapping transform for stream import subject from %s to %s: %s", Quoted(from),
                        Quoted(import.to), transform.status().message()));
  }
  import.to = PlaceHoldersToWildcards(import.to);
  if (absl::StatusOr<SubjectTransform> reverse = transform->Reverse(); reverse.ok()) {
    import.reverse = *std::move(reverse);
  }
  import.transform = *std::move(transform);
  return import;
}

std::vector<Shadow> ShadowsOf(std::string_view filter, std::span<const CompiledStreamImport> imports) {
  std::vector<Shadow> shadows;
  for (uint32_t i = 0; i < imports.size(); ++i) {
    std::optional<std::string> there = ShadowOf(filter, imports[i]);
    if (there && IsWellFormedFilter(*there)) shadows.push_back({i, *std::move(there)});
  }
  return shadows;
}

std::string_view LocalSubject(const CompiledStreamImport& import, std::string_view subject, std::string* room) {
  MR_DCHECK(room != nullptr);
  if (import.transform) {
    *room = import.transform->Apply(subject);
    return *room;
  }
  return import.use_pub ? subject : std::string_view(import.to);
}

}  // namespace millrace
