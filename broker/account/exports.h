// SPDX-License-Identifier: Apache-2.0
// Exports: what an account lets others import, streams or services, and to whom.
// Owner:  caller (pure).  Used while accounts are compiled.
// Rules:  an export of a subject that is there already adds to it: accounts join those that are named, a position takes
//         the place of the former one, and nothing makes it public again. An import belongs to the export of exactly
//         its subject, else to the first one in order that covers it (the peer takes any of them).
// Errors: the peer's texts.  Source: spec.  Proof: import_graph_test.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "broker/account/account_spec.h"
#include "broker/account/name_index.h"

namespace millrace {

// How requests to a service are answered, as its exporter says.
struct ServiceTerms {
  ServiceResponse response = ServiceResponse::kSingleton;
  std::chrono::nanoseconds threshold = ServiceExport::kDefaultThreshold;  // how long a reply is waited for
  std::optional<ServiceLatency> latency = {};
  bool allow_trace = false;
  bool operator==(const ServiceTerms&) const = default;
};

class Exports {
 public:
  struct Entry {
    std::string subject = {};
    uint32_t index = 0;                   // where it first stands in the account's list of this kind
    uint32_t token_position = 0;          // from 1: this token of an import is the importer's name; 0: none
    std::vector<uint32_t> accounts = {};  // who may import; with no position either: everybody
    ServiceTerms terms = {};              // services only
  };

  // accounts: indexes. The entry lives until the next one is added.
  absl::StatusOr<Entry*> Add(std::string_view subject, uint32_t index, uint32_t token_position,
                             const std::vector<uint32_t>& accounts);
  // Sets what replies are waited for, measured and traced; `entry` is of this.
  absl::Status SetTerms(const ServiceExport& service, Entry* entry) const;

  // The export that an import of this subject belongs to; nullptr: none.
  const Entry* Find(std::string_view subject) const;
  bool Authorizes(std::string_view subject, uint32_t importer, std::string_view importer_name) const;
  // Some export takes all of this subject.
  bool Covers(std::string_view subject) const;

 private:
  std::vector<Entry> entries_;
  NameIndex by_subject_;
};

}  // namespace millrace
