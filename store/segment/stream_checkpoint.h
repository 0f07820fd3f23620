// SPDX-License-Identifier: Apache-2.0
// StreamCheckpoint: what a checkpoint says of a stream on disk: its counts, its live sequences, and where its blocks
//                   and index runs are.
// Owner:  caller (pure).
// Input:  of DecodeStreamCheckpoint is not trusted: what contradicts itself is refused.
// Format: store/FORMAT.md.  Proof: tests/store/stream_checkpoint_test.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "store/index/live_set.h"
#include "store/segment/block.h"
#include "store/segment/stored_runs.h"
#include "store/stream_log.h"

namespace millrace {

// The files with the seeds of their checksums: a damaged file header does not cost the blocks behind it.
using SegmentUuids = std::vector<std::pair<uint32_t, uint64_t>>;  // number, uuid

struct StreamCheckpoint {
  StreamLogState state;
  SegmentUuids files;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<StoredRun> runs;
};

// The same, of a log that goes on. first_seq of the state is not told: the live sequences say it.
struct StreamCheckpointView {
  const StreamLogState& state;
  const LiveSet& live;
  uint64_t live_through = UINT64_MAX;  // later ones are left out
  const SegmentUuids& files;
  const std::vector<std::unique_ptr<Block>>& blocks;
  size_t block_count = 0;  // the first ones
  const std::vector<const StoredRun*>& runs;
};

void EncodeStreamCheckpoint(const StreamCheckpointView& checkpoint, std::string* out);

// An error says which part is bad; *live is empty then, and of *checkpoint nothing may be used.
absl::Status DecodeStreamCheckpoint(std::string_view bytes, LiveSet* live, StreamCheckpoint* checkpoint);

}  // namespace millrace
