// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/jetstream.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "broker/jetstream/engine/banner.h"
#include "broker/jetstream/api_server/jetstream_api.h"
#include "broker/jetstream/api/stored_config.h"
#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kApiPrefix = "$JS.API.";
constexpr std::string_view kApiFilter = "$JS.API.>";
constexpr std::string_view kAckFilter = "$JS.ACK.>";
constexpr std::string_view kFlowControlFilter = "$JS.FC.>";

// In the place of a consumer's configuration: this record of the store holds positions of sources.
constexpr std::string_view kSourceRecord = "sources";

// What one turn does at most, so that everybody else gets theirs.
constexpr size_t kRequestsPerTurn = 64;
constexpr int64_t kMessagesPerTurn = 4096;
constexpr int64_t kBytesPerTurn = 1 << 20;
constexpr size_t kAnswerBytesPerTurn = 1 << 20;
constexpr int64_t kMessagesPerConsumer = 512;

constexpr Nanos kTellLimitEvery = std::chrono::seconds(10);


bool IsStored(const ConsumerConfig& config) { return !config.direct && !config.mem_storage; }

constexpr std::string_view kNoResponders = "NATS/1.0 503\r\n\r\n";

}  // namespace

JetStream::JetStream(JetStreamPort& port, ShardStore& store, JetStreamEngineOptions options)
    : port_(port),
      store_(store),
      options_(std::move(options)),
      tasks_([this] { return port_.Clock(); }),
      streams_(*this, store, options_.streams) {
  store_.set_listener(this);
  store_.set_consumers(this);
}

JetStream::~JetStream() {
  tasks_.Finish([this](uint64_t uid) { OnTaskEnded(uid); });
  backups_.Stop();
  streams_.Stop(StopReason::kServerShutdown);
  for (Subscription* subscription : subscriptions_) port_.Unsubscribe(subscription);
}

void JetStream::Start() {
  MR_CHECK(!std::exchange(started_, true) && !stopping_);
  Adopt();
  for (const std::string_view filter : {kApiFilter, kAckFilter, kFlowControlFilter})
    subscriptions_.push_back(port_.Subscribe(kGlobalAccount, filter, this));
  if (!options_.domain.empty()) {
    domain_prefix_ = "$JS." + options_.domain + ".API.";
    subscriptions_.push_back(port_.Subscribe(kGlobalAccount, domain_prefix_ + ">", this));
  }
  streams_.ForEachAwake([](Stream& stream) {
    if (!stream.started()) stream.Start();
  });
#ifndef NDEBUG
  Invariant();
#endif
}

// Streams and consumers as the store has found them.
void JetStream::Adopt() {
  Recovered& recovered = store_.recovered();
  absl::flat_hash_set<uint64_t> with_consumers;
  absl::flat_hash_map<uint64_t, std::vector<MessageIds::Record>> ids;
  for (RecoveredConsumer& consumer : recovered.consumers) {
    if (consumer.config == kIdsRecord) {
      ids[consumer.stream_uid].push_back({consumer.uid, std::move(consumer.state), std::move(consumer.deltas)});
    } else {
      with_consumers.insert(consumer.stream_uid);
    }
  }
  for (RecoveredStream& found : recovered.streams) {
    int64_t created_ns = 0;
    StreamConfig config;
    Applied applied = Applied::kWhole;
    if (!ReadStored(found.config, &created_ns, &config, &applied)) {
      port_.log().Error(absl::StrFormat("JetStream: the configuration of stream %d cannot be read; it is kept, and not "
                                        "served", found.uid));
      continue;
    }
    if (!found.damage.empty())
      port_.log().Warn(absl::StrFormat("JetStream: stream '%s > %s': %s", "$G", config.name, found.damage));
    for (const LostRange& lost : found.lost) {
      port_.log().Error(absl::StrFormat("JetStream: stream '%s > %s' has lost messages %d to %d", "$G", config.name,
                                        lost.first_seq, lost.last_seq));
    }
    port_.log().Info(RestoreStartsLine("$G", config.name));
    Stream* stream = streams_.Add(
        std::make_unique<Stream>(*this, std::move(config), created_ns, store_.FindStream(found.uid)));
    stream->NoteLost(found.lost);
    if (applied == Applied::kPartly) stream->NoteUnfinishedUpdate();
    // The store has done the work before; what is left takes no time.
    port_.log().Info(RestoredLine("$G", stream->name(), stream->log().state().messages, 0));
    List(stream);
    const auto found_ids = ids.find(found.uid);
    const bool has_ids = found_ids != ids.end();
    if (has_ids || !found.seen.empty())
      stream->RestoreIds(has_ids ? std::move(found_ids->second) : std::vector<MessageIds::Record>(),
                         std::move(found.seen));
    // One of very many, that reads no other: it is at rest until somebody uses it.
    const bool reads = stream->config().mirror || !stream->config().sources.empty();
    std::string().swap(found.config);
    if (reads || with_consumers.contains(found.uid) || !streams_.crowded()) continue;
    stream->Start();
    streams_.TryRest(stream);
  }
  for (const RecoveredConsumer& found : recovered.consumers) {
    if (found.config == kIdsRecord) continue;
    Stream* stream = streams_.FindAwake(found.stream_uid);
    if (stream != nullptr && found.config == kSourceRecord) {
      source_records_[found.uid] = stream;
      stream->RestoreSources(found.state);
      for (const std::string& delta : found.deltas) stream->RestoreSources(delta);
      continue;
    }
    int64_t created_ns = 0;
    ConsumerConfig config;
    if (stream == nullptr || !ReadStored(found.config, &created_ns, &config)) continue;
    if (!IsStored(config)) {  // a store from when it was
      store_.DeleteConsumer(found.uid);
      continue;
    }
    std::string name = config.name;
    Consumer* consumer =
        stream->AddConsumer(std::move(config), ConsumerIdentity{std::move(name), created_ns, found.uid});
    const std::vector<std::string_view> deltas(found.deltas.begin(), found.deltas.end());
    const absl::Status restored = consumer->RestoreState(found.state, deltas);
    if (!restored.ok()) {
      port_.log().Error(absl::StrFormat("JetStream: state of consumer '%s > %s > %s': %s", "$G",
                                        stream->name(), consumer->name(), std::string(restored.message())));
    }
    MR_CHECK(consumers_by_uid_.emplace(found.uid, consumer).second);
  }
  streams_.ForEachAwake([this](Stream& stream) {
    if (const size_t count = stream.consumers().size(); count > 0)
      port_.log().Info(ConsumersRecoverLine("$G", stream.name(), count));
  });
  std::vector<RecoveredStream>().swap(recovered.streams);
  std::vector<RecoveredConsumer>().swap(recovered.consumers);
}

// ---- the turn ------------------------------------------------------------------------------------------------------

bool JetStream::RunTurn() {
  MR_DCHECK(started_ && tasks_.owner() == LongTasks::kNobody);
  tasks_.BeginTurn();
  port_.DeliverKept();  // of timers
  if (store_.NextTick() <= port_.Now()) store_.OnTick(port_.Now());
  if (loaded_) AnswerParked();
  AnswerRequests();
  tasks_.Run([this](uint64_t uid) { OnTaskEnded(uid); });
  ReleaseDurable();
  const bool pulling = readers_.Run();
  const bool backing_up = backups_.Run();
  LookAtInterest();
  Release(&immediate_, 0);  // an answer comes before what it releases
  DeliverReady();
  DeleteConsumers();
  // Answers and deliveries may have caused more of both.
  Release(&immediate_, 0);
  port_.DeliverKept();
  // Loads that were asked for are told of to streams that are awake.
  const bool resting = !stopping_ && parked_.empty() && late_acks_.empty() && streams_.LetRest();
  store_.EndTurn(port_.Now());
  ++turn_;
  const bool copying = pulling || backing_up;
  const bool answers = !requests_.empty() || !immediate_.empty() || !tasks_.idle();
  return copying || resting || answers || !ready_.empty() || durable_moved_ || loaded_ ||
         erasing_.Due(store_.erased()) || store_.HasWork();
}

void JetStream::StartStop() {
  if (std::exchange(stopping_, true)) return;
  MR_CHECK(tasks_.owner() == LongTasks::kNobody);
  tasks_.Finish([this](uint64_t uid) { OnTaskEnded(uid); });
  backups_.Stop();
  streams_.Stop(StopReason::kServerShutdown);
  for (Subscription* subscription : subscriptions_) port_.Unsubscribe(subscription);
  subscriptions_.clear();
  requests_.clear();
  parked_.clear();
  store_.StartClose();
}

void JetStream::AnswerRequests() {
  for (size_t i = 0; i < kRequestsPerTurn && !requests_.empty() && (i == 0 || !tasks_.spent()); ++i) {
    ApiRequest request = std::move(requests_.front());
    requests_.pop_front();
    Run(std::move(request));
  }
}

void JetStream::Run(ApiRequest request) {
  MR_DCHECK(request.subject.starts_with(kApiPrefix));
  const Stream* stream = StreamFor(request);
  const size_t bytes = sizeof request + request.body.size();
  Enqueue(stream == nullptr ? kNoStream : stream->uid(), [this, request = std::move(request)] {
    if (!Handle(request)) parked_.push_back(request);
  }, bytes);
}

void JetStream::AnswerParked() {
  loaded_ = false;
  for (ApiRequest& request : std::exchange(parked_, {})) Run(std::move(request));
  for (const auto& [uid, seq] : std::exchange(late_acks_, {})) {
    RunLong(uid, [this, uid, seq] {
      if (Stream* stream = streams_.FindAwake(uid)) stream->OnAcked(nullptr, seq);
    });
  }
  for (const Ready& waiting : std::exchange(loading_, {})) MarkReady(waiting.consumer, waiting.stream);
  readers_.WakeLoading();
}

void JetStream::ReleaseDurable() {
  durable_moved_ = false;
  const Lsn durable = store_.durable();
  while (!staged_.empty() && staged_.front().lsn <= durable) {
    // One that is at rest has had it.
    if (Stream* stream = streams_.FindAwake(staged_.front().stream_uid)) {
      if (MustWait(*stream)) [[unlikely]] {
        const auto hold = holds_.find(stream->uid());
        MR_CHECK(hold != holds_.end() && hold->second->visible_seq <= staged_.front().seq);
        hold->second->visible_seq = staged_.front().seq;
      } else {
        Show(stream, staged_.front().seq);
      }
    }
    staged_.pop_front();
  }
  Release(&immediate_, 0);
  Release(&durable_, durable);
  Release(&erasing_, store_.erased());
  std::erase_if(unanswered_, [durable](const Unanswered& answered) {
    if (answered.lsn > durable) return false;
    answered.consumer->OnAnswered();
    return true;
  });
}

void JetStream::Release(ReplyQueue* replies, Lsn durable) {
  const auto send = [this](AccountId account, std::string_view to, std::string_view payload, uint32_t header) {
    Publish(account, to, payload, header);
  };
  // What waits for nothing may be a batch of many messages; the next turn goes on with it.
  replies->Release(durable, send, replies == &immediate_ ? kAnswerBytesPerTurn : SIZE_MAX);
}

void JetStream::DeliverReady() {
  std::erase_if(congested_, [this](const Held& held) {
    if (!port_.Relieved(held.by)) return false;
    MarkReady(held.ready.consumer, held.ready.stream);
    return true;
  });
  deliver_budget_ = DeliverBudget{kMessagesPerTurn, kBytesPerTurn};
  std::vector<Ready> round = std::exchange(ready_, {});
  ready_set_.clear();
  for (size_t i = 0; i < round.size(); ++i) {
    const Ready ready = round[i];
    // Acknowledgements mark it ready all the time; it goes on when its receiver has drained.
    const bool waits = std::any_of(congested_.begin(), congested_.end(), [&ready](const Held& other) {
      return other.ready.consumer == ready.consumer;
    });
    if (ready.consumer == nullptr || waits) continue;
    if (deliver_budget_.empty() || MustWait(*ready.stream)) {
      MarkReady(ready.consumer, ready.stream);
    } else if (ready.stream->log().IsLarge()) {
      RunLong(ready.stream->uid(), [this, ready] { DeliverTo(ready); });
    } else {
      DeliverTo(ready);
    }
  }
}

void JetStream::DeliverTo(const Ready& ready) {
  MR_DCHECK(!MustWait(*ready.stream) && streams_.FindAwake(ready.stream->uid()) == ready.stream);
  const DeliverBudget before{std::min(deliver_budget_.messages, kMessagesPerConsumer), deliver_budget_.bytes};
  DeliverBudget share = before;
  const DeliverStatus status = ready.consumer->Deliver(&share);
  MR_DCHECK(share.messages <= before.messages && share.bytes <= before.bytes);
  deliver_budget_.messages -= before.messages - share.messages;
  deliver_budget_.bytes -= before.bytes - share.bytes;
  switch (status) {
    case DeliverStatus::kIdle:
      break;
    case DeliverStatus::kMore:
      MarkReady(ready.consumer, ready.stream);
      break;
    case DeliverStatus::kCongested:
      congested_.push_back(Held{ready, port_.congested_by()});
      break;
    case DeliverStatus::kLoading:
      loading_.push_back(ready);
      break;
  }
}

void JetStream::DeleteConsumers() {
  for (const Ready& gone : std::exchange(to_delete_, {})) {
    if (MustWait(*gone.stream)) {
      to_delete_.push_back(gone);
    } else {
      RunLong(gone.stream->uid(), [this, gone] { DeleteConsumer(gone.stream, gone.consumer); });
    }
  }
}

void JetStream::DeleteConsumer(Stream* stream, Consumer* consumer) {
  MR_CHECK(!MustWait(*stream) && stream->FindConsumer(consumer->name()) == consumer);
  const std::string name = consumer->name();
  const bool hidden = consumer->hidden();
  if (const ConsumerIdentity& identity = consumer->identity(); identity.persistent) {
    MR_CHECK(consumers_by_uid_.erase(identity.uid) == 1);
    store_.DeleteConsumer(identity.uid);
  }
  stream->RemoveConsumer(name, StopReason::kDeleted);
  if (!hidden) Advise(ConsumerActionAdvisory{stream->name(), name, AdvisoryAction::kDelete, options_.domain});
}

void JetStream::LookAtInterest() {
  if (interest_epoch_ == port_.InterestEpoch()) return;
  interest_epoch_ = port_.InterestEpoch();
  for (Consumer* consumer : push_consumers_) consumer->CheckInterest();
}

void JetStream::Publish(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes) {
  Outgoing out;
  out.account = account;
  out.deliver_to = to;
  out.payload = payload;
  out.header_bytes = header_bytes;
  port_.Publish(out);
}

// ---- what streams and consumers use --------------------------------------------------------------------------------

bool JetStream::OutOfResources(Storage storage, uint64_t more) {
  if (storage == Storage::kFile && !store_.accepting()) return true;
  const int64_t max = storage == Storage::kMemory ? options_.memory_max : options_.storage_max;
  if (streams_.used(storage) + more <= static_cast<uint64_t>(max)) [[likely]]
    return false;
  if (port_.Now() >= tell_limit_at_) {
    tell_limit_at_ = port_.Now() + kTellLimitEvery;
    port_.log().Error(absl::StrFormat("JetStream %s resource limits exceeded for server",
                                      storage == Storage::kMemory ? "memory" : "file"));
  }
  return true;
}

void JetStream::MarkReady(Consumer* consumer, Stream* stream) {
  if (ready_set_.insert(consumer).second) ready_.push_back(Ready{consumer, stream});
  MR_DCHECK(ready_.size() == ready_set_.size());
}

void JetStream::Forget(Consumer* consumer) {
  const auto is = [consumer](const Ready& ready) { return ready.consumer == consumer; };
  std::erase_if(ready_, is);
  ready_set_.erase(consumer);
  std::erase_if(congested_, [&is](const Held& held) { return is(held.ready); });
  push_consumers_.erase(consumer);
  std::erase_if(unanswered_, [consumer](const Unanswered& answered) { return answered.consumer == consumer; });
  std::erase_if(loading_, is);
  std::erase_if(to_delete_, is);
}

void JetStream::OnStaged(Stream* stream, Lsn lsn) {
  const uint64_t seq = stream->log().state().last_seq;
  if (lsn == 0) return stream->SetVisible(seq);
  MR_DCHECK(lsn <= store_.staged());
  // A task may have been paused between the log and here. What was staged meanwhile leaves first, so it waits for that.
  if (!staged_.empty()) lsn = std::max(lsn, staged_.back().lsn);
  // What is staged in one turn is submitted together: one entry. Across turns entries must not merge, or a stream that
  // is published to without a pause would never become visible.
  if (!staged_.empty() && staged_.back().turn == turn_ && staged_.back().stream_uid == stream->uid()) {
    MR_DCHECK(staged_.back().seq <= seq);
    staged_.back().lsn = lsn;
    staged_.back().seq = seq;
    return;
  }
  staged_.push_back(Staged{lsn, stream->uid(), seq, turn_});
}

void JetStream::SendNow(AccountId account, std::string_view to, std::string_view payload, uint32_t header_bytes) {
  MR_DCHECK(header_bytes <= payload.size());
  immediate_.Push(0, account, to, payload, header_bytes);
}

void JetStream::SendWhenDurable(Stream* stream, AccountId account, std::string_view to, std::string_view payload,
                                uint32_t header_bytes) {
  const StreamLogOptions& log = stream->log().options();
  if (log.memory || log.async) return SendNow(account, to, payload, header_bytes);
  durable_.Push(store_.staged(), account, to, payload, header_bytes);
}

void JetStream::ReplyToAck(Consumer* consumer, std::string_view reply) {
  durable_.Push(store_.staged(), kGlobalAccount, reply, {});
}

void JetStream::PersistConsumer(Stream* stream, Consumer* consumer, std::string_view delta) {
  MR_DCHECK(consumer->identity().persistent);
  store_.PutConsumerState(consumer->identity().uid, delta);
}

void JetStream::DeliverWhenAnswered(Consumer* consumer) {
  MR_DCHECK(unanswered_.empty() || unanswered_.back().lsn <= store_.staged());
  consumer->AwaitAnswer();
  unanswered_.push_back(Unanswered{store_.staged(), consumer});
}

void JetStream::DeleteLater(Stream* stream, Consumer* consumer) {
  MR_CHECK(!stopping_);
  to_delete_.push_back(Ready{consumer, stream});
}

void JetStream::AckLater(Stream* stream, uint64_t seq) { late_acks_.emplace_back(stream->uid(), seq); }

void JetStream::OnLoaded(Stream* stream) { loaded_ = true; }

void JetStream::OnStorage(StorageState state, std::string_view why) {
  const std::string text(why);
  switch (state) {
    case StorageState::kOk:
      return port_.log().Info("JetStream storage: " + text);
    case StorageState::kFull:
      port_.log().Error("JetStream resource limits exceeded for server: " + text);
      break;
    case StorageState::kFailed:
      port_.log().Error("JetStream storage has failed, messages are refused: " + text);
      break;
  }
  Advise(OutOfStorageAdvisory{options_.server_name, options_.server_id, {}, {}, options_.domain});
}

void JetStream::EncodeConsumer(uint64_t uid, std::string* out) {
  const auto it = consumers_by_uid_.find(uid);
  if (it != consumers_by_uid_.end()) return it->second->EncodeState(out);
  const auto ids = id_records_.find(uid);
  if (ids != id_records_.end()) return ids->second->EncodeRecord(uid, out);
  const auto record = source_records_.find(uid);
  if (record != source_records_.end()) record->second->EncodeSources(out);
}

void JetStream::KeepSources(Stream* stream, std::string_view changed) {
  if (stream->config().storage == Storage::kMemory) return;  // its messages are not kept either
  const auto of_stream = [stream](const auto& item) { return item.second == stream; };
  auto it = std::find_if(source_records_.begin(), source_records_.end(), of_stream);
  if (it == source_records_.end()) {
    Lsn lsn = 0;
    it = source_records_.emplace(store_.CreateConsumer(stream->uid(), kSourceRecord, &lsn), stream).first;
  }
  MR_DCHECK(streams_.FindAwake(stream->uid()) == stream);
  store_.PutConsumerState(it->first, changed);
}

void JetStream::ForgetSources(Stream* stream) {
  for (auto it = source_records_.begin(); it != source_records_.end();) {
    const auto at = it++;
    if (at->second != stream) continue;
    store_.DeleteConsumer(at->first);
    source_records_.erase(at);
  }
}

// ---- streams -------------------------------------------------------------------------------------------------------

StreamLogOptions JetStream::LogOptionsOf(const StreamConfig& config) const {
  StreamLogOptions log;
  log.memory = config.storage == Storage::kMemory;
  log.compress = config.compression == Compression::kS2;
  log.async = config.persist_mode == PersistMode::kAsync || options_.async;
  log.block_bytes = options_.block_bytes;
  return log;
}

StreamCheckContext JetStream::CheckContext() {
  StreamCheckContext context;
  context.server = options_.limits;
  context.find_stream = [this](std::string_view name) -> const StreamConfig* {
    const Stream* stream = FindStream(name);
    return stream == nullptr ? nullptr : &stream->config();
  };
  context.are_taken = [this](const std::vector<std::string>& subjects) { return AreTaken(subjects, kNoStream); };
  return context;
}

void JetStream::List(Stream* stream) {
  for (const std::string& subject : stream->config().subjects) subjects_.Add(subject, stream->uid());
  Reserve(stream->config(), 1);
}

void JetStream::Unlist(Stream* stream) {
  for (const std::string& subject : stream->config().subjects) subjects_.Remove(subject, stream->uid());
  Reserve(stream->config(), -1);
}

void JetStream::Reserve(const StreamConfig& config, int64_t sign) {
  MR_CHECK(sign == 1 || sign == -1);
  int64_t& reserved = config.storage == Storage::kMemory ? reserved_memory_ : reserved_storage_;
  reserved += sign * std::max<int64_t>(config.max_bytes, 0);
  MR_CHECK_OP(reserved, >=, 0);
}

bool JetStream::AreTaken(const std::vector<std::string>& subjects, uint64_t but_uid) const {
  return std::any_of(subjects.begin(), subjects.end(),
                     [&](const std::string& subject) { return subjects_.Collides(subject, but_uid); });
}

Reservations JetStream::ReservationsWithout(const Stream* but, Storage storage) const {
  Reservations reservations;
  reservations.server_memory_max = options_.memory_max;
  reservations.server_storage_max = options_.storage_max;
  reservations.server_memory = reserved_memory_;
  reservations.server_storage = reserved_storage_;
  reservations.account = storage == Storage::kMemory ? reserved_memory_ : reserved_storage_;
  if (but != nullptr && but->config().storage == storage)
    reservations.account -= std::max<int64_t>(but->config().max_bytes, 0);
  return reservations;
}

JetStream::Made JetStream::MakeStream(StreamConfig config, bool pedantic, Begin begin) {
  Made made;
  const StreamCheckContext context = CheckContext();
  Stream* existing = FindStream(config.name);
  const auto others = static_cast<int64_t>(streams_.size()) - (existing != nullptr ? 1 : 0);
  made.error = CheckStreamLimits(config, context, others, ReservationsWithout(existing, config.storage));
  if (!made.error) made.error = CheckStreamConfig(&config, context, pedantic);
  if (!made.error) made.error = CheckReplicas(config, context);
  if (made.error) return made;
  if (existing != nullptr) {
    if (IsSameStream(config, existing->config())) {
      made.stream = existing;
    } else {
      made.error = MakeError(ApiErrorId::kStreamNameExist);
    }
    return made;
  }
  made.error = CheckStreamCreate(config, context, static_cast<int64_t>(streams_.size()),
                                 ReservationsWithout(nullptr, config.storage));
  if (made.error) return made;
  if (config.storage == Storage::kFile && !store_.accepting()) {
    made.error = MakeError(ApiErrorId::kInsufficientResources);
    return made;
  }
  const int64_t created_ns = port_.WallNs();
  Lsn lsn = 0;
  StreamLog* log = store_.CreateStream(WriteStored(created_ns, config), LogOptionsOf(config), &lsn);
  made.stream = streams_.Add(std::make_unique<Stream>(*this, std::move(config), created_ns, log));
  made.created = true;
  List(made.stream);
  if (begin == Begin::kLater) return made;
  made.stream->Start();
  readers_.WakeReadersOf(made.stream->name());
  return made;
}

std::optional<ApiError> JetStream::CheckRestore(StreamConfig config, uint64_t bytes) {
  const auto wanted = static_cast<int64_t>(std::min<uint64_t>(bytes, std::numeric_limits<int64_t>::max()));
  config.max_bytes = std::max(config.max_bytes, wanted);
  Stream* existing = FindStream(config.name);  // of the older form it is there once its first file has come
  const auto others = static_cast<int64_t>(streams_.size()) - (existing != nullptr ? 1 : 0);
  Reservations reservations = ReservationsWithout(existing, config.storage);
  if (existing != nullptr) {
    (config.storage == Storage::kMemory ? reservations.server_memory : reservations.server_storage) -=
        std::max<int64_t>(existing->config().max_bytes, 0);
  }
  return CheckStreamLimits(config, CheckContext(), others, reservations);
}

Consumer* JetStream::AddConsumer(Stream* stream, ConsumerConfig config, Lsn* lsn) {
  ConsumerIdentity identity{config.name, port_.WallNs()};
  // What lives in memory by its owner's wish, or only as long as somebody listens, is not on the disk.
  identity.persistent = IsStored(config);
  if (identity.persistent)
    identity.uid = store_.CreateConsumer(stream->uid(), WriteStored(identity.created_ns, config), lsn);
  Consumer* consumer = stream->AddConsumer(std::move(config), std::move(identity));
  if (consumer->identity().persistent)
    MR_CHECK(consumers_by_uid_.emplace(consumer->identity().uid, consumer).second);
  return consumer;
}

Lsn JetStream::StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied) {
  return store_.UpdateStream(stream.uid(), WriteStored(stream.created_ns(), config, applied), LogOptionsOf(config));
}

Lsn JetStream::StoreConfig(const ConsumerIdentity& identity, const ConsumerConfig& config) {
  return identity.persistent ? store_.UpdateConsumer(identity.uid, WriteStored(identity.created_ns, config)) : 0;
}

void JetStream::RestoreConsumer(Stream* stream, const ConsumerSnapshot& snapshot) {
  Lsn lsn = 0;
  AddConsumer(stream, snapshot.config, &lsn)->Import(snapshot);
}

void JetStream::DropStream(Stream* stream) {
  MR_CHECK(!MustWait(*stream) && streams_.FindAwake(stream->uid()) == stream);
  stream->Stop(StopReason::kDeleted);
  for (const auto& [name, consumer] : stream->consumers()) {
    consumers_by_uid_.erase(consumer->identity().uid);
    if (!consumer->hidden())
      Advise(ConsumerActionAdvisory{stream->name(), name, AdvisoryAction::kDelete, options_.domain});
  }
  Unlist(stream);
  std::unique_ptr<Stream> owned = streams_.Remove(stream);
  const uint64_t uid = stream->uid();
  owned->DropConsumers();
  absl::erase_if(source_records_, [&owned](const auto& item) { return item.second == owned.get(); });
  readers_.WakeReadersOf(owned->name());  // they say what has become of it
  owned.reset();
  store_.DeleteStream(uid);
}

// ---- long work -----------------------------------------------------------------------------------------------------

void JetStream::RunLong(uint64_t uid, LongTasks::Work work) { Enqueue(uid, std::move(work), 0); }

void JetStream::RunOn(const Stream& stream, void (Stream::*work)()) {
  RunLong(stream.uid(), [this, uid = stream.uid(), work] {
    if (Stream* found = streams_.FindAwake(uid)) (found->*work)();
  });
}

void JetStream::Enqueue(uint64_t uid, LongTasks::Work work, size_t bytes) {
  MR_DCHECK(uid != LongTasks::kNobody);
  if (uid != kNoStream) {
    if (tasks_.owner() == uid) return work();
    if (const auto at = holds_.find(uid); at != holds_.end()) {
      at->second->waiting.push_back({std::move(work), bytes});
      held_bytes_ += bytes;
      return;
    }
  }
  if (tasks_.Start(uid, std::move(work)) || uid == kNoStream) return;
  MR_CHECK(holds_.emplace(uid, std::make_unique<Hold>()).second);
  if (Stream* stream = streams_.FindAwake(uid)) stream->set_held(true);
}

// What came meanwhile belongs to the task as well: more may come while it is taken.
void JetStream::Drain(uint64_t uid) {
  constexpr uint64_t kWaitingUnits = 20;
  MR_CHECK(holds_.contains(uid) && tasks_.owner() == uid);
  Hold& hold = *holds_[uid];
  while (!hold.waiting.empty()) {
    const Hold::Waiting next = std::move(hold.waiting.front());
    hold.waiting.pop_front();
    MR_CHECK_OP(held_bytes_, >=, next.bytes);
    held_bytes_ -= next.bytes;
    next.work();
    tasks_.Tick(kWaitingUnits);
  }
}

void JetStream::OnTaskEnded(uint64_t uid) {
  const auto at = holds_.find(uid);
  if (at == holds_.end()) return;
  if (!at->second->waiting.empty() && !tasks_.Start(uid, [this, uid] { Drain(uid); })) return;
  const std::unique_ptr<Hold> hold = std::move(holds_.extract(uid).mapped());
  MR_CHECK(hold->waiting.empty());
  Stream* stream = streams_.FindAwake(uid);
  if (stream == nullptr) return;
  stream->set_held(false);
  if (hold->visible_seq != 0) Show(stream, hold->visible_seq);
}

// Many may become visible at once: after a hold, and where the disk was slow.
void JetStream::Show(Stream* stream, uint64_t seq) {
  MR_DCHECK(!MustWait(*stream) && seq <= stream->log().state().last_seq);
  constexpr uint64_t kShownAtOnce = 256;
  constexpr uint64_t kShowUnits = 10;
  if (seq <= stream->visible_last_seq() + kShownAtOnce || stream->consumers().empty()) return stream->SetVisible(seq);
  RunLong(stream->uid(), [this, uid = stream->uid(), seq] {
    Stream* shown = streams_.FindAwake(uid);
    while (shown != nullptr && shown->visible_last_seq() < seq) {
      shown->SetVisible(std::min(seq, shown->visible_last_seq() + kShownAtOnce));
      tasks_.Tick(kShownAtOnce * kShowUnits);
    }
  });
}

JetStream::Letter::Letter(const Message& from)
    : message(from), subject(from.subject), reply(from.reply), payload(from.payload) {
  message.origin = nullptr;
  message.trace = nullptr;
  message.deliver_to = message.tail = {};
}

Message JetStream::Letter::View() const {
  Message view = message;
  view.subject = subject;
  view.reply = reply;
  view.payload = payload;
  return view;
}

void JetStream::PublishLong(const Stream& stream, const Message& message) {
  Letter letter(message);
  const size_t bytes = letter.bytes();
  Enqueue(stream.uid(), [this, uid = stream.uid(), letter = std::move(letter)] {
    if (Stream* found = streams_.FindAwake(uid)) return found->Take(letter.View());
    if (!letter.reply.empty()) SendNow(letter.message.account, letter.reply, kNoResponders, kNoResponders.size());
  }, bytes);
}

bool JetStream::Postpone(const Stream& stream, const Message& message, bool (JetStream::*deliver)(const Message&)) {
  Letter letter(message);
  const size_t bytes = letter.bytes();
  Enqueue(stream.uid(), [this, deliver, letter = std::move(letter)] { (this->*deliver)(letter.View()); }, bytes);
  return true;
}

// ---- messages to JetStream itself ----------------------------------------------------------------------------------

bool JetStream::Deliver(const Subscription& subscription, const Message& message) {
  const LongTasks::Unpaused unpaused(tasks_);  // the router delivers
  if (subscription.subject() == kAckFilter) return DeliverAck(message);
  if (subscription.subject() == kFlowControlFilter) return DeliverFlowControl(message);
  if (domain_prefix_.empty() || !message.subject.starts_with(domain_prefix_)) {
    // A consumer may deliver to here what says another subject: that is no request.
    return message.subject.starts_with(kApiPrefix) && DeliverApi(message);
  }
  // $JS.<domain>.API.… means $JS.API.… (spec J-04).
  const std::string subject = std::string(kApiPrefix) + std::string(message.subject.substr(domain_prefix_.size()));
  Message mapped = message;
  mapped.subject = subject;
  return DeliverApi(mapped);
}

Consumer* JetStream::FindConsumer(std::string_view stream_name, std::string_view name) const {
  const Stream* stream = streams_.FindAwake(stream_name);
  return stream == nullptr ? nullptr : stream->FindConsumer(name);
}

bool JetStream::DeliverAck(const Message& message) {
  AckSubject ack;
  if (!ParseAckSubject(message.subject, &ack)) return false;
  Stream* stream = streams_.FindAwake(ack.stream);
  if (stream == nullptr) return false;
  Consumer* consumer = stream->FindConsumer(ack.consumer);
  if (consumer == nullptr || consumer->config().ack_policy == AckPolicy::kNone) return false;
  // One that acknowledges many may remove many.
  const bool removes = stream->config().retention != Retention::kLimits;
  const bool many = removes && consumer->config().ack_policy == AckPolicy::kAll;
  if (MustWait(*stream) || (many && tasks_.owner() != stream->uid())) [[unlikely]]
    return Postpone(*stream, message, &JetStream::DeliverAck);
  consumer->OnAck(ack, message.reply, message.payload.substr(message.header_bytes));
  return true;
}

bool JetStream::DeliverFlowControl(const Message& message) {
  // $JS.FC.<stream>.<consumer>.<random>
  Stream* stream = streams_.FindAwake(TokenAt(message.subject, 2));
  Consumer* consumer = stream == nullptr ? nullptr : stream->FindConsumer(TokenAt(message.subject, 3));
  if (consumer == nullptr) return false;
  if (MustWait(*stream)) [[unlikely]] return Postpone(*stream, message, &JetStream::DeliverFlowControl);
  consumer->OnFlowControlReply(message.subject, message.payload.substr(0, message.header_bytes));
  return true;
}

void JetStream::Invariant() const {
  streams_.Invariant();
  size_t persistent = 0;
  BatchUse use;
  streams_.ForEachAwake([&](const Stream& stream) {
    stream.Invariant();
    MR_CHECK(stream.held() == holds_.contains(stream.uid()));
    stream.AddBatchUse(&use);
    for (const auto& [name, consumer] : stream.consumers()) {
      if (!consumer->identity().persistent) continue;
      const auto at = consumers_by_uid_.find(consumer->identity().uid);
      MR_CHECK(at != consumers_by_uid_.end() && at->second == consumer.get());
      ++persistent;
    }
  });
  MR_CHECK_OP(persistent, ==, consumers_by_uid_.size());
  MR_CHECK(use.atomic == batch_use_.atomic && use.fast == batch_use_.fast && use.bytes == batch_use_.bytes);
  for (const auto& [uid, stream] : source_records_) MR_CHECK(streams_.FindAwake(stream->uid()) == stream);
  size_t held_bytes = 0;
  for (const auto& [uid, hold] : holds_) {
    MR_CHECK_OP(tasks_.PausedOf(uid), ==, 1);
    for (const Hold::Waiting& waiting : hold->waiting) held_bytes += waiting.bytes;
  }
  MR_CHECK_OP(held_bytes, ==, held_bytes_);
  MR_CHECK_OP(holds_.size() + tasks_.PausedOf(kNoStream), ==, tasks_.paused());
  for (size_t i = 1; i < staged_.size(); ++i) MR_CHECK_OP(staged_[i - 1].lsn, <=, staged_[i].lsn);
  MR_CHECK(staged_.empty() || staged_.back().lsn <= store_.staged());
  MR_CHECK_OP(ready_.size(), ==, ready_set_.size());
  for (const Ready& ready : ready_) MR_CHECK(ready_set_.contains(ready.consumer));
  // An update that is in the middle of its work has taken back what it had reserved.
  if (!holds_.empty()) return;
  MR_CHECK_OP(streams_.Reserved(Storage::kMemory), ==, reserved_memory_);
  MR_CHECK_OP(streams_.Reserved(Storage::kFile), ==, reserved_storage_);
}

AccountInfo JetStream::Usage() const {
  AccountInfo info;
  const StreamTable::Totals totals = streams_.totals();
  info.total.memory = streams_.used(Storage::kMemory);
  info.total.storage = streams_.used(Storage::kFile);
  info.total.consumers = static_cast<int64_t>(totals.consumers);
  MR_CHECK(reserved_memory_ >= 0 && reserved_storage_ >= 0);
  info.total.reserved_memory = static_cast<uint64_t>(reserved_memory_);
  info.total.reserved_storage = static_cast<uint64_t>(reserved_storage_);
  info.total.streams = static_cast<int64_t>(streams_.size());
  info.domain = options_.domain;
  info.api.level = 5;
  info.api.total = api_total_;
  info.api.errors = api_errors_;
  return info;
}

}  // namespace millrace
