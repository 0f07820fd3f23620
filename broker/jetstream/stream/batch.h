// SPDX-License-Identifier: Apache-2.0
// Batches of publishes: atomic ones are staged here until they are committed; fast ones are stored as they come, and
//         this remembers how far they are (spec J-3b, J-3c, ADR-50).
// Owner:  shard.  Bounds: BatchLimits (options.h), per stream and for all streams of the shard (BatchUse).
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "broker/jetstream/stream/counter.h"
#include "broker/jetstream/base/name_map.h"
#include "proto/base/check.h"
#include "proto/base/nanos.h"

namespace millrace {

inline constexpr size_t kBatchIdBytesMax = 64;

struct BatchUse {
  uint64_t atomic = 0;
  uint64_t fast = 0;
  uint64_t bytes = 0;  // staged
};

// What the messages of a batch before the present one will have changed, for the checks of the present one.
struct BatchChanges {
  struct Subject {
    uint64_t messages = 0;
    bool schedule = false;  // the last of them is one
  };
  uint64_t messages = 0;
  uint64_t bytes = 0;       // as the stream counts them
  uint64_t last_bytes = 0;  // of the last one
  NameMap<Subject> subjects;
  NameMap<CounterResult> counters;  // the last of each subject
  NameMap<uint64_t> expected;       // last sequence of a subject, as it was checked
  absl::flat_hash_set<std::string> ids;

  bool Writes(std::string_view subject) const { return subjects.contains(subject); }
};

struct AtomicBatch {
  struct Staged {
    std::string subject;
    std::string header;
    std::string body;
    size_t bytes() const { return subject.size() + header.size() + body.size(); }
  };
  std::string id;
  std::vector<Staged> messages;
  uint64_t last_seq = 0;  // in the batch
  uint64_t bytes = 0;
  Nanos deadline{0};
};

struct FastBatch {
  std::string id;
  bool gap_ok = false;
  uint16_t flow_max = 0;    // the client's
  uint16_t flow = 0;        // an answer every so many messages
  uint64_t last_seq = 0;    // in the batch, of the last message that was taken
  uint64_t stored_seq = 0;  // in the batch: everything up to here is stored, or will never be
  uint64_t told_seq = 0;    // in the batch, of the last answer
  uint64_t stream_seq = 0;  // of the last message stored
  Nanos deadline{0};

  // An answer is due. It speaks of told_seq; the pace then comes closer to what `batches` publishers are allowed.
  bool TakeFlow(size_t batches) {
    MR_DCHECK(batches > 0 && flow > 0 && told_seq <= stored_seq);
    if (stored_seq < told_seq + flow) return false;
    told_seq += (stored_seq - told_seq) / flow * flow;
    const size_t share = std::max<size_t>(kFlowTotal / batches, 1);
    const auto target = static_cast<uint16_t>(std::min<size_t>(share, flow_max));
    if (flow < target) {
      flow = static_cast<uint16_t>(std::min<uint32_t>(2u * flow, target));
    } else if (flow > target) {
      flow = static_cast<uint16_t>(std::max<uint32_t>(flow / 2u, target));
    }
    return true;
  }
  // A batch that is alone begins at its full pace.
  void SetFirstFlow(size_t batches) { flow = batches > 1 ? uint16_t{1} : std::min<uint16_t>(kFlowTotal, flow_max); }

  static constexpr uint16_t kFlowTotal = 500;
};

}  // namespace millrace
