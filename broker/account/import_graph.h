// SPDX-License-Identifier: Apache-2.0
// ImportGraph: all accounts of a configuration compiled together: who imports what of whom, which of it is allowed, and
// whether it goes round in circles.
// Owner:  caller (pure).  Nothing is applied of a configuration that has an error.
// Rules:  everything is added in the order of the accounts and of their lists: first what streams, then what services
//         are exported, then streams and then services that are imported. What an import is checked against is what
//         stands before it. A circle is looked for as the peer does, by the names of subjects: two ways to one account
//         that imports as well count as one, and a circle whose imports all rename may pass, so that who forwards has
//         to bound it.
// Errors: all of them, as whole texts of the peer's. Where mappings or names of imports are wrong, only those.
// Bounds: 1,023 accounts on the way of one import.
// Source: spec.  Proof: import_graph_test.cc, also against a naive walk.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_spec.h"
#include "broker/account/exports.h"
#include "broker/account/mappings.h"
#include "broker/account/stream_imports.h"
#include "proto/subject_transform.h"

namespace millrace {

struct CompiledServiceImport {
  uint32_t exporter = 0;      // its index among the accounts that were compiled together
  uint32_t export_index = 0;  // of the exporter's service_exports: the first one with the subject that allows this
  std::string local_filter = {};
  std::string exporter_filter = {};
  bool use_pub = false;                            // subjects are the same here and there
  std::optional<SubjectTransform> transform = {};  // from here to there; neither this nor use_pub: exporter_filter
  bool share = false;                              // the exporter is told who asks
  ServiceTerms terms = {};
};

// What a request to this subject is called in the exporter, before its mappings. Lives in import, subject or *room.
std::string_view ExporterSubject(const CompiledServiceImport& import, std::string_view subject, std::string* room);

struct CompiledAccount {
  std::vector<CompiledStreamImport> stream_imports = {};
  std::vector<CompiledServiceImport> service_imports = {};
  Mappings mappings = {};
};

struct CompiledAccounts {
  std::vector<CompiledAccount> accounts = {};  // in the order of the specs; to be used if there is no error
  std::vector<std::string> errors = {};
  bool ok() const { return errors.empty(); }
};

// cluster: the name of this server's cluster. Of two accounts with one name the later one is meant by it.
CompiledAccounts CompileAccounts(std::span<const AccountSpec> specs, std::string_view cluster);

}  // namespace millrace
