// SPDX-License-Identifier: Apache-2.0
// ServiceIndex: which service imports of an account take a subject.
// Owner:  immutable; part of an AccountView, which all shards read.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "broker/account/import_graph.h"
#include "proto/subject_trie.h"

namespace millrace {

class ServiceIndex {
  using Trie = SubjectTrie<std::vector<uint32_t>>;

 public:
  explicit ServiceIndex(std::span<const CompiledServiceImport> imports);

  // Calls on_import(uint32_t) with the index of each import that takes this published subject, in no order.
  template <typename F>
  Trie::Walk Match(std::string_view subject, F&& on_import) const {
    return trie_.Match(subject, [&on_import](const std::vector<uint32_t>& imports) {
      for (const uint32_t import : imports) on_import(import);
    });
  }

 private:
  Trie trie_;
};

}  // namespace millrace
