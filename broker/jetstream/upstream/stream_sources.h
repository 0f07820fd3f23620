// SPDX-License-Identifier: Apache-2.0
// StreamSources: copies the messages of other streams into one, each under a new sequence and with the header
//                Nats-Stream-Source that says where it comes from.
// Owner:  shard; part of the stream that has sources.  Source: spec J-34, J-35; ADR-59, ADR-60.
// Resume: how far each source has come is in the headers of the stream's own messages, and in a record of the store
//         (Record) that outlives them: messages may be removed. What the record does not know is looked for in the
//         messages, from the end, slice by slice; a source waits until its place is known.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/io/timer_wheel.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/stream/upstream.h"
#include "broker/jetstream/upstream/origin_reader.h"

namespace millrace {

class StreamSources final : public Upstream {
 public:
  // How far one source has come.
  struct Position {
    uint64_t seq = 0;      // of the origin; 0: nothing yet
    std::string identity;  // of the origin; empty: not known
  };
  // By SourceIndexName, and up to which of the stream's own messages that is known.
  struct Record {
    NameMap<Position> positions;
    uint64_t own_seq = 0;
  };

  // `record`: what is known, possibly of sources that are not here any more.
  StreamSources(OriginSearches& origins, Stream& stream, Record record);

  std::vector<std::string> Origins() const override;
  bool MayPull() override { return stream_.Prepare() && origins_.AreFree(stream_.account(), Origins()); }
  PullStatus Pull() override;
  bool Needs(const Stream& origin, uint64_t seq, std::string_view subject) const override;
  void Describe(StreamInfo* info) const override;
  void Stop() override;

  // The record as the store keeps it: each text may follow others, and what it says replaces what they said.
  static void ReadRecord(std::string_view text, Record* record);
  void EncodePositions(std::string* out) const override { WriteRecord(/*changed_only=*/false, out); }

 private:
  struct Source {
    Source(OriginSearches& origins, StreamSources& upstream, const StreamSource& config);
    std::string index_name;
    OriginReader reader;
    Position at;
    bool recorded = false;  // `at` is what the record says
    bool known = false;     // `at` is what to go on from
    bool changed = false;   // since the last record
    bool done = false;      // for this turn
  };

  bool Scan();  // false: it waits for the disk
  bool all_known() const;
  void Begin(Source* source);
  enum class Stored : uint8_t { kYes, kNo };
  Stored Store(Source* source);
  void WriteRecord(bool changed_only, std::string* out) const;
  void KeepRecord();
  void Retry();

  OriginSearches& origins_;
  Stream& stream_;
  std::vector<std::unique_ptr<Source>> sources_;
  OriginMessage message_;
  uint64_t scan_at_ = 0;       // the next own message to look at, downwards
  uint64_t recorded_seq_ = 0;  // the record knows what is in own messages up to here
  size_t next_ = 0;          // whose turn it is
  TimerNode retry_;
};

// <name> <seq> <filters> <destinations> <subject at the origin> <identity>
struct StreamSourceHeader {
  std::string index_name;
  uint64_t seq = 0;
  std::string_view identity;
};
// False: not of that form.
bool ReadStreamSourceHeader(std::string_view value, StreamSourceHeader* header);

}  // namespace millrace
