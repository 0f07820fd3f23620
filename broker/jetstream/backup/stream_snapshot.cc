// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/backup/stream_snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/archive/archive.h"
#include "broker/jetstream/archive/consumer_snapshot.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr int64_t kChunkBytesDefault = 128 << 10;
constexpr int64_t kChunkBytesMax = 1 << 20;
constexpr int64_t kWindowBytesDefault = 8 << 20;
constexpr int64_t kWindowBytesMax = 32 << 20;
constexpr int64_t kBytesMin = 1024;
constexpr Nanos kAckTimeout = std::chrono::seconds(5);
constexpr Nanos kInterestTimeout = std::chrono::seconds(2);
constexpr size_t kRawBytesPerTurn = 1 << 20;

int64_t OrDefault(int64_t value, int64_t otherwise) { return value == 0 ? otherwise : value; }

}  // namespace

StreamSnapshot::StreamSnapshot(StreamHost& host, StreamDirectory& directory, Stream& stream,
                               StreamSnapshotRequest request, StreamState state, std::optional<AdvisoryClient> client)
    : host_(host),
      directory_(directory),
      owner_(stream.owner()),
      stream_name_(stream.name()),
      stream_uid_(stream.uid()),
      request_(std::move(request)),
      state_(std::move(state)),
      client_(std::move(client)),
      start_ns_(host.port().WallNs()) {
  timer_.Bind<&StreamSnapshot::OnTimer>(this);
  const int64_t chunk = std::clamp(OrDefault(request_.chunk_size, kChunkBytesDefault), kBytesMin, kChunkBytesMax);
  const int64_t window = std::clamp(OrDefault(request_.window_size, kWindowBytesDefault), kBytesMin, kWindowBytesMax);
  chunk_bytes_ = static_cast<size_t>(chunk);
  slots_ = static_cast<uint64_t>(std::max(window, chunk) / chunk);
  MR_CHECK(chunk_bytes_ > 0 && slots_ > 0);
  ack_subject_ = absl::StrFormat("$JS.SNAPSHOT.ACK.%s.%s", stream_name_, NewEventId(host_.port()));
  acks_ = host_.port().Subscribe(owner_.id(), ack_subject_ + ".>", this);
  started_at_ = sent_at_ = host_.port().Now();
  host_.port().timers().Arm(&timer_, started_at_ + kInterestTimeout);
}

StreamSnapshot::~StreamSnapshot() {
  host_.port().timers().Cancel(&timer_);
  if (acks_ != nullptr) host_.port().Unsubscribe(acks_);
}

bool StreamSnapshot::Deliver(const Subscription& subscription, const Message& message) {
  ++slots_;
  return true;
}

// What comes before the messages.
void StreamSnapshot::WriteStart(const Stream& stream) {
  MR_CHECK(!started_ && stream.uid() == stream_uid_);
  const int64_t now_ns = host_.port().WallNs();
  std::string raw(kArchiveMagic);
  std::vector<std::pair<std::string, std::string>> consumers;
  if (!request_.no_consumers) {
    for (const auto& [name, consumer] : stream.consumers()) {
      if (consumer->hidden()) continue;
      ConsumerSnapshot snapshot;
      consumer->Export(state_.last_seq, &snapshot);
      consumers.emplace_back("consumers/" + name, PrintConsumerSnapshot(snapshot));
    }
  }
  StreamState state = state_;
  state.consumer_count = static_cast<int64_t>(consumers.size());
  AppendArchiveEntry({"state.json", now_ns, 0, {}, PrintJson(state)}, &raw);
  for (const auto& [name, json] : consumers) AppendArchiveEntry({name, now_ns, 0, {}, json}, &raw);
  writer_.Write(raw, &out_);
  next_seq_ = std::max<uint64_t>(state_.first_seq, 1);
  started_ = true;
}

StreamSnapshot::Fill StreamSnapshot::FillChunk(Stream* stream) {
  if (!started_) WriteStart(*stream);
  StreamLog& log = stream->log();
  std::string raw;
  size_t bytes = 0;
  while (!finished_ && out_.size() < chunk_bytes_) {
    if (bytes >= kRawBytesPerTurn) return Fill::kMore;
    raw.clear();
    const uint64_t seq = log.Next({}, next_seq_);
    if (seq == 0 || seq > state_.last_seq) {
      AppendArchiveEntry({}, &raw);
      writer_.Write(raw, &out_);
      writer_.Flush(&out_);
      finished_ = true;
      break;
    }
    StoredMessage message;
    MR_CHECK_OP(seq, >=, next_seq_);
    const LoadStatus status = log.Load(seq, &message);
    if (status == LoadStatus::kPending) return Fill::kLoading;
    next_seq_ = seq + 1;
    if (status != LoadStatus::kFound) continue;
    AppendArchiveEntry({message.subject, message.time_ns, seq, message.header(), message.body()}, &raw);
    bytes += raw.size();
    writer_.Write(raw, &out_);
  }
  return Fill::kReady;
}

void StreamSnapshot::Send(std::string_view payload, uint32_t header_bytes, std::string_view reply) {
  Outgoing out;
  out.account = owner_.id();
  out.deliver_to = request_.deliver_subject;
  out.reply = reply;
  out.payload = payload;
  out.header_bytes = header_bytes;
  congested_ = host_.port().Publish(out) == Sent::kCongested;
  if (congested_) congested_by_ = host_.port().congested_by();
}

// A whole chunk. False: there is none.
bool StreamSnapshot::SendChunk() {
  if (out_.size() < chunk_bytes_) return false;
  MR_CHECK(slots_ > 0);
  --slots_;
  ++chunks_;
  Send(std::string_view(out_).substr(0, chunk_bytes_), 0,
       absl::StrFormat("%s.%d.%d", ack_subject_, chunk_bytes_, chunks_));
  out_.erase(0, chunk_bytes_);
  sent_at_ = host_.port().Now();
  host_.port().timers().Arm(&timer_, sent_at_ + kAckTimeout);
  return true;
}

BackupStep StreamSnapshot::Run() {
  const Nanos now = host_.port().Now();
  // Of exactly this subject: clients that listen to all of their inbox subscribe to it after the answer, and chunks
  // that come before would be lost to them. Who listens with a wildcard only gets them after a while.
  if (host_.port().HasSubscription(owner_.id(), request_.deliver_subject, {})) {
    if (!std::exchange(had_interest_, true)) sent_at_ = now;
  } else if (had_interest_) {
    return Finish("no interest", "NATS/1.0 408 No Interest\r\n\r\n");
  } else if (now - started_at_ < kInterestTimeout) {
    return BackupStep::kWaits;
  }
  Stream* stream = directory_.Find(owner_.id(), stream_name_);
  if (stream == nullptr || stream->uid() != stream_uid_)
    return Finish("stream is gone", "NATS/1.0 500 stream is gone\r\n\r\n");
  if (stream->MustWait()) return BackupStep::kMore;
  while (slots_ > 0) {
    if (congested_ && !host_.port().Relieved(congested_by_)) return BackupStep::kWaits;
    const Fill fill = FillChunk(stream);
    if (fill == Fill::kMore) return BackupStep::kMore;
    if (fill == Fill::kLoading) return BackupStep::kWaits;
    if (SendChunk()) continue;
    // The last piece needs no answer.
    if (!out_.empty()) Send(out_, 0, {});
    return Finish({}, chunks_ > 0 ? "NATS/1.0 204\r\n\r\n" : "");
  }
  if (now - sent_at_ >= kAckTimeout) return Finish("no flow response", "NATS/1.0 408 No Flow Response\r\n\r\n");
  host_.port().timers().Arm(&timer_, sent_at_ + kAckTimeout);
  return BackupStep::kWaits;
}

BackupStep StreamSnapshot::Finish(std::string_view error, std::string_view status) {
  Send(status, static_cast<uint32_t>(status.size()), {});
  SnapshotCompleteAdvisory advisory;
  advisory.stream = stream_name_;
  advisory.start_ns = start_ns_;
  advisory.end_ns = host_.port().WallNs();
  advisory.client = client_;
  advisory.domain = host_.options().domain;
  advisory.error = error;
  host_.replies().Advise(owner_.id(), advisory);
  if (error.empty()) {
    host_.port().log().Info(
        absl::StrFormat("Completed snapshot of stream '%s > %s'", owner_.name(), stream_name_));
  } else {
    host_.port().log().Warn(absl::StrFormat("Snapshot for stream '%s > %s' failed: %s", owner_.name(),
                                            stream_name_, std::string(error)));
  }
  return BackupStep::kDone;
}

}  // namespace millrace
