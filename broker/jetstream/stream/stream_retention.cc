// SPDX-License-Identifier: Apache-2.0
// How messages leave a stream: limits, retention, purge, deletion; and what is told of a stream's content.
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/base/sort_in_slices.h"
#include "broker/jetstream/stream/stream.h"
#include "broker/json/go_format.h"
#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {
namespace {

// Of a pace.
constexpr uint64_t kMessageUnits = 10;
constexpr uint64_t kFindUnits = 4;

}  // namespace

Lsn Stream::RemoveMessage(uint64_t seq, std::string_view subject, StreamLog::Erase erase) {
  MR_DCHECK(MayChange() && seq <= log_->state().last_seq);
  const Lsn lsn = log_->Remove(seq, erase);
  for (auto& [name, consumer] : consumers()) consumer->OnRemoved(seq, subject);
  return lsn;
}

Lsn Stream::TrimBelow(uint64_t seq) {
  MR_CHECK(MayChange() && seq <= log_->state().last_seq + 1);
  const Lsn lsn = log_->TrimBelow(seq);
  TellPurged({});
  return lsn;
}

void Stream::TellPurged(std::string_view filter) {
  const StreamLogState& state = log_->state();
  for (auto& [name, consumer] : consumers()) consumer->OnPurged(filter, state.first_seq, state.last_seq);
}

// `subject`: of the message that has just come; empty: look at the limits of the whole stream only.
void Stream::EnforceLimits(std::string_view subject) {
  if (config_.max_msgs_per_subject > 0 && !subject.empty()) {
    while (true) {
      const std::optional<SubjectState> state = log_->FindSubject(subject);
      if (!state || state->messages <= static_cast<uint64_t>(config_.max_msgs_per_subject)) break;
      RemoveMessage(state->first_seq, subject);
    }
  }
  if (config_.discard == Discard::kNew) return;
  const bool many = config_.max_bytes > 0 &&
                    log_->state().bytes > static_cast<uint64_t>(config_.max_bytes) + kLargeBytes;
  if (many) return DropBeyondLimits();
  const auto over = [this] {
    const StreamLogState& state = log_->state();
    return state.messages > 0 &&
           ((config_.max_msgs > 0 && state.messages > static_cast<uint64_t>(config_.max_msgs)) ||
            (config_.max_bytes > 0 && state.bytes > static_cast<uint64_t>(config_.max_bytes)));
  };
  const bool filtered = HasFilteredConsumers();
  while (over()) {
    const uint64_t first = log_->state().first_seq;
    MR_DCHECK(MayChange() && first <= log_->state().last_seq);
    StoredMessage message;
    std::string oldest;
    if (filtered && log_->Load(first, &message) == LoadStatus::kFound) oldest = message.subject;
    log_->TrimBelow(first + 1);
    for (auto& [name, consumer] : consumers()) consumer->OnRemoved(first, oldest);
  }
}

// Limits have become lower, or one message has taken the place of many.
void Stream::DropBeyondLimits() {
  if (config_.discard == Discard::kNew) return;
  const uint64_t messages = config_.max_msgs > 0 ? static_cast<uint64_t>(config_.max_msgs) : UINT64_MAX;
  const uint64_t bytes = config_.max_bytes > 0 ? static_cast<uint64_t>(config_.max_bytes) : UINT64_MAX;
  MR_CHECK(MayChange());
  if (log_->state().messages <= messages && log_->state().bytes <= bytes) return;
  log_->TrimBelow(log_->FirstWithin(messages, bytes));
  MR_CHECK(log_->state().messages <= messages && log_->state().bytes <= bytes);
  TellRemoved();
}

void Stream::DropBeyondSubjectLimit() {
  if (config_.max_msgs_per_subject <= 0) return;
  const std::vector<uint64_t> seqs = log_->OlderThanLast(static_cast<uint64_t>(config_.max_msgs_per_subject));
  if (seqs.empty()) return;
  MR_CHECK(MayChange() && std::is_sorted(seqs.begin(), seqs.end()));
  log_->RemoveMany(seqs);
  TellRemoved();
}

// Interest counts from now on. Without consumers everything goes; with some, what they have acknowledged. What none of
// them reads stays, as at the peer.
void Stream::DropWithoutInterest() {
  uint64_t through = consumers().empty() ? UINT64_MAX : 0;
  for (auto& [name, consumer] : consumers()) through = std::max(through, consumer->ack_floor());
  RemoveUnneeded(through);
}

void Stream::TellRemoved() {
  for (auto& [name, consumer] : consumers()) consumer->OnManyRemoved();
}

bool Stream::NobodyNeeds(uint64_t seq, std::string_view subject, const Consumer* but) const {
  const bool needed = std::any_of(consumers().begin(), consumers().end(), [&](const auto& item) {
    return item.second.get() != but && item.second->NeedsAck(seq, subject);
  });
  return !needed && !host_.readers().Need(*this, seq, subject);
}

// A consumer has gone, or interest counts from now on: what nobody needs goes, up to a sequence.
void Stream::RemoveUnneeded(uint64_t through) {
  MR_CHECK(config_.retention == Retention::kInterest && MayChange());
  std::vector<uint64_t> seqs;
  StoredMessage message;
  for (uint64_t seq = log_->Next({}, 0); seq != 0 && seq <= through; seq = log_->Next({}, seq + 1)) {
    if (log_->Load(seq, &message) != LoadStatus::kFound) continue;
    if (NobodyNeeds(seq, message.subject, nullptr)) seqs.push_back(seq);
    Tick(&pace_, kMessageUnits);
  }
  log_->RemoveMany(seqs);
  TellPurged({});
}

uint64_t Stream::Purge(const StreamPurgeRequest& request, Lsn* lsn) {
  MR_CHECK(MayChange());
  *lsn = 0;
  if (request.seq == 1) return 0;  // "below 1" is nothing
  const uint64_t before = log_->state().messages;
  const bool everything = request.filter.empty() || request.filter == ">";
  if (everything && request.keep == 0 && request.seq == 0) {
    *lsn = log_->Purge();
  } else if (everything && request.keep == 0) {
    const uint64_t last = log_->state().last_seq;
    *lsn = log_->TrimBelow(request.seq);
    if (request.seq > log_->state().last_seq + 1) *lsn = log_->SkipTo(request.seq - 1);
    if (log_->state().last_seq > last) OnStaged(*lsn);
  } else {
    const Filters filters = everything ? Filters{} : Filters{request.filter};
    uint64_t count = log_->Count(filters, 0, false);
    if (request.keep > 0) count = count > request.keep ? count - request.keep : 0;
    const uint64_t below = request.seq > 0 ? request.seq : UINT64_MAX;
    std::vector<uint64_t> seqs;
    for (uint64_t seq = log_->Next(filters, 0); seq != 0 && seq < below && seqs.size() < count;
         seq = log_->Next(filters, seq + 1)) {
      seqs.push_back(seq);
      Tick(&pace_, kFindUnits);
    }
    StoredMessage message;
    if (seqs.size() == 1 && log_->LoadNow(seqs[0], &message) == LoadStatus::kFound) {
      *lsn = RemoveMessage(seqs[0], std::string(message.subject));  // consumers say so of a single one, as the peer's
    } else if (!seqs.empty()) {
      *lsn = log_->RemoveMany(seqs);
    }
  }
  MR_CHECK_OP(log_->state().messages, <=, before);
  const uint64_t purged = before - log_->state().messages;
  if (purged == 0) return 0;
  TellPurged(everything ? std::string_view{} : std::string_view(request.filter));
  return purged;
}

bool Stream::Delete(uint64_t seq, bool erase, Lsn* lsn) {
  StoredMessage message;
  const LoadStatus status = log_->Load(seq, &message);
  if (status == LoadStatus::kAbsent) return false;
  const std::string subject(status == LoadStatus::kFound ? message.subject : std::string_view{});
  if (erase && ids_ != nullptr) ids_->KeepOutOfLog(seq);
  *lsn = RemoveMessage(seq, subject, erase ? StreamLog::Erase::kYes : StreamLog::Erase::kNo);
  return true;
}

void Stream::MakeIds() {
  MR_CHECK(ids_ == nullptr);
  const bool kept = config_.storage == Storage::kFile;  // what memory streams had is gone, and may come again
  ids_ = std::make_unique<MessageIds>(port(), host_.store(), host_.records(), uid(), kept);
  ids_->set_window(config_.duplicate_window_ns);
}

void Stream::RestoreIds(std::vector<MessageIds::Record> records, std::vector<SeenHeader> logged) {
  MR_CHECK(!started_);
  MakeIds();
  ids_->Restore(records, std::move(logged));
}

// Of messages that were there before ids were recorded (of an older version, or a backup) the messages themselves tell.
void Stream::PrepareIds() {
  MR_CHECK(ids_ == nullptr || !ids_->ready);
  if (ids_ == nullptr) MakeIds();
  ids_->ready = true;
  StoredMessage message;
  const uint64_t last = log_->state().last_seq;
  if (last > 0 && log_->LoadNow(last, &message) == LoadStatus::kFound)
    ids_->last = FindHeader(message.header(), kMsgIdHeader).value_or("");
  if (ids_->complete()) return;
  std::vector<SeenHeader> found;
  if (had_messages_ && config_.duplicate_window_ns > 0) {
    for (uint64_t seq = log_->FirstAtOrAfter(port().WallNs() - config_.duplicate_window_ns); seq != 0 && seq <= last;
         seq = log_->Next({}, seq + 1)) {
      if (log_->LoadNow(seq, &message) != LoadStatus::kFound || message.header_bytes == 0) continue;
      const std::optional<std::string_view> id = FindHeader(message.header(), kMsgIdHeader);
      if (id && !id->empty()) found.push_back({HashHeader(*id), seq, message.time_ns});
    }
  }
  ids_->AddFound(found);
}

void Stream::NoteMessageId(std::string_view id, uint64_t seq, int64_t time_ns, MessageIds::InLog in_log) {
  if (!id.empty()) {
    ids().Add(id, seq, time_ns, in_log);
    ids().last = id;
  } else if (ids_ != nullptr) {
    ids_->last.clear();
  }
}

void Stream::NoteLost(const std::vector<LostRange>& ranges) {
  constexpr size_t kListedMax = 100'000;
  if (ranges.empty()) return;
  std::vector<uint64_t>& list = lost_.emplace().msgs;
  for (const LostRange& range : ranges) {
    MR_CHECK_OP(range.first_seq, <=, range.last_seq);
    for (uint64_t seq = range.first_seq; seq <= range.last_seq && list.size() < kListedMax; ++seq) list.push_back(seq);
  }
}

StreamState Stream::State(const StreamInfoRequest* details) const {
  const StreamLogState& log = log_->state();
  StreamState state;
  state.messages = log.messages;
  state.bytes = log.bytes;
  state.first_seq = log.first_seq;
  if (log.messages > 0) state.first_ts_ns = log.first_time_ns;
  state.last_seq = log.last_seq;
  if (log.last_time_ns != 0) state.last_ts_ns = log.last_time_ns;
  state.num_subjects = static_cast<int64_t>(log.subjects);
  state.num_deleted = static_cast<int64_t>(log.deleted());
  state.consumer_count = static_cast<int64_t>(public_consumers());
  if (lost_) state.lost = *lost_;
  if (details != nullptr && details->deleted_details) state.deleted = log_->Deleted(SIZE_MAX);
  return state;
}

std::string Stream::Subjects(const std::string& filter, int64_t offset, int64_t max, int64_t* total) {
  std::vector<std::pair<std::string_view, uint64_t>> found;  // views of the index, which does not change meanwhile
  log_->ForEachSubject({filter}, [&](std::string_view subject, const SubjectState& state) {
    // What is not filled costs nothing; growing would be a long step.
    if (found.empty()) found.reserve(log_->state().subjects);
    found.emplace_back(subject, state.messages);
    return true;
  });
  SortInSlices(&found, [](const auto& a, const auto& b) { return a.first < b.first; }, pace());
  *total = static_cast<int64_t>(found.size());
  const int64_t from = std::min(offset, *total);
  std::string json;
  for (int64_t i = from; i < std::min(*total, from + max); ++i) {
    json.push_back(json.empty() ? '{' : ',');
    AppendGoJsonString(found[static_cast<size_t>(i)].first, &json);
    json.append(":").append(std::to_string(found[static_cast<size_t>(i)].second));
    Tick(pace(), kFindUnits);
  }
  if (!json.empty()) json.push_back('}');
  return json;
}

}  // namespace millrace
