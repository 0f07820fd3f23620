// SPDX-License-Identifier: Apache-2.0
#include "broker/account/mappings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/place_holders.h"
#include "proto/quoted.h"
#include "proto/subject.h"

namespace millrace {
namespace {

bool DrawsAtRandom(std::string_view destination) {
  for (TokenCursor t(destination); !t.done(); t.Advance()) {
    if (FindCall(t.token(), "Random")) return true;
  }
  return false;
}

bool HasDestination(const Mapping& mapping, std::string_view subject) {
  return std::any_of(mapping.targets.begin(), mapping.targets.end(),
                     [&](const MappingTarget& target) { return target.subject == subject; });
}

// Destinations, each by itself and as to what stands before it.
absl::Status CheckTargets(const Mapping& mapping) {
  NameIndex weights;  // of each cluster
  for (size_t i = 0; i < mapping.targets.size(); ++i) {
    const MappingTarget& target = mapping.targets[i];
    for (size_t before = 0; before < i; ++before) {
      if (mapping.targets[before].subject == target.subject) {
        return absl::InvalidArgumentError(absl::StrFormat("duplicate entry for %s", Quoted(target.subject)));
      }
    }
    if (target.weight > 100) return absl::InvalidArgumentError("individual weights need to be <= 100");
    uint32_t& total = weights[target.cluster];
    total += target.weight;
    if (total > 100) return absl::InvalidArgumentError("total weight needs to be <= 100");
    if (absl::Status status = ValidateMapping(mapping.source, target.subject); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

// The destinations of one cluster, with bounds for draws of 0 to 99. What no draw can reach is left out.
absl::StatusOr<std::vector<Mappings::Choice>> Mappings::Share(const Mapping& mapping, std::string_view cluster) {
  const std::string source = WildcardsToPlaceHolders(mapping.source);
  std::vector<Choice> choices;
  uint32_t total = 0;
  const auto add = [&](std::string_view destination, uint32_t weight) -> absl::Status {
    absl::StatusOr<SubjectTransform> transform = SubjectTransform::Compile(mapping.source, destination);
    if (!transform.ok()) return transform.status();
    total += weight;
    if (weight > 0) choices.push_back({total, *std::move(transform)});
    return absl::OkStatus();
  };
  for (const MappingTarget& target : mapping.targets) {
    if (target.cluster != cluster) continue;
    const std::string_view destination = target.subject.empty() ? source : target.subject;
    if (absl::Status status = add(destination, target.weight); !status.ok()) return status;
  }
  MR_CHECK_OP(total, <=, kAll);
  if (total == kAll || HasDestination(mapping, mapping.source)) return choices;
  if (absl::Status status = add(source, kAll - total); !status.ok()) return status;
  return choices;
}

absl::StatusOr<Mappings::Rule> Mappings::CompileRule(const Mapping& mapping, std::string_view cluster) {
  if (!IsValidSubject(mapping.source)) return absl::InvalidArgumentError("invalid subject");
  if (absl::Status status = CheckTargets(mapping); !status.ok()) return status;
  absl::StatusOr<std::vector<Choice>> choices = Share(mapping, {});
  if (!choices.ok()) return choices.status();
  // Every cluster has to work, whatever the name of this one is.
  NameIndex seen = {{"", 0}};
  for (const MappingTarget& target : mapping.targets) {
    if (!seen.try_emplace(target.cluster).second) continue;
    absl::StatusOr<std::vector<Choice>> scoped = Share(mapping, target.cluster);
    if (!scoped.ok()) return scoped.status();
    if (target.cluster == cluster) choices = std::move(scoped);
  }
  Rule rule{mapping.source, !IsLiteral(mapping.source), false, *std::move(choices)};
  rule.is_pure = rule.choices.empty() || (rule.choices[0].below == kAll &&
                                          !DrawsAtRandom(rule.choices[0].transform.destination()));
  return rule;
}

absl::Status Mappings::Check(const Mapping& mapping) { return CompileRule(mapping, {}).status(); }

absl::StatusOr<Mappings> Mappings::Compile(std::span<const Mapping> mappings, std::string_view cluster) {
  Mappings compiled;
  NameIndex places;
  for (const Mapping& mapping : mappings) {
    absl::StatusOr<Rule> rule = CompileRule(mapping, cluster);
    if (!rule.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("Error adding mapping for %s : %s", Quoted(mapping.source), rule.status().message()));
    }
    const auto [place, fresh] = places.try_emplace(mapping.source, static_cast<uint32_t>(compiled.rules_.size()));
    if (fresh) {
      compiled.rules_.push_back(*std::move(rule));
    } else {
      compiled.rules_[place->second] = *std::move(rule);
    }
  }
  for (uint32_t i = 0; i < compiled.rules_.size(); ++i) {
    const Rule& rule = compiled.rules_[i];
    if (rule.has_wildcard) {
      compiled.wildcards_.push_back(i);
    } else {
      compiled.literals_[rule.source] = i;
    }
  }
  return compiled;
}

const Mappings::Rule* Mappings::Find(std::string_view subject) const {
  const auto literal = literals_.find(subject);
  const size_t end = literal == literals_.end() ? rules_.size() : literal->second;
  for (const uint32_t i : wildcards_) {
    if (i >= end) break;
    if (IsSubset(subject, rules_[i].source)) return &rules_[i];
  }
  return literal == literals_.end() ? nullptr : &rules_[literal->second];
}

std::optional<Mappings::Mapped> Mappings::Map(std::string_view subject, uint64_t random) const {
  const Rule* const rule = Find(subject);
  if (rule == nullptr) return std::nullopt;
  Mapped mapped;
  mapped.is_pure = rule->is_pure;
  const auto draw = static_cast<uint32_t>((random >> 32) * kAll >> 32);
  const auto chosen = std::find_if(rule->choices.begin(), rule->choices.end(),
                                   [&](const Choice& choice) { return draw < choice.below; });
  if (chosen == rule->choices.end()) return mapped;
  // The peer has not cut the subject into tokens yet when the first source it looks at is this literal, and so
  // {{partition(n)}} is that of an empty subject there. With more sources that depends on their order, which is random.
  const bool unread = rules_.size() == 1 && !rule->has_wildcard;
  mapped.subject = chosen->transform.Apply(unread ? std::string_view() : subject, static_cast<uint32_t>(random));
  return mapped;
}

}  // namespace millrace
