// SPDX-License-Identifier: Apache-2.0
// ScanWal: reads the files of a write-ahead log and decides what of it counts.
// Owner:  caller; blocking, at start only.  Input is not trusted.
// Rules: D, the durable watermark, is the highest durable_lsn that any intact header of this log carries.
//   - A batch that fails its checksum above D is a torn tail: nothing in it was acknowledged. It is cut.
//   - Records missing at or below D were acknowledged: damage. Nothing is cut, later batches count, the range is
//   reported.
//   - Records missing above D, but an intact batch follows: uncertain. The later batch counts, the range is reported.
// A sealed batch that does not open fails its checksum. One under a key that nobody has ends the scan with an error.
// The scan changes nothing on disk: scanning twice gives the same.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/disk.h"
#include "store/log/wal_files.h"
#include "store/log/wal_format.h"
#include "store/log/wal_seal.h"

namespace millrace {

struct WalBatch {
  const WalFile* file = nullptr;
  uint64_t offset = 0;
  WalBatchHeader header;
};

// Records that cannot be read any more.
struct WalGap {
  Lsn first = 0;
  Lsn last = 0;
  bool uncertain = false;  // above the watermark
  size_t before = 0;       // index into WalScan::batches of the batch that follows
};

struct WalScan {
  std::vector<WalBatch> batches;  // intact, in order, each record once; those at or below `from` left out
  std::vector<WalGap> gaps;
  std::vector<WalBatch> torn;     // above the watermark, header intact, payload not
  uint64_t bytes = 0;
  uint64_t damaged = 0;           // batches at or below the watermark whose payload fails its checksum
  Lsn durable = 0;                // D
  Lsn end = 0;                    // last record of the log, readable or acknowledged
  Lsn highest = 0;                // highest position that any header of this log speaks of
  uint32_t epoch = 0;             // highest seen
  uint32_t file_seq = 0;
};

using WalProgress = std::function<void(uint64_t bytes_done, uint64_t bytes_total)>;
// Sees every intact payload once, in no particular order (a rewritten batch twice).
using WalGlance = std::function<void(std::string_view records)>;

// `from`: everything up to here is in the catalog. Sets seq and last_lsn of the files.
absl::StatusOr<WalScan> ScanWal(Disk& disk, WalFiles& files, uint64_t identity, Lsn from, const WalProgress& progress,
                                const WalGlance& glance, StoreKeys* keys = nullptr);

// The records of a batch of the scan, checked again: what is replayed is what was judged.
absl::Status ReadWalPayload(Disk& disk, const WalBatch& batch, uint64_t identity, std::string* records,
                            StoreKeys* keys = nullptr);

}  // namespace millrace
