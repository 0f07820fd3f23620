// SPDX-License-Identifier: Apache-2.0
// OriginReader: reads the messages of another stream of this server in order: the position, the filters and the
//               transforms of one mirror or source, and what INFO tells of them.
// Owner:  shard; part of a Mirror or StreamSources.
// It takes the place of the peer's direct consumer on the origin: only what is visible there is read, and an origin
// with interest or work-queue retention is told what has been copied. An `external` origin is read by a consumer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/api/stream_info.h"
#include "broker/jetstream/stream/stream.h"
#include "broker/jetstream/upstream/external_origin.h"
#include "broker/jetstream/upstream/origin_search.h"
#include "proto/base/nanos.h"
#include "proto/subject_transform.h"

namespace millrace {

class OriginReader {
 public:
  enum class Kind : uint8_t { kMirror, kSource };
  enum class Link : uint8_t { kNone, kSame, kNew };

  // For `upstream`, of a stream of this account.
  OriginReader(OriginSearches& origins, Upstream& upstream, AccountId account, StreamSource source, Kind kind);
  ~OriginReader();
  OriginReader(const OriginReader&) = delete;
  OriginReader& operator=(const OriginReader&) = delete;

  // Looks for the origin: kNone: not there, or not as it should be; kNew: not the one that was read last, call Begin.
  Link Connect();
  // What the origin at hand is by, among those of its name; empty: an external one has not said it yet.
  std::string Identity() const;
  // Where to begin by sequence (0: the first) or time; within what the origin has.
  uint64_t StartSeq(uint64_t seq) const;
  uint64_t StartSeqByTime(int64_t time_ns);
  // `identity`: of the origin that the place is in, if that is known. Where an external one turns out to be another, it
  // is read as one of which nothing has been read.
  void Begin(uint64_t next_seq, std::string_view identity = {});

  // After Connect, and no longer than nothing else of the shard has run.
  // kAbsent: the end of what is visible; kPending: StreamHost::OnLoaded tells when to ask again.
  LoadStatus Read(OriginMessage* message);
  // The message that Read gave has been stored; its successor is next.
  void Advance(const OriginMessage& message);

  // The destination of the first transform that takes the subject.
  void Transform(std::string* subject) const;
  bool Needs(const Stream& origin, uint64_t seq, std::string_view subject) const;
  StreamSourceInfo Info() const;
  const StreamSource& source() const { return source_; }
  // While the origin is held, or where counting takes long, what it was before.
  uint64_t lag() const;
  uint64_t behind() const;  // sequences between here and the end of the origin at hand; lag is not above it
  bool connected() const { return external_ != nullptr ? external_->connected() : uid_ != 0; }

 private:
  Consumer* NamedConsumer() const;
  bool FindNext(uint64_t* seq);

  OriginSearches& origins_;
  const AccountId account_;
  const StreamSource source_;
  const Kind kind_;
  Filters filters_;
  std::vector<SubjectTransform> transforms_;
  Stream* origin_ = nullptr;
  std::unique_ptr<ExternalOrigin> external_;   // in the place of what follows; nullptr: it is a stream of this account
  std::optional<int64_t> external_start_ns_;  // what Begin is to ask for
  mutable uint64_t lag_ = 0;
  uint64_t next_search_ = 0;         // OriginSearches; 0: it is not looked for
  mutable uint64_t lag_search_ = 0;  // the same
  uint64_t uid_ = 0;   // of the origin that is read; 0: none
  uint64_t next_ = 1;  // everything below is copied, or not wanted
  bool heard_ = false;
  Nanos heard_at_{};
  std::optional<ApiError> error_;
};

}  // namespace millrace
