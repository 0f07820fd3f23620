// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/mirror.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr Nanos kRetryAfter = std::chrono::seconds(1);
// A mirror answers DIRECT.GET for its origin once fewer messages than this are missing.
constexpr uint64_t kCaughtUpLag = 10;

}  // namespace

Mirror::Mirror(OriginSearches& origins, Stream& stream)
    : origins_(origins),
      stream_(stream),
      reader_(origins, *this, stream.account(), *stream.config().mirror, OriginReader::Kind::kMirror) {
  retry_.Bind<&Mirror::Retry>(this);
}

void Mirror::Stop() { stream_.port().timers().Cancel(&retry_); }

void Mirror::Retry() { origins_.host().readers().Wake(this); }

// The configured start counts only while the mirror has never had a message.
void Mirror::Begin() {
  const StreamSource& source = reader_.source();
  const uint64_t last = stream_.log().state().last_seq;
  uint64_t start = 1;
  if (last > 0) {
    start = last + 1;
  } else if (source.opt_start_seq > 0) {
    start = source.opt_start_seq;
  } else if (source.opt_start_time_ns) {
    start = reader_.StartSeqByTime(*source.opt_start_time_ns);
  }
  // What the origin does not have any more is a gap here; what it does not have yet (another stream took its name) is
  // waited for.
  const uint64_t from = reader_.StartSeq(start);
  if (from > last + 1) stream_.SkipTo(from - 1);
  MR_CHECK(std::max(from, last + 1) > stream_.log().state().last_seq);
  reader_.Begin(std::max(from, last + 1));
}

PullStatus Mirror::Pull() {
  const OriginReader::Link link = reader_.Connect();
  if (link == OriginReader::Link::kNone || stream_.config().sealed) return PullStatus::kIdle;
  if (link == OriginReader::Link::kNew) Begin();
  size_t bytes = 0;
  for (size_t i = 0; i < kPulledMessagesPerTurn && bytes < kPulledBytesPerTurn; ++i) {
    const LoadStatus status = reader_.Read(&message_);
    if (status == LoadStatus::kPending) return PullStatus::kLoading;
    if (status != LoadStatus::kFound) {
      caught_up_ = true;
      return PullStatus::kIdle;
    }
    // Purged here before it came: a purge may name a sequence that is still ahead.
    if (message_.seq <= stream_.log().state().last_seq) {
      reader_.Advance(message_);
      continue;
    }
    if (!Store()) {
      stream_.port().timers().Arm(&retry_, stream_.port().Now() + kRetryAfter);
      return PullStatus::kIdle;
    }
    bytes += message_.header.size() + message_.body.size();
    reader_.Advance(message_);
  }
  if (!caught_up_) caught_up_ = reader_.behind() < kCaughtUpLag;
  return PullStatus::kMore;
}

bool Mirror::Store() {
  MR_DCHECK(message_.seq > stream_.log().state().last_seq);
  if (!message_.header.empty()) {
    // Conditions of the publisher were checked at the origin; batches are complete there.
    RemoveHeadersWithPrefix(&message_.header, "Nats-Expected-");
    RemoveHeadersWithPrefix(&message_.header, "Nats-Batch-");
  }
  reader_.Transform(&message_.subject);
  Inbound in;
  in.subject = message_.subject;
  in.header = message_.header;
  in.body = message_.body;
  in.seq = message_.seq;
  in.time_ns = message_.time_ns;
  in.sourced = true;
  const std::optional<ApiError> error = stream_.Publish(in);
  if (!error) return true;
  stream_.port().log().WarnLimited(absl::StrFormat("Error processing inbound mirror message for '%s' > '%s': %s",
                                                   stream_.account_name(), stream_.name(), error->description));
  return false;
}

}  // namespace millrace
