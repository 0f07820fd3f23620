// SPDX-License-Identifier: Apache-2.0
#include "broker/account/exports.h"

#include <algorithm>

#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {

absl::StatusOr<Exports::Entry*> Exports::Add(std::string_view subject, uint32_t index, uint32_t token_position,
                                             const std::vector<uint32_t>& accounts) {
  if (token_position > 0 && TokenAt(subject, token_position - 1) != "*") {
    return absl::InvalidArgumentError("sublist: invalid subject");
  }
  const auto [place, fresh] = by_subject_.try_emplace(std::string(subject), static_cast<uint32_t>(entries_.size()));
  if (fresh) entries_.push_back({.subject = std::string(subject), .index = index});
  Entry& entry = entries_[place->second];
  if (token_position > 0 || !accounts.empty()) {
    entry.token_position = token_position;
    entry.accounts.insert(entry.accounts.end(), accounts.begin(), accounts.end());
  }
  return &entry;
}

absl::Status Exports::SetTerms(const ServiceExport& service, Entry* entry) const {
  ServiceTerms& terms = entry->terms;
  if (service.response != ServiceResponse::kSingleton) terms.response = service.response;
  const bool is_default = service.threshold == std::chrono::nanoseconds(0);
  terms.threshold = is_default ? ServiceExport::kDefaultThreshold : service.threshold;
  if (service.latency) {
    const int sampling = service.latency->sampling;
    if (sampling != ServiceLatency::kByHeader && (sampling < 1 || sampling > 100)) {
      return absl::InvalidArgumentError("bad sampling percentage, should be 1-100");
    }
    const std::string& results = service.latency->subject;
    if (!IsValidSubject(results) || !IsLiteral(results) || Find(results) != nullptr) {
      return absl::InvalidArgumentError("invalid publish subject");
    }
    if (terms.response != ServiceResponse::kSingleton) return absl::InvalidArgumentError("bad service response type");
    terms.latency = service.latency;
  }
  terms.allow_trace |= service.allow_trace;
  return absl::OkStatus();
}

const Exports::Entry* Exports::Find(std::string_view subject) const {
  if (const auto exact = by_subject_.find(subject); exact != by_subject_.end()) return &entries_[exact->second];
  const auto covers = std::find_if(entries_.begin(), entries_.end(),
                                   [&](const Entry& entry) { return IsSubset(subject, entry.subject); });
  return covers == entries_.end() ? nullptr : &*covers;
}

bool Exports::Authorizes(std::string_view subject, uint32_t importer, std::string_view importer_name) const {
  if (!IsValidSubject(subject)) return false;
  const Entry* const entry = Find(subject);
  if (entry == nullptr) return false;
  if (entry->token_position > 0) {
    // Of an import of all that is exported this token is the wildcard, even when an account is called that.
    return subject != entry->subject && TokenAt(subject, entry->token_position - 1) == importer_name;
  }
  if (entry->accounts.empty()) return true;
  return std::find(entry->accounts.begin(), entry->accounts.end(), importer) != entry->accounts.end();
}

bool Exports::Covers(std::string_view subject) const {
  if (IsWellFormedFilter(subject) && by_subject_.contains(subject)) return true;
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return IsSubset(subject, entry.subject); });
}

}  // namespace millrace
