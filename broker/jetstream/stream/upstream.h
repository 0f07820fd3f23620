// SPDX-License-Identifier: Apache-2.0
// Upstream: where a stream that is not (only) published to gets its messages from: Mirror and StreamSources.
// Owner:  shard; part of its stream.  Source: spec J-33 to J-35, ADR-59.
// Pull:   StreamReaders calls it in the JetStream phase of a turn when an origin has something new; what it copies in
//         one call is bounded, so nothing is queued: what was not copied stays in the origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/base/list.h"

namespace millrace {

class Stream;

// What one stream copies in one turn at most.
inline constexpr size_t kPulledMessagesPerTurn = 256;
inline constexpr size_t kPulledBytesPerTurn = 1 << 20;

enum class PullStatus : uint8_t {
  kIdle,     // until an origin has more
  kMore,     // the bound ended it
  kLoading,  // a message is on its way from the disk
};

class Upstream {
 public:
  Upstream() = default;
  virtual ~Upstream() = default;
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // Names of streams of this server that are read; each may be there or not.
  virtual std::vector<std::string> Origins() const = 0;
  // No task is at one of the streams, and what comes can be stored.
  virtual bool MayPull() = 0;
  virtual PullStatus Pull() = 0;
  // The message of this origin is still to be copied: what interest retention asks.
  virtual bool Needs(const Stream& origin, uint64_t seq, std::string_view subject) const = 0;
  virtual void Describe(StreamInfo* info) const = 0;
  // Whose copy may answer DIRECT.GET for its origin now; nullptr: it may not.
  virtual Stream* DirectMirror() const { return nullptr; }
  // How far it has come, for the next one of the stream to begin with; nothing where the messages tell.
  virtual void EncodePositions(std::string* out) const {}
  // No timer fires any more.
  virtual void Stop() = 0;

 private:
  friend class StreamReaders;
  List<Upstream>::Node place_{this};  // in StreamReaders, awake or loading
  bool awake_ = false;
};

}  // namespace millrace
