// SPDX-License-Identifier: Apache-2.0
// OriginSearches: what readers of other streams look for there, as tasks on the origin (long_tasks.h).
// Owner:  shard; part of StreamReaders. A search ends with End; the task may go on longer than its reader lives.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "proto/base/check.h"
#include "store/stream_log.h"

namespace millrace {

class JetStream;
class Stream;

class OriginSearches {
 public:
  enum class Wanted : uint8_t { kNext, kCount };  // the next sequence that matches, 0: none; how many do
  struct Search {
    uint64_t from = 0;
    uint64_t end = 0;  // the last sequence that there was
    uint64_t found = 0;
    bool done = false;
    bool awaited = false;  // JetStream::OnLoaded tells when it is done
  };

  explicit OriginSearches(JetStream& engine) : engine_(engine) {}

  // Returns the search's number; as a rule it is done.
  uint64_t Start(Wanted wanted, const Stream& origin, const Filters& filters, uint64_t from);
  // Valid until the next Start.
  Search& At(uint64_t number) {
    const auto at = searches_.find(number);
    MR_CHECK(at != searches_.end());
    return at->second;
  }
  void End(uint64_t number) { searches_.erase(number); }        // 0: nothing

 private:
  void Run(uint64_t number, Wanted wanted, uint64_t uid, const Filters& filters, uint64_t from);

  JetStream& engine_;
  uint64_t last_ = 0;
  absl::flat_hash_map<uint64_t, Search> searches_;
};

}  // namespace millrace
