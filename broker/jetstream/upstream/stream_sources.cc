// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/stream_sources.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/go_time.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/stream_check.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

constexpr Nanos kRetryAfter = std::chrono::seconds(1);
constexpr size_t kScannedPerTurn = 4096;

// The next of the words that single blanks part; an empty rest ends them.
std::string_view NextWord(std::string_view* rest) {
  const size_t blank = std::min(rest->find(' '), rest->size());
  const std::string_view word = rest->substr(0, blank);
  rest->remove_prefix(std::min(blank + 1, rest->size()));
  return word;
}

bool ReadNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool ReadStreamSourceHeader(std::string_view value, StreamSourceHeader* header) {
  const std::string_view name = NextWord(&value);
  const std::string_view seq = NextWord(&value);
  const std::string_view filters = NextWord(&value);
  const std::string_view destinations = NextWord(&value);
  NextWord(&value);  // the subject
  header->identity = NextWord(&value);
  header->index_name = absl::StrFormat("%s %s %s", std::string(name), std::string(filters), std::string(destinations));
  return !destinations.empty() && ReadNumber(seq, &header->seq);
}

StreamSources::Source::Source(OriginSearches& origins, StreamSources& upstream, const StreamSource& config)
    : index_name(SourceIndexName(config)),
      reader(origins, upstream, upstream.stream_.account(), config, OriginReader::Kind::kSource) {}

StreamSources::StreamSources(OriginSearches& origins, Stream& stream, Record record)
    : origins_(origins), stream_(stream), scan_at_(stream.log().state().last_seq) {
  retry_.Bind<&StreamSources::Retry>(this);
  recorded_seq_ = record.own_seq;
  for (const StreamSource& config : stream.config().sources) {
    auto source = std::make_unique<Source>(origins, *this, config);
    const auto it = record.positions.find(source->index_name);
    if (it != record.positions.end()) {
      source->at = it->second;
      source->recorded = true;
    }
    sources_.push_back(std::move(source));
  }
}

std::vector<std::string> StreamSources::Origins() const {
  std::vector<std::string> names;
  for (const auto& source : sources_) names.push_back(source->reader.source().name);
  return names;
}

bool StreamSources::Needs(const Stream& origin, uint64_t seq, std::string_view subject) const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [&](const auto& source) { return source->reader.Needs(origin, seq, subject); });
}

void StreamSources::Describe(StreamInfo* info) const {
  for (const auto& source : sources_) {
    info->sources.push_back(source->reader.Info());
    info->sources.back().seq = source->at.seq;
  }
}

void StreamSources::Stop() { stream_.port().timers().Cancel(&retry_); }

void StreamSources::Retry() { origins_.host().readers().Wake(this); }

bool StreamSources::all_known() const {
  return std::all_of(sources_.begin(), sources_.end(), [](const auto& source) { return source->known; });
}

// Looks for the last message of each source that is not known yet.
bool StreamSources::Scan() {
  StreamLog& log = stream_.log();
  StoredMessage message;
  for (size_t i = 0; i < kScannedPerTurn && !all_known(); ++i) {
    const uint64_t seq = scan_at_ == 0 ? 0 : log.Previous({}, scan_at_);
    for (const auto& source : sources_) source->known |= seq == 0 || (source->recorded && seq <= recorded_seq_);
    if (all_known()) break;
    MR_CHECK(seq > 0 && seq <= scan_at_);
    const LoadStatus status = log.Load(seq, &message);
    if (status == LoadStatus::kPending) return false;
    scan_at_ = seq - 1;
    if (status != LoadStatus::kFound || message.header_bytes == 0) continue;
    const std::optional<std::string_view> value = FindHeader(message.header(), kStreamSourceHeader);
    StreamSourceHeader header;
    if (!value || !ReadStreamSourceHeader(*value, &header)) continue;
    for (const auto& source : sources_) {
      if (source->known || source->index_name != header.index_name) continue;
      source->at = Position{header.seq, std::string(header.identity)};
      source->known = true;
      source->changed = true;
    }
  }
  return true;
}

void StreamSources::Begin(Source* source) {
  MR_CHECK(source->known);
  OriginReader& reader = source->reader;
  const std::string identity = reader.Identity();
  const bool recreated = !identity.empty() && !source->at.identity.empty() && source->at.identity != identity;
  if (recreated) source->at.seq = 0;
  if (!identity.empty()) source->at.identity = identity;
  const StreamSource& config = reader.source();
  const StreamLogState& own = stream_.log().state();
  uint64_t start = 1;
  if (source->at.seq > 0) {
    start = source->at.seq + 1;
  } else if (config.opt_start_seq > 0) {
    start = config.opt_start_seq;
  } else if (config.opt_start_time_ns) {
    start = reader.StartSeqByTime(std::max(*config.opt_start_time_ns, own.last_time_ns));
  } else if (own.first_seq > 1 && own.last_time_ns != 0 && !recreated) {
    // Messages have left this stream: what is older than its last one has been copied, or was not wanted.
    start = reader.StartSeqByTime(own.last_time_ns);
  }
  reader.Begin(reader.StartSeq(start), source->at.identity);
}

PullStatus StreamSources::Pull() {
  if (stream_.config().sealed) return PullStatus::kIdle;
  if (!Scan()) return PullStatus::kLoading;
  bool loading = false;
  size_t left = 0;
  bool unknown = false;
  for (const auto& source : sources_) {
    source->done = !source->known;
    unknown |= !source->known;
    if (source->done) continue;
    const OriginReader::Link link = source->reader.Connect();
    source->done = link == OriginReader::Link::kNone;
    if (link == OriginReader::Link::kNew) Begin(source.get());
    if (!source->done) ++left;
  }
  size_t bytes = 0;
  size_t messages = 0;
  // One message of each in turn, beginning behind the one that came last.
  while (left > 0 && messages < kPulledMessagesPerTurn && bytes < kPulledBytesPerTurn) {
    Source* source = sources_[next_ % sources_.size()].get();
    next_ = (next_ + 1) % sources_.size();
    if (source->done) continue;
    const LoadStatus status = source->reader.Read(&message_);
    loading |= status == LoadStatus::kPending;
    source->done = status != LoadStatus::kFound || Store(source) == Stored::kNo;
    if (source->done) {
      MR_DCHECK(left > 0);
      --left;
      continue;
    }
    bytes += message_.header.size() + message_.body.size();
    ++messages;
  }
  KeepRecord();
  if (left > 0 || unknown) return PullStatus::kMore;
  return loading ? PullStatus::kLoading : PullStatus::kIdle;
}

StreamSources::Stored StreamSources::Store(Source* source) {
  const uint64_t seq = message_.seq;
  MR_DCHECK(source->known);
  if (source->reader.source().external) source->at.identity = source->reader.Identity();
  if (!message_.header.empty()) {
    RemoveHeader(&message_.header, kStreamSourceHeader);
    RemoveHeadersWithPrefix(&message_.header, "Nats-Expected-");
    RemoveHeadersWithPrefix(&message_.header, "Nats-Batch-");
  }
  const size_t blank = source->index_name.find(' ');
  AddHeader(&message_.header, kStreamSourceHeader,
            absl::StrFormat("%s %d%s %s%s", source->index_name.substr(0, blank), seq,
                            source->index_name.substr(blank), message_.subject,
                            source->at.identity.empty() ? std::string() : " " + source->at.identity));
  source->reader.Transform(&message_.subject);
  Inbound in;
  in.subject = message_.subject;
  in.header = message_.header;
  in.body = message_.body;
  in.sourced = true;
  if (const std::optional<ApiError> error = stream_.Publish(in)) {
    // A stream that is full and discards what is new takes it later; that is no news.
    if (stream_.config().discard != Discard::kNew) {
      stream_.port().log().WarnLimited(absl::StrFormat("Error processing inbound source \"%s\" for '%s' > '%s': %s",
                                                       source->index_name, stream_.account_name(), stream_.name(),
                                                       error->description));
    }
    stream_.port().timers().Arm(&retry_, stream_.port().Now() + kRetryAfter);
    return Stored::kNo;
  }
  source->at.seq = seq;
  source->changed = true;
  source->reader.Advance(message_);
  return Stored::kYes;
}

// ---- the record: lines of "<seq> <identity, or -> <index name>" behind "own <last own sequence>" -------------------

void StreamSources::WriteRecord(bool changed_only, std::string* out) const {
  out->append(absl::StrFormat("own %d\n", all_known() ? stream_.log().state().last_seq : recorded_seq_));
  for (const auto& source : sources_) {
    if ((!source->known && !source->recorded) || (changed_only && !source->changed)) continue;
    out->append(absl::StrFormat("%d %s %s\n", source->at.seq,
                                source->at.identity.empty() ? "-" : source->at.identity, source->index_name));
  }
}

void StreamSources::ReadRecord(std::string_view text, Record* record) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view first = NextWord(&line);
    const std::string_view second = NextWord(&line);
    uint64_t number = 0;
    if (first == "own") {
      if (ReadNumber(second, &number)) record->own_seq = number;
    } else if (ReadNumber(first, &number)) {
      record->positions[std::string(line)] = Position{number, second == "-" ? std::string() : std::string(second)};
    }
  }
}

void StreamSources::KeepRecord() {
  const auto is_changed = [](const auto& source) { return source->changed; };
  const bool changed = std::any_of(sources_.begin(), sources_.end(), is_changed);
  if (!changed) return;
  std::string text;
  WriteRecord(/*changed_only=*/true, &text);
  stream_.KeepSources(text);
  for (const auto& source : sources_) source->changed = false;
}

}  // namespace millrace
