// SPDX-License-Identifier: Apache-2.0
#include "broker/memory.h"

#include <mimalloc.h>

#include <cstdlib>

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

}  // namespace

// With a delay mimalloc looks whether it is over when it frees the next page nearby: maybe never, in a quiet server.
void SetFreedMemory(FreedMemory what) {
  static const bool is_ours = std::getenv(kVariable) == nullptr;
  if (is_ours) mi_option_set(kDelay, what == FreedMemory::kIsKept ? kKeptMs : 0);
}

void CollectFreedMemory() { mi_collect(true); }

}  // namespace millrace
