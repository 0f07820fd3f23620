// SPDX-License-Identifier: Apache-2.0
// RecoverShard: from the bytes on disk to streams and consumers: the catalog, then the log from where the catalog ends.
// Owner:  caller; blocking, at start only. Changes nothing but quarantine/: recovering twice gives the same.
#pragma once

#include "absl/status/statusor.h"
#include "store/shard/catalog.h"
#include "store/shard/shard_objects.h"
#include "store/shard/shard_store.h"
#include "store/log/write_ahead_log.h"

namespace millrace {

// Fills `objects` and `recovered`, and starts `wal` behind what was found.
absl::Status RecoverShard(Disk& disk, Catalog& catalog, WriteAheadLog& wal, StoredLogs& logs,
                          const ShardStoreOptions& options, ShardObjects* objects, Recovered* recovered);

}  // namespace millrace
