// SPDX-License-Identifier: Apache-2.0
// StreamReaders: which streams are mirrors of, or source, which others, and which of them have something to read.
// Owner:  shard; part of the engine.  A stream that nobody reads costs one look into an empty table per flush.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/upstream/origin_search.h"

namespace millrace {

class JetStream;
class Stream;

class StreamReaders {
 public:
  explicit StreamReaders(JetStream& engine) : engine_(engine), searches_(engine) {}

  // What the reader's upstream names as origins. Wakes it.
  void Add(Stream* reader);
  // The names of the origins that it read.
  std::vector<std::string> Remove(Stream* reader);
  // A reader of these is no longer there, for good: what only it still wanted goes.
  void Release(const std::vector<std::string>& origins);

  // Something became visible in the stream of this name, or it has come into being.
  void WakeReadersOf(std::string_view origin);
  void Wake(Stream* reader);
  // Loads that were waited for have ended.
  void WakeLoading();
  // Lets readers read. True: there is more to do now.
  bool Run();

  // Some reader still has to copy the message.
  bool Need(const Stream& origin, uint64_t seq, std::string_view subject) const;
  bool HasReadersOf(std::string_view origin) const { return by_origin_.contains(origin); }
  // A mirror that answers DIRECT.GET in the place of this stream; nullptr: none does.
  Stream* DirectMirrorOf(std::string_view origin) const;
  OriginSearches& searches() { return searches_; }

 private:
  bool MayPull(Stream* reader) const;

  JetStream& engine_;
  NameMap<std::vector<Stream*>> by_origin_;
  std::vector<Stream*> awake_;
  absl::flat_hash_set<Stream*> awake_set_;
  std::vector<Stream*> loading_;
  OriginSearches searches_;
};

}  // namespace millrace
