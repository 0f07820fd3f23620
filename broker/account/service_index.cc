// SPDX-License-Identifier: Apache-2.0
#include "broker/account/service_index.h"

#include "proto/base/check.h"

namespace millrace {

ServiceIndex::ServiceIndex(std::span<const CompiledServiceImport> imports) {
  for (uint32_t i = 0; i < imports.size(); ++i) {
    std::vector<uint32_t>* here = trie_.Insert(imports[i].local_filter);
    MR_CHECK(here != nullptr);  // the configuration was refused otherwise
    here->push_back(i);
  }
}

}  // namespace millrace
