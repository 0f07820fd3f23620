// SPDX-License-Identifier: Apache-2.0
// Memory of the process. Freed memory (mimalloc): kept for the next use while there is work, given back to the system
// at once while there is none. Without this a server that has had a burst keeps its pages until it has the next one.
// Owner:  process; the setting is of all threads. Whoever sets MIMALLOC_DECOMMIT_DELAY decides for himself.
#pragma once

namespace millrace {

enum class FreedMemory { kGoesAtOnce, kIsKept };
void SetFreedMemory(FreedMemory what);
// What others have freed of this thread's memory.
void CollectFreedMemory();

// From now on only areas for which huge pages are asked for have them (proto/base/zeros.h): elsewhere 2 MiB would be
// resident for what needs 4 KiB. Before Linux 6.18, and where the system gives them to everybody, nobody has them.
void LimitHugePages();

}  // namespace millrace
