// SPDX-License-Identifier: Apache-2.0
// What becomes of memory that was freed (mimalloc): kept for the next use while there is work, given back to the system
// at once while there is none. Without this a server that has had a burst keeps its pages until it has the next one.
// Owner:  process; the setting is of all threads. Whoever sets MIMALLOC_DECOMMIT_DELAY decides for himself.
#pragma once

namespace millrace {

enum class FreedMemory { kGoesAtOnce, kIsKept };
void SetFreedMemory(FreedMemory what);
// What others have freed of this thread's memory.
void CollectFreedMemory();

}  // namespace millrace
