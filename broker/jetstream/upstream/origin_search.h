// SPDX-License-Identifier: Apache-2.0
// OriginSearches: how readers of other streams find those, and what they look for there as tasks (stream_work.h).
// Owner:  shard; part of the engine. A search ends with End; the task may go on longer than its reader lives.
#pragma once

#include <cstdint>

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "broker/jetstream/stream/stream_host.h"
#include "proto/base/check.h"
#include "store/stream_log.h"

namespace millrace {

class OriginSearches {
 public:
  enum class Wanted : uint8_t { kNext, kCount };  // the next sequence that matches, 0: none; how many do
  struct Search {
    uint64_t from = 0;
    uint64_t end = 0;  // the last sequence that there was
    uint64_t found = 0;
    bool done = false;
    bool awaited = false;  // StreamHost::OnLoaded tells when it is done
  };

  // Both outlive it; readers are made when they are there.
  OriginSearches(StreamHost& host, StreamDirectory& directory) : host_(host), directory_(directory) {}
  OriginSearches(const OriginSearches&) = delete;
  OriginSearches& operator=(const OriginSearches&) = delete;

  StreamHost& host() { return host_; }
  // nullptr: there is no such stream.
  Stream* Find(AccountId account, std::string_view name) { return directory_.Find(account, name); }
  // No task is at any of them.
  bool AreFree(AccountId account, const std::vector<std::string>& names) const;

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

  StreamHost& host_;
  StreamDirectory& directory_;
  uint64_t last_ = 0;
  absl::flat_hash_map<uint64_t, Search> searches_;
};

}  // namespace millrace
