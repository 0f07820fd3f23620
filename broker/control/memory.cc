// SPDX-License-Identifier: Apache-2.0
#include "broker/control/memory.h"

#include <mimalloc.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace millrace {
namespace {

#if MI_MALLOC_VERSION >= 210
constexpr mi_option_t kDelay = mi_option_purge_delay;
constexpr const char* kVariable = "MIMALLOC_PURGE_DELAY";
#else
constexpr mi_option_t kDelay = mi_option_decommit_delay;
constexpr const char* kVariable = "MIMALLOC_DECOMMIT_DELAY";
#endif
constexpr long kKeptMs = 25;  // mimalloc's own default
constexpr unsigned long kExceptAdvised = 1ul << 1;  // PR_THP_DISABLE_EXCEPT_ADVISED
constexpr const char* kHugePages = "/sys/kernel/mm/transparent_hugepage/enabled";

}  // namespace

// With a delay mimalloc looks whether it is over when it frees the next page nearby: maybe never, in a quiet server.
void SetFreedMemory(FreedMemory what) {
  static const bool is_ours = std::getenv(kVariable) == nullptr;
  if (is_ours) mi_option_set(kDelay, what == FreedMemory::kIsKept ? kKeptMs : 0);
}

void CollectFreedMemory() { mi_collect(true); }

void LimitHugePages() {
  if (prctl(PR_SET_THP_DISABLE, 1, kExceptAdvised, 0, 0) == 0) return;
  std::string enabled;
  std::getline(std::ifstream(kHugePages), enabled);
  if (enabled.find("[always]") != std::string::npos) prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

}  // namespace millrace
