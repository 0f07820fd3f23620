// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/backup/stream_restore.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/versioning.h"
#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr Nanos kStalledAfter = std::chrono::seconds(5);
constexpr size_t kWaitingBytesMax = 64 << 20;
constexpr std::string_view kConsumerPrefix = "consumers/";

// The sums must fit together, or sequences below would not.
std::string CheckState(const StreamState& state) {
  if (state.consumer_count < 0) return "invalid stream state: negative consumer count";
  constexpr std::string_view kInconsistent = "invalid stream state: inconsistent message count or sequence range";
  if (state.first_seq == 0) {
    if (state.last_seq != 0 || state.messages != 0) return std::string(kInconsistent);
  } else if (state.first_seq > state.last_seq) {
    if (state.first_seq - 1 != state.last_seq || state.messages != 0) return std::string(kInconsistent);
  } else if (state.messages > state.last_seq - state.first_seq + 1) {
    return "invalid stream state: message count exceeds sequence range";
  }
  return "";
}

}  // namespace

StreamRestore::StreamRestore(StreamHost& host, StreamDirectory& directory, JetStreamAccount& owner, StreamConfig config,
                             std::optional<AdvisoryClient> client)
    : host_(host),
      directory_(directory),
      owner_(owner),
      config_(std::move(config)),
      client_(std::move(client)),
      start_ns_(host.port().WallNs()) {
  timer_.Bind<&StreamRestore::OnTimer>(this);
  subject_ = absl::StrFormat("$JS.SNAPSHOT.RESTORE.%s.%s", config_.name, NewEventId(host_.port()));
  subscription_ = host_.port().Subscribe(owner_.id(), subject_, this);
  active_at_ = host_.port().Now();
  host_.port().timers().Arm(&timer_, active_at_ + kStalledAfter);
}

StreamRestore::~StreamRestore() {
  Release(held_bytes_);
  host_.port().timers().Cancel(&timer_);
  host_.port().Unsubscribe(subscription_);
  if (!done_) {
    host_.work().RunLong(stream_uid_, [&directory = directory_, uid = stream_uid_] {
      if (Stream* unfinished = directory.streams().FindAwake(uid)) directory.DropStream(unfinished);
    });
  }
}

Stream* StreamRestore::stream() const {
  Stream* found = stream_uid_ == 0 ? nullptr : directory_.Find(owner_.id(), config_.name);
  return found != nullptr && found->uid() == stream_uid_ ? found : nullptr;
}

bool StreamRestore::Deliver(const Subscription& subscription, const Message& message) {
  if (waiting_bytes_ > kWaitingBytesMax) {
    overrun_ = true;
    return true;
  }
  chunks_.push_back(Chunk{std::string(message.reply), std::string(message.payload.substr(message.header_bytes))});
  waiting_bytes_ += chunks_.back().bytes.size();
  return true;
}

BackupStep StreamRestore::Run() {
  const Nanos now = host_.port().Now();
  if (completion_) return *completion_;
  if (overrun_)
    return Fail({}, absl::StrFormat("restore for stream '%s > %s' is overrun", owner_.name(), config_.name));
  while (!chunks_.empty()) {
    if (host_.Congested()) return BackupStep::kWaits;
    if (Stream* begun = stream(); begun != nullptr && !begun->Prepare()) return BackupStep::kMore;
    const Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    MR_CHECK_OP(waiting_bytes_, >=, chunk.bytes.size());
    waiting_bytes_ -= chunk.bytes.size();
    active_at_ = now;
    if (chunk.reply.empty()) {
      return Fail({}, absl::StrFormat("restore for stream '%s > %s' requires reply subject for each chunk",
                                      owner_.name(), config_.name));
    }
    if (chunk.bytes.empty()) return StartCompletion(chunk.reply);
    received_bytes_ += chunk.bytes.size();
    if (const std::string error = Take(chunk); !error.empty()) return Fail(chunk.reply, error);
    host_.replies().SendNow(owner_.id(), chunk.reply, {}, 0);
  }
  if (now - active_at_ >= kStalledAfter)
    return Fail({}, absl::StrFormat("restore for stream '%s > %s' is stalled", owner_.name(), config_.name));
  host_.port().timers().Arm(&timer_, active_at_ + kStalledAfter);
  return BackupStep::kWaits;
}

std::string StreamRestore::Take(const Chunk& chunk) {
  if (ended_) return "";  // what follows the end does not matter
  std::string plain;
  if (const absl::Status status = s2_.Read(chunk.bytes, &plain); !status.ok()) return std::string(status.message());
  if (form_ == Form::kUnknown) {
    preamble_ += plain;
    if (preamble_.size() < kArchiveMagic.size()) return "";
    form_ = preamble_.starts_with(kArchiveMagic) ? Form::kArchive : Form::kTar;
    plain = std::exchange(preamble_, {});
  }
  if (form_ == Form::kTar) {
    tar_.Add(plain);
    return TakeFiles();
  }
  archive_.Add(plain);
  return TakeEntries();
}

std::string StreamRestore::TakeEntries() {
  ArchiveEntry entry;
  while (!ended_) {
    switch (archive_.Read(&entry)) {
      case ArchiveReader::Next::kNeedMore:
        return "";
      case ArchiveReader::Next::kInvalid:
        return "archive: invalid archive stream";
      case ArchiveReader::Next::kEntry:
        break;
    }
    if (std::string error = TakeEntry(entry); !error.empty()) return error;
  }
  return "";
}

std::string StreamRestore::TakeEntry(const ArchiveEntry& entry) {
  if (!state_) return TakeState(entry);
  if (consumers_left_ > 0) return TakeConsumer(entry);
  if (entry.seq != 0) return TakeMessage(entry);
  if (!entry.is_end()) return "expected message sequence";
  ended_ = true;
  return "";
}

std::string StreamRestore::TakeState(const ArchiveEntry& entry) {
  if (entry.name != "state.json") return "expected state.json first";
  StreamState state;
  if (const std::string error = ParseJson(entry.body, &state); !error.empty()) return "error in state.json: " + error;
  if (const std::string error = CheckState(state); !error.empty()) return error;
  // All of it is set aside at once, so that nobody else takes the room meanwhile.
  if (std::optional<ApiError> error = directory_.CheckRestoredBytes(owner_, config_, state.bytes))
    return Refuse(*std::move(error));
  Hold(state.bytes);
  if (host_.storage().OutOfResources(config_.storage)) return RefuseForRoom();
  if (std::string error = MakeStream(); !error.empty()) return error;
  if (state.first_seq > 1) stream()->SkipTo(state.first_seq - 1);
  consumers_left_ = state.consumer_count;
  state_ = std::move(state);
  return "";
}

std::string StreamRestore::MakeStream() {
  const StreamDirectory::Made made = directory_.MakeStream(owner_, config_, /*pedantic=*/false,
                                                           StreamDirectory::Begin::kLater);
  if (made.error) return Refuse(*made.error);
  if (!made.created) return Refuse(MakeError(ApiErrorId::kStreamNameExistRestoreFailed));
  stream_uid_ = made.stream->uid();
  return "";
}

void StreamRestore::Hold(uint64_t bytes) {
  held_bytes_ += bytes;
  owner_.use().in_use(config_.storage)->Add(bytes);
}

void StreamRestore::Release(uint64_t bytes) {
  bytes = std::min(bytes, held_bytes_);
  MR_CHECK_OP(owner_.use().in_use(config_.storage)->bytes, >=, bytes);
  held_bytes_ -= bytes;
  owner_.use().in_use(config_.storage)->Take(bytes);
}

std::string StreamRestore::Refuse(ApiError error) {
  refusal_ = std::move(error);
  return refusal_->description;
}

std::string StreamRestore::RefuseForRoom() {
  return Refuse(MakeError(config_.storage == Storage::kMemory ? ApiErrorId::kMemoryResourcesExceeded
                                                              : ApiErrorId::kStorageResourcesExceeded));
}

std::string StreamRestore::TakeConsumer(const ArchiveEntry& entry) {
  if (!entry.name.starts_with(kConsumerPrefix))
    return absl::StrFormat("expected consumer, found \"%s\"", std::string(entry.name));
  const std::string name(entry.name.substr(kConsumerPrefix.size()));
  ConsumerSnapshot snapshot;
  if (const std::string error = ParseConsumerSnapshot(entry.body, &snapshot); !error.empty())
    return absl::StrFormat("failed to decode consumer \"%s\" state: %s", name, error);
  snapshot.config.name = name;
  if (std::any_of(consumers_.begin(), consumers_.end(),
                  [&name](const ConsumerSnapshot& other) { return other.config.name == name; })) {
    return absl::StrFormat("consumer \"%s\" is there twice", name);
  }
  MR_CHECK(consumers_left_ > 0);
  consumers_.push_back(std::move(snapshot));
  --consumers_left_;
  return "";
}

std::string StreamRestore::TakeMessage(const ArchiveEntry& entry) {
  Stream* to = stream();
  if (to == nullptr) return "stream is gone";
  const size_t bytes = entry.header.size() + entry.body.size();
  if (bytes > host_.options().max_payload)
    return absl::StrFormat("message sequence %d exceeds maximum payload size", entry.seq);
  if (config_.max_msg_size >= 0 && bytes > static_cast<size_t>(config_.max_msg_size))
    return absl::StrFormat("message sequence %d exceeds maximum message size", entry.seq);
  if (entry.seq <= to->log().state().last_seq)
    return absl::StrFormat("message sequence %d out of order", entry.seq);
  const bool memory = config_.storage == Storage::kMemory;
  const uint64_t stored_bytes = MessageBytes(memory, entry.name.size(), entry.header.size(), bytes);
  const bool more = stored_bytes > held_bytes_;
  if (more) Hold(stored_bytes - held_bytes_);
  const bool refused = more ? host_.storage().OutOfResources(config_.storage) : !memory && !host_.store().accepting();
  if (refused) return RefuseForRoom();
  StoredMessage message;
  message.seq = entry.seq;
  message.time_ns = entry.time_ns;
  message.subject = entry.name;
  message.header_bytes = static_cast<uint32_t>(entry.header.size());
  std::string joined;
  message.payload = entry.body;
  if (!entry.header.empty()) message.payload = joined.append(entry.header).append(entry.body);
  MR_DCHECK(held_bytes_ >= stored_bytes);
  to->Restore(message);
  Release(stored_bytes);
  return "";
}

// The engine ends its tasks before its backups.
BackupStep StreamRestore::StartCompletion(std::string reply) {
  MR_CHECK(!completion_ && !done_);
  completion_ = BackupStep::kMore;
  host_.work().RunLong(stream_uid_, [this, reply = std::move(reply)] {
    const std::string error = Complete();
    completion_ = error.empty() ? Succeed(reply) : Fail(reply, error);
  });
  return *completion_;
}

std::string StreamRestore::Complete() {
  Stream* restored = stream();
  if (!ended_ || restored == nullptr) return "backup was truncated";
  if (restored->log().state().last_seq < state_->last_seq) restored->SkipTo(state_->last_seq);
  if (restored->log().state().last_seq == 0) restored->log().Purge();  // one in which nothing ever was begins at 1 now
  for (const ConsumerSnapshot& snapshot : consumers_) directory_.RestoreConsumer(restored, snapshot);
  consumers_.clear();
  restored->FinishRestore();
  host_.readers().WakeReadersOf(owner_.id(), restored->name());
  return "";
}

void StreamRestore::AdviseComplete() {
  RestoreCompleteAdvisory advisory;
  advisory.stream = config_.name;
  advisory.start_ns = start_ns_;
  advisory.end_ns = host_.port().WallNs();
  advisory.bytes = static_cast<int64_t>(received_bytes_);
  advisory.client = client_;
  advisory.domain = host_.options().domain;
  host_.replies().Advise(owner_.id(), advisory);
}

BackupStep StreamRestore::Fail(const std::string& reply, const std::string& error) {
  AdviseComplete();
  host_.port().log().Warn(
      absl::StrFormat("Restore failed for stream '%s > %s': %s", owner_.name(), config_.name, error));
  if (!reply.empty()) {
    const std::string answer = ErrorAnswer(
        ResponseKind::kStreamCreate, refusal_ ? *refusal_ : MakeErrorText(ApiErrorId::kStreamRestore, error));
    host_.replies().SendNow(owner_.id(), reply, answer, 0);
  }
  return BackupStep::kDone;
}

BackupStep StreamRestore::Succeed(const std::string& reply) {
  done_ = true;
  MR_CHECK(stream() != nullptr && stream()->started());
  Stream& restored = *stream();
  AdviseComplete();
  host_.port().log().Info(absl::StrFormat("Completed restore of stream '%s > %s'", owner_.name(), config_.name));
  StreamInfo info;
  info.config = WithDynamicMetadata(restored.config());
  info.created_ns = restored.created_ns();
  info.state = restored.State(nullptr);
  info.ts_ns = host_.port().WallNs();
  host_.replies().SendWhenDurable(restored.log().options(), owner_.id(), reply, StreamCreateAnswer(info, false),
                                  0);
  for (const auto& [name, consumer] : restored.consumers()) host_.deliveries().DeliverWhenAnswered(consumer.get());
  return BackupStep::kDone;
}

}  // namespace millrace
