// SPDX-License-Identifier: Apache-2.0
// Mappings: what the published subjects of an account become before they are matched.
// Owner:  caller (pure).  Compiled once, immutable then; copies are deep.
// Rules:  the first mapping in order that takes the subject decides. Each destination has its share of 100; what is
//         left stays on the source, unless the source is one of the destinations: then it is dropped. Destinations of
//         a cluster replace the others there.
// Cost:   one hash look-up, and one comparison for each source with wildcards that stands before what it found.
// Errors: the peer's texts.  Source: spec A-60..A-62, A-64.  Proof: mappings_test.cc, also against draws.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "broker/account/account_spec.h"
#include "broker/account/name_index.h"
#include "proto/subject_transform.h"

namespace millrace {

class Mappings {
 public:
  struct Mapped {
    std::string subject = {};  // empty: the message is dropped
    bool is_pure = true;       // the same subject always becomes the same
  };

  Mappings() = default;

  // What the peer says of this mapping alone, behind "Error adding mapping for ...: ".
  static absl::Status Check(const Mapping& mapping);

  // cluster: the name of this server's cluster. A source that stands twice: the later one, at the place of the first.
  // Errors: `Error adding mapping for "SOURCE" : ` and what Check says, of the first mapping that is wrong.
  static absl::StatusOr<Mappings> Compile(std::span<const Mapping> mappings, std::string_view cluster);

  bool empty() const { return rules_.empty(); }

  // What this published subject becomes; absent: no mapping takes it, which is pure. random: 64 unpredictable bits.
  std::optional<Mapped> Map(std::string_view subject, uint64_t random) const;

 private:
  static constexpr uint32_t kAll = 100;

  struct Choice {
    uint32_t below = 0;  // taken by draws below this which the choices before it have not taken
    SubjectTransform transform;
  };
  struct Rule {
    std::string source = {};
    bool has_wildcard = false;
    bool is_pure = false;
    std::vector<Choice> choices = {};
  };

  static absl::StatusOr<std::vector<Choice>> Share(const Mapping& mapping, std::string_view cluster);
  static absl::StatusOr<Rule> CompileRule(const Mapping& mapping, std::string_view cluster);
  const Rule* Find(std::string_view subject) const;

  std::vector<Rule> rules_;
  NameIndex literals_;               // source to its index in rules_
  std::vector<uint32_t> wildcards_;  // indexes of the others, in order
};

}  // namespace millrace
