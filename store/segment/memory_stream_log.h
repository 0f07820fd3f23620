// SPDX-License-Identifier: Apache-2.0
// MemoryStreamLog: a stream that lives in memory only (`storage: memory`). Nothing is journalled, every change returns
//                  0.
// Owner:  shard.
// Cost:   per message its bytes, 24 of record header, 4 of offset and 2 to 10 of index; memory of removed messages goes
//         back when half of a block is removed.
#pragma once

#include <memory>

#include "store/stream_log.h"

namespace millrace {

std::unique_ptr<StreamLog> NewMemoryStreamLog(uint64_t uid, const StreamLogOptions& options);

}  // namespace millrace
