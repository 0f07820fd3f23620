// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

std::unique_ptr<SubjectTransform> CompileTransform(const std::string& source, const std::string& destination) {
  absl::StatusOr<SubjectTransform> transform = SubjectTransform::Compile(source, destination);
  if (!transform.ok()) return nullptr;  // refused when the stream was made
  return std::make_unique<SubjectTransform>(*std::move(transform));
}

}  // namespace

Stream::Stream(StreamHost& host, JetStreamAccount& owner, StreamConfig config, int64_t created_ns, StreamLog* log)
    : host_(host), owner_(owner), config_(std::move(config)), created_ns_(created_ns), log_(log) {
  MR_CHECK(log_ != nullptr);
  log_->set_listener(this);
  log_->set_bytes_sum(owner_.use().in_use(config_.storage));
  log_->set_pace(&pace_);
  visible_last_seq_ = log_->state().last_seq;
  had_messages_ = log_->state().messages > 0;
  CompileTransforms();
}

Stream::~Stream() {
  MR_CHECK(subscriptions_.empty() && upstream_ == nullptr);
  MR_CHECK(batches_ == nullptr || (batches_->atomic.empty() && batches_->fast.empty()));
  log_->set_listener(nullptr);
  log_->set_bytes_sum(nullptr);
  log_->set_pace(nullptr);
  if (source_record_uid_ != 0) host_.records().Remove(source_record_uid_);
}

void Stream::OwnPace::OnDue() {
  constexpr uint64_t kTellEvery = 250;
  MR_DCHECK(told_ <= done_);
  const uint64_t units = done_ - std::exchange(told_, done_);
  due_ = done_ + kTellEvery;
  LongTasks& tasks = stream_.host_.tasks();
  if (tasks.owner() == stream_.uid()) return tasks.Tick(units);
  const LongTasks::Unpaused unpaused(tasks);
  tasks.Tick(units);
}

bool Stream::Prepare() {
  if (MustWait()) return false;
  if (!log_->NeedsPrepare()) return true;
  host_.work().RunLong(uid(), [this] { log_->Prepare(); });  // nothing can remove the stream before
  return !held_;
}

void Stream::NoteUnfinishedUpdate() {
  MR_CHECK(!started_);
  unfinished_update_ = true;
}

void Stream::Dissolve() {
  MR_CHECK(MayChange());
  log_->Dissolve();
}

void Stream::DropConsumers() {
  MR_CHECK(stopped_);
  consumers_.reset();
}

void Stream::Start() {
  MR_CHECK(!started_ && !stopped_ && subscriptions_.empty() && upstream_ == nullptr);
  if (config_.first_seq > 0 && log_->state().last_seq == 0) {
    log_->Purge();
    if (config_.first_seq > 1) log_->SkipTo(config_.first_seq - 1);
    visible_last_seq_ = log_->state().last_seq;
  }
  started_ = true;
  Subscribe();
  // A change of limits may have been cut off by the end of the server.
  if (config_.max_msgs > 0 || config_.max_bytes > 0) RunOwn(&Stream::DropBeyondLimits);
  if (unfinished_update_) RunOwn(&Stream::FinishUpdate);
  StartScan();
  ArmExpiry();
  StartUpstream();
}

bool Stream::MayRest() const {
  const bool upstream = config_.mirror || !config_.sources.empty() || source_record_;
  const bool timed = (expiry_ != nullptr && expiry_->timer.armed()) || later_ != nullptr;
  const bool batches = batches_ != nullptr && !(batches_->atomic.empty() && batches_->fast.empty());
  return started_ && !held_ && consumers().empty() && !upstream && !timed && !batches && !waits_for_disk_ && !lost_ &&
         visible_last_seq_ == log_->state().last_seq && !host_.readers().HasReadersOf(account(), config_.name);
}

Stream::Remains Stream::Leave() {
  MR_CHECK(started_ && !held_ && consumers().empty());
  if (batches_ != nullptr) port().timers().Cancel(&batches_->timer);
  Remains remains{std::move(subscriptions_), std::move(ids_)};
  subscriptions_.clear();
  return remains;
}

void Stream::Return(Remains remains) {
  MR_CHECK(!started_ && subscriptions_.empty());
  started_ = true;
  subscriptions_ = std::move(remains.subscriptions);
  for (Subscription* subscription : subscriptions_) subscription->sink = this;
  ids_ = std::move(remains.ids);
}

void Stream::Stop(StopReason reason) {
  stopped_ = true;
  Unsubscribe();
  const std::vector<std::string> origins = StopUpstream();
  if (reason == StopReason::kDeleted) host_.OnReaderGone(account(), origins);
  if (expiry_ != nullptr) port().timers().Cancel(&expiry_->timer);
  if (later_ != nullptr) {
    for (TimerNode* timer : {&later_->schedule_timer, &later_->scan_timer}) port().timers().Cancel(timer);
  }
  if (batches_ != nullptr) port().timers().Cancel(&batches_->timer);
  if (ids_ != nullptr) ids_->Stop();
  waits_for_disk_ = false;
  DropBatches();
  for (auto& [name, consumer] : consumers()) consumer->Stop(reason);
}

void Stream::Update(StreamConfig config) {
  MR_CHECK(started_ && !stopped_ && MayChange());
  MR_CHECK(config.name == config_.name && config.storage == config_.storage);
  const bool rescan = (config.allow_msg_ttl && !config_.allow_msg_ttl) ||
                      (config.allow_msg_schedules && !config_.allow_msg_schedules);
  const bool subjects_changed = config.subjects != config_.subjects;
  const bool upstream_changed = config.mirror != config_.mirror || config.sources != config_.sources;
  const bool had_sources = !config_.sources.empty();
  const bool interest = config.retention == Retention::kInterest && config_.retention == Retention::kLimits;
  std::vector<std::string> origins;
  if (upstream_changed) origins = StopUpstream();
  config_ = std::move(config);
  if (upstream_changed) StartUpstream();
  host_.OnReaderGone(account(), origins);
  if (had_sources && config_.sources.empty()) ForgetSources();
  if (subjects_changed) {
    Unsubscribe();
    Subscribe();
  }
  if (ids_ != nullptr) ids_->set_window(config_.duplicate_window_ns);
  CompileTransforms();
  DropBeyondLimits();
  DropBeyondSubjectLimit();
  if (config_.sealed) DropBatches();
  if (rescan) StartScan();
  if (expiry_ != nullptr) port().timers().Cancel(&expiry_->timer);
  ArmExpiry();
  for (auto& [name, consumer] : consumers()) consumer->OnStreamUpdated();
  if (interest) DropWithoutInterest();
  if constexpr (kDebugChecks) Invariant();
}

bool Stream::LetsGo(const StreamConfig& next) const {
  const int64_t keep = next.max_msgs_per_subject;
  const bool fewer = keep > 0 && (config_.max_msgs_per_subject <= 0 || keep < config_.max_msgs_per_subject);
  return fewer || (next.retention == Retention::kInterest && config_.retention == Retention::kLimits);
}

void Stream::FinishUpdate() {
  MR_CHECK(unfinished_update_ && MayChange());
  DropBeyondSubjectLimit();
  if (config_.retention == Retention::kInterest) DropWithoutInterest();
  unfinished_update_ = false;
  host_.StoreConfig(*this, config_, Applied::kWhole);
}

void Stream::CompileTransforms() {
  ingest_transform_.reset();
  republish_transform_.reset();
  if (config_.subject_transform)
    ingest_transform_ = CompileTransform(config_.subject_transform->src, config_.subject_transform->dest);
  if (config_.republish) republish_transform_ = CompileTransform(config_.republish->src, config_.republish->dest);
}

void Stream::Subscribe() {
  MR_CHECK(subscriptions_.empty());
  for (const std::string& subject : config_.subjects)
    subscriptions_.push_back(host_.port().Subscribe(account(), subject, this));
}

void Stream::Unsubscribe() {
  for (Subscription* subscription : subscriptions_) host_.port().Unsubscribe(subscription);
  subscriptions_.clear();
}

// ---- mirrors and sources -------------------------------------------------------------------------------------------

void Stream::StartUpstream() {
  MR_CHECK(upstream_ == nullptr);
  if (!config_.mirror && config_.sources.empty()) return;
  upstream_ = host_.MakeUpstream(*this, source_record_ ? std::string_view(*source_record_) : std::string_view());
  if (!config_.mirror) source_record_.reset();
  host_.readers().Add(account(), upstream_.get());
}

std::vector<std::string> Stream::StopUpstream() {
  if (upstream_ == nullptr) return {};
  EncodeSources(&source_record_.emplace());  // sources that stay go on from where they are
  upstream_->Stop();
  std::vector<std::string> origins = host_.readers().Remove(upstream_.get());
  upstream_.reset();
  return origins;
}

void Stream::RestoreSources(uint64_t record_uid, std::string_view text) {
  MR_CHECK(!started_);
  if (record_uid != source_record_uid_) {
    if (source_record_uid_ != 0) ForgetSources();  // the later one knows more
    source_record_uid_ = record_uid;
    host_.records().Add(record_uid, this);
  }
  if (!source_record_) source_record_.emplace();
  source_record_->append(text);
}

void Stream::EncodeSources(std::string* out) const {
  if (upstream_ == nullptr) {
    if (source_record_) out->append(*source_record_);
  } else {
    upstream_->EncodePositions(out);
  }
}

void Stream::KeepSources(std::string_view changed) {
  if (config_.storage == Storage::kMemory) return;  // its messages are not kept either
  if (source_record_uid_ == 0) {
    Lsn lsn = 0;
    source_record_uid_ = host_.store().CreateConsumer(uid(), kSourceRecord, &lsn);
    host_.records().Add(source_record_uid_, this);
  }
  host_.store().PutConsumerState(source_record_uid_, changed);
}

void Stream::ForgetSources() {
  if (source_record_uid_ == 0) return;
  host_.records().Remove(source_record_uid_);
  host_.store().DeleteConsumer(std::exchange(source_record_uid_, 0));
}

uint64_t Stream::ReleaseSources(std::string* text) {
  MR_CHECK(upstream_ == nullptr);
  if (source_record_uid_ == 0) return 0;
  EncodeSources(text);
  host_.records().Remove(source_record_uid_);
  return std::exchange(source_record_uid_, 0);
}

void Stream::SkipTo(uint64_t seq) {
  MR_CHECK(seq >= log_->state().last_seq && MayChange());
  OnStaged(log_->SkipTo(seq));
}

void Stream::Restore(const StoredMessage& message) {
  MR_CHECK(!started_ && message.seq > log_->state().last_seq);
  OnStaged(log_->Append(message));
}

void Stream::FinishRestore() {
  had_messages_ = log_->state().messages > 0;
  if (had_messages_) ids();
  Start();
  if constexpr (kDebugChecks) Invariant();
}

void Stream::OnReaderGone() {
  if (config_.retention == Retention::kInterest) RemoveUnneeded();
}

// ---- consumers -----------------------------------------------------------------------------------------------------

const Stream::Consumers& Stream::NoConsumers() {
  static const auto* const kNone = new Consumers;
  return *kNone;
}

Consumer* Stream::FindConsumer(std::string_view name) const {
  const auto it = consumers().find(name);
  return it == consumers().end() ? nullptr : it->second.get();
}

Consumer* Stream::AddConsumer(ConsumerConfig config, ConsumerIdentity identity) {
  MR_CHECK(!stopped_ && FindConsumer(identity.name) == nullptr);
  auto consumer = std::make_unique<Consumer>(std::move(config), std::move(identity), *log_, *this);
  Consumer* raw = consumer.get();
  if (consumers_ == nullptr) consumers_ = std::make_unique<Consumers>();
  (*consumers_)[raw->name()] = std::move(consumer);
  if (raw->is_push()) host_.deliveries().WatchInterest(raw);
  return raw;
}

void Stream::RemoveConsumer(std::string_view name, StopReason reason) {
  MR_CHECK(consumers_ != nullptr);
  MR_CHECK(MayChange());
  const auto it = consumers_->find(name);
  MR_CHECK(it != consumers_->end());
  const std::unique_ptr<Consumer> consumer = std::move(it->second);
  consumers_->erase(it);
  consumer->Stop(reason);
  if (config_.retention == Retention::kInterest) RemoveUnneeded();
}

size_t Stream::public_consumers() const {
  return static_cast<size_t>(std::count_if(consumers().begin(), consumers().end(), [](const auto& item) {
    return !item.second->hidden();
  }));
}

bool Stream::HasFilteredConsumers() const {
  return std::any_of(consumers().begin(), consumers().end(),
                     [](const auto& item) { return !item.second->filters().empty(); });
}

void Stream::OnStaged(Lsn lsn) {
  const uint64_t seq = log_->state().last_seq;
  if (lsn == 0) return SetVisible(seq);
  MR_DCHECK(lsn <= host_.store().staged());
  host_.staged().Add(uid(), seq, lsn);
}

void Stream::SetVisible(uint64_t seq) {
  MR_DCHECK(seq <= log_->state().last_seq);
  if (seq <= visible_last_seq_) return;
  const uint64_t from = visible_last_seq_ + 1;
  visible_last_seq_ = seq;
  host_.readers().WakeReadersOf(account(), config_.name);
  if (consumers().empty()) return;
  bool filtered = false;
  // Without a filter every message counts, and their number is all a consumer wants to know.
  const uint64_t live = log_->state().deleted() == 0 && from >= log_->state().first_seq
                            ? seq - from + 1
                            : UINT64_MAX;
  for (auto& [name, consumer] : consumers()) {
    if (consumer->filters().empty() && live != UINT64_MAX) {
      consumer->OnAppendedRun(seq, live);
    } else {
      filtered = true;
    }
  }
  if (!filtered) return;
  StoredMessage message;
  for (uint64_t at = from; at <= seq; ++at) {
    if (log_->Load(at, &message) != LoadStatus::kFound) continue;  // just written: at hand, or removed again
    const std::string subject(message.subject);
    for (auto& [name, consumer] : consumers()) {
      if (consumer->filters().empty() && live != UINT64_MAX) continue;
      consumer->OnAppended(at, subject, message.payload.size());
    }
  }
}

// ---- ConsumerHost --------------------------------------------------------------------------------------------------

JetStreamPort& Stream::port() { return host_.port(); }
std::string_view Stream::domain() const { return host_.options().domain; }

std::string Stream::NewId() { return NewEventId(host_.port()); }

uint64_t Stream::message_bytes_max() const {
  return config_.max_msg_size > 0 ? static_cast<uint64_t>(config_.max_msg_size) : host_.options().max_payload;
}

bool Stream::HasDeliverInterest(std::string_view subject, std::string_view group) {
  return host_.port().HasSubscription(account(), subject, group);
}

void Stream::MarkReady(Consumer* consumer) {
  MR_DCHECK(FindConsumer(consumer->name()) == consumer);
  host_.deliveries().MarkReady(consumer);
}

void Stream::OnAcked(Consumer* consumer, uint64_t seq) {
  MR_DCHECK(MayChange());
  if (config_.retention == Retention::kLimits) return;
  StoredMessage message;
  const LoadStatus status = log_->Load(seq, &message);
  if (status == LoadStatus::kAbsent) return;
  if (status == LoadStatus::kPending) return host_.AckLater(uid(), seq);
  const std::string subject(message.subject);
  if (config_.retention == Retention::kInterest && !NobodyNeeds(seq, subject, consumer)) return;
  RemoveMessage(seq, subject);
}

void Stream::SendLater(std::string_view subject, std::string_view header) {
  host_.replies().SendNow(account(), subject, header, static_cast<uint32_t>(header.size()));
}

void Stream::ReplyToAck(Consumer* consumer, std::string_view reply) {
  host_.replies().SendWhenDurable(account(), reply, {});
}

void Stream::Advisory(std::string_view subject, std::string json) {
  host_.replies().SendNow(account(), subject, json, 0);
}

void Stream::Persist(Consumer* consumer, std::string_view delta) {
  MR_DCHECK(consumer->identity().persistent);
  host_.store().PutConsumerState(consumer->identity().uid, delta);
}

void Stream::Delete(Consumer* consumer) {
  MR_CHECK(!stopped_ && FindConsumer(consumer->name()) == consumer);
  host_.deliveries().DeleteLater(consumer);
}

void Stream::RunLong(std::function<void()> work) {
  host_.work().RunLong(uid(), [&host = host_, uid = uid(), work = std::move(work)] {
    if (host.FindAwake(uid) != nullptr) work();
  });
}

void Stream::RunOwn(void (Stream::*work)()) {
  host_.work().RunLong(uid(), [&host = host_, uid = uid(), work] {
    if (Stream* found = host.FindAwake(uid)) (found->*work)();
  });
}

void Stream::Invariant() const {
  const StreamLogState& state = log_->state();
  MR_CHECK_OP(visible_last_seq_, <=, state.last_seq);
  if (held_) return;  // a task is in the middle of changing the rest
  // Nobody waits for memory: what is there is seen.
  MR_CHECK(!log_->options().memory || visible_last_seq_ == state.last_seq);
  const bool at_work = started_ && !stopped_;
  MR_CHECK_OP(subscriptions_.size(), ==, at_work ? config_.subjects.size() : 0);
  MR_CHECK(upstream_ == nullptr || config_.mirror || !config_.sources.empty());
  MR_CHECK(!at_work || (later_ != nullptr) == (config_.allow_msg_ttl || config_.allow_msg_schedules));
  MR_CHECK(later_ == nullptr || config_.allow_msg_ttl || later_->ttls.size() == 0);
  MR_CHECK(later_ == nullptr || config_.allow_msg_schedules || later_->schedules.size() == 0);
  MR_CHECK(expiry_ == nullptr || !stopped_ || !expiry_->timer.armed());
  for (const auto& [name, consumer] : consumers()) {
    MR_CHECK(name == consumer->name());
    consumer->Invariant();
  }
  if (batches_ == nullptr) return;
  MR_CHECK(batches_->timer.armed() || (batches_->atomic.empty() && batches_->fast.empty()));
  for (const auto& [id, batch] : batches_->atomic) {
    uint64_t bytes = 0;
    for (const AtomicBatch::Staged& message : batch->messages) bytes += message.bytes();
    MR_CHECK(id == batch->id && bytes <= batch->bytes);  // a header may have become smaller since it was counted
    MR_CHECK_OP(batch->messages.size(), ==, batch->last_seq);
  }
  for (const auto& [id, batch] : batches_->fast) {
    MR_CHECK(id == batch->id);
    MR_CHECK_OP(batch->told_seq, <=, batch->stored_seq);
    MR_CHECK_OP(batch->stored_seq, <=, batch->last_seq);
  }
}

void Stream::OnLoaded() {
  host_.OnLoaded();
  if (!std::exchange(waits_for_disk_, false)) return;
  const Nanos now = port().Now();
  port().timers().Arm(&expiry().timer, now);
  if (later_ == nullptr) return;
  if (later_->scanning) port().timers().Arm(&later_->scan_timer, now);
  port().timers().Arm(&later_->schedule_timer, now);
}

}  // namespace millrace
