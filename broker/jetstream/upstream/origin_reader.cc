// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/origin_reader.h"

#include <algorithm>
#include <utility>

#include "broker/jetstream/api/stream_identity.h"
#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {
namespace {

// The peer's reader hears a heartbeat each second when nothing else comes, and counts that as activity.
constexpr Nanos kHeartbeat = std::chrono::seconds(1);

bool IsAll(std::string_view filter) { return filter.empty() || filter == ">"; }

Filters FiltersOf(const StreamSource& source) {
  Filters filters;
  if (source.subject_transforms.empty()) {
    filters.push_back(source.filter_subject);
  } else {
    for (const SubjectTransformConfig& transform : source.subject_transforms) filters.push_back(transform.src);
  }
  if (std::any_of(filters.begin(), filters.end(), [](const std::string& filter) { return IsAll(filter); })) return {};
  return filters;
}

bool MatchesAny(const Filters& filters, std::string_view subject) {
  return filters.empty() || std::any_of(filters.begin(), filters.end(), [subject](const std::string& filter) {
           return SubjectMatches(subject, filter);
         });
}

}  // namespace

OriginReader::OriginReader(OriginSearches& origins, Upstream& upstream, AccountId account, StreamSource source,
                           Kind kind)
    : origins_(origins), account_(account), source_(std::move(source)), kind_(kind), filters_(FiltersOf(source_)) {
  for (const SubjectTransformConfig& config : source_.subject_transforms) {
    absl::StatusOr<SubjectTransform> transform = SubjectTransform::Compile(config.src, config.dest);
    if (transform.ok()) transforms_.push_back(*std::move(transform));  // refused when the stream was made
  }
  if (!source_.external) return;
  const auto reads_for = kind_ == Kind::kMirror ? ExternalOrigin::For::kMirror : ExternalOrigin::For::kSource;
  external_ = std::make_unique<ExternalOrigin>(origins_.host(), upstream, account_, source_, filters_, reads_for);
}

OriginReader::~OriginReader() {
  origins_.End(next_search_);
  origins_.End(lag_search_);
}

Consumer* OriginReader::NamedConsumer() const {
  return source_.consumer ? origin_->FindConsumer(source_.consumer->name) : nullptr;
}

OriginReader::Link OriginReader::Connect() {
  origin_ = nullptr;
  if (external_ != nullptr) {
    error_ = external_->error();
    return external_->begun() ? Link::kSame : Link::kNew;
  }
  Stream* origin = origins_.Find(account_, source_.name);
  error_.reset();
  if (origin == nullptr) {
    error_ = MakeError(ApiErrorId::kStreamNotFound);
    uid_ = 0;
    return Link::kNone;
  }
  origin_ = origin;
  if (source_.consumer) {
    const Consumer* consumer = NamedConsumer();
    if (consumer == nullptr) {
      error_ = MakeError(ApiErrorId::kConsumerNotFound);
    } else if (consumer->config().ack_policy != AckPolicy::kFlowControl) {
      error_ = MakeError(kind_ == Kind::kMirror ? ApiErrorId::kMirrorConsumerRequiresAckFC
                                                : ApiErrorId::kSourceConsumerRequiresAckFC);
    }
    if (error_) {
      uid_ = 0;
      return Link::kNone;
    }
    if (filters_ != consumer->filters()) {
      origins_.End(std::exchange(next_search_, 0));
      filters_ = consumer->filters();
    }
  }
  return uid_ == origin->uid() ? Link::kSame : Link::kNew;
}

std::string OriginReader::Identity() const {
  if (external_ != nullptr) return external_->identity();
  MR_CHECK(origin_ != nullptr);
  return StreamIdentity(origin_->created_ns());
}

uint64_t OriginReader::StartSeq(uint64_t seq) const {
  if (external_ != nullptr) return std::max<uint64_t>(seq, 1);  // the consumer knows better
  MR_CHECK(origin_ != nullptr);
  const StreamLogState& state = origin_->log().state();
  return std::clamp<uint64_t>(seq, std::max<uint64_t>(state.first_seq, 1), state.last_seq + 1);
}

uint64_t OriginReader::StartSeqByTime(int64_t time_ns) {
  if (external_ != nullptr) {
    external_start_ns_ = time_ns;
    return 1;
  }
  return StartSeq(origin_->log().FirstAtOrAfter(time_ns));
}

void OriginReader::Begin(uint64_t next_seq, std::string_view identity) {
  if (external_ != nullptr) return external_->Begin(next_seq, external_start_ns_, identity);
  MR_CHECK(origin_ != nullptr && next_seq > 0);
  uid_ = origin_->uid();
  next_ = next_seq;
  origins_.End(std::exchange(next_search_, 0));
  heard_ = true;
  heard_at_ = origins_.host().port().Now();
}

// False: it is still looked for.
bool OriginReader::FindNext(uint64_t* seq) {
  if (filters_.empty() || !origin_->log().IsLarge()) {
    *seq = origin_->log().Next(filters_, next_);
    return true;
  }
  if (next_search_ != 0) {
    const OriginSearches::Search& search = origins_.At(next_search_);
    // One that was in vain does not know what has come since.
    const bool missed = search.done && search.found == 0 && search.end < origin_->log().state().last_seq;
    if (search.from != next_ || missed) origins_.End(std::exchange(next_search_, 0));
  }
  if (next_search_ == 0) next_search_ = origins_.Start(OriginSearches::Wanted::kNext, *origin_, filters_, next_);
  OriginSearches::Search& search = origins_.At(next_search_);
  search.awaited = !search.done;
  if (search.awaited) return false;
  *seq = search.found;
  origins_.End(std::exchange(next_search_, 0));
  return true;
}

LoadStatus OriginReader::Read(OriginMessage* message) {
  if (external_ != nullptr) return external_->Read(message) ? LoadStatus::kFound : LoadStatus::kAbsent;
  MR_DCHECK(origin_ != nullptr && uid_ == origin_->uid());
  while (true) {
    uint64_t seq = 0;
    if (!FindNext(&seq)) return LoadStatus::kPending;
    if (seq == 0 || seq > origin_->visible_last_seq()) return LoadStatus::kAbsent;
    MR_DCHECK(seq >= next_);
    StoredMessage stored;
    const LoadStatus status = origin_->log().Load(seq, &stored);
    if (status == LoadStatus::kPending) return status;
    if (status == LoadStatus::kFound) {
      message->seq = seq;
      message->time_ns = stored.time_ns;
      message->subject = stored.subject;
      message->header = stored.header();
      message->body = stored.body();
      return status;
    }
    next_ = seq + 1;  // a message that cannot be read is one that is not there
  }
}

void OriginReader::Advance(const OriginMessage& message) {
  if (external_ != nullptr) return external_->Pop();
  MR_DCHECK(origin_ != nullptr && message.seq >= next_);
  next_ = message.seq + 1;
  heard_at_ = origins_.host().port().Now();
  if (origin_->config().retention != Retention::kLimits) origin_->OnAcked(NamedConsumer(), message.seq);
}

void OriginReader::Transform(std::string* subject) const {
  for (const SubjectTransform& transform : transforms_) {
    std::optional<std::string> to = transform.Match(*subject, static_cast<uint32_t>(origins_.host().port().Random()));
    if (!to) continue;
    *subject = *std::move(to);
    return;
  }
}

bool OriginReader::Needs(const Stream& origin, uint64_t seq, std::string_view subject) const {
  if (error_ || (uid_ != 0 && (uid_ != origin.uid() || seq < next_))) return false;
  return !source_.external && source_.name == origin.name() && MatchesAny(filters_, subject);
}

uint64_t OriginReader::lag() const {
  if (external_ != nullptr) return external_->lag();
  Stream* origin = source_.external ? nullptr : origins_.Find(account_, source_.name);
  if (origin == nullptr || origin->uid() != uid_ || next_ > origin->log().state().last_seq) return 0;
  if (lag_search_ == 0 && !origin->MustWait()) {
    lag_search_ = origins_.Start(OriginSearches::Wanted::kCount, *origin, filters_, next_);
  }
  if (lag_search_ != 0 && origins_.At(lag_search_).done) {
    lag_ = origins_.At(lag_search_).found;
    origins_.End(std::exchange(lag_search_, 0));
  }
  return lag_;
}

uint64_t OriginReader::behind() const {
  if (external_ != nullptr) return external_->lag();
  const uint64_t last = origin_->log().state().last_seq;
  return next_ > last ? 0 : last - next_ + 1;
}

StreamSourceInfo OriginReader::Info() const {
  StreamSourceInfo info;
  info.name = source_.name;
  info.external = source_.external;
  info.lag = lag();
  info.error = external_ != nullptr ? external_->error() : error_;
  info.filter_subject = source_.filter_subject;
  info.subject_transforms = source_.subject_transforms;
  if (external_ != nullptr && external_->heard_at() != Nanos{}) {
    info.active_ns = (origins_.host().port().Now() - external_->heard_at()).count();
  } else if (heard_) {
    const Nanos since = origins_.host().port().Now() - heard_at_;
    info.active_ns = (connected() ? since % kHeartbeat : since).count();
  }
  return info;
}

}  // namespace millrace
