// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/jetstream.h"

#include <algorithm>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/base/letter.h"
#include "broker/jetstream/upstream/mirror.h"
#include "broker/jetstream/upstream/stream_sources.h"
#include "proto/base/check.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kApiFilter = "$JS.API.>";
constexpr std::string_view kAckFilter = "$JS.ACK.>";
constexpr std::string_view kFlowControlFilter = "$JS.FC.>";

}  // namespace

JetStream::JetStream(JetStreamPort& port, ShardStore& store, JetStreamEngineOptions options)
    : StreamHost(Parts{port, store, options_, work_, replies_, staged_, records_, storage_, deliveries_, readers_,
                       batch_use_, accounts_}),
      port_(port),
      store_(store),
      options_(std::move(options)),
      work_([this] { return port_.Clock(); }, *this),
      replies_(port, store),
      storage_(port, store, options_),
      deliveries_(port, store, work_),
      accounts_(&storage_.sums()),
      searches_(*this, directory_),
      directory_(*this),
      api_(*this, directory_, backups_) {
  store_.set_listener(this);
  store_.set_consumers(&records_);
}

JetStream::~JetStream() {
  work_.Finish();
  backups_.Stop();
  directory_.Stop();
  StopListening();
}

void JetStream::Start() {
  MR_CHECK(!std::exchange(started_, true) && !stopping_);
  if (!options_.domain.empty()) domain_prefix_ = "$JS." + options_.domain + ".API.";
  for (const EngineAccount& told : options_.accounts) accounts_.FindOrAdd(told.account).Set(told.account.jetstream);
  directory_.Adopt();
  SetAccounts();
  directory_.Start();
  if constexpr (kDebugChecks) Invariant();
}

void JetStream::StartStop() {
  if (std::exchange(stopping_, true)) return;
  MR_CHECK(tasks().owner() == LongTasks::kNobody);
  work_.Finish();
  backups_.Stop();
  directory_.Stop();
  StopListening();
  api_.Stop();
  store_.StartClose();
}

// ---- accounts ------------------------------------------------------------------------------------------------------

void JetStream::SetOptions(const JetStreamEngineOptions& options) {
  MR_CHECK(started_ && tasks().owner() == LongTasks::kNobody);
  options_ = options;
  if (stopping_) return;
  SetAccounts();
  work_.RunLong(kNoStream, [this] { directory_.FollowAccounts(); });
}

void JetStream::SetAccounts() {
  std::vector<const EngineAccount*> told_by_id;
  for (const EngineAccount& told : options_.accounts) {
    MR_CHECK(!told.account.jetstream.enabled || told.account.id != options_.system_account);
    accounts_.FindOrAdd(told.account).Set(told.account.jetstream);
    if (told.account.id >= told_by_id.size()) told_by_id.resize(size_t{told.account.id} + 1);
    told_by_id[told.account.id] = &told;
  }
  accounts_.ForEach([&](JetStreamAccount& account) {
    const EngineAccount* told = account.id() < told_by_id.size() ? told_by_id[account.id()] : nullptr;
    if (told == nullptr) account.Set({});
    Listen(&account, told != nullptr && told->answers_api, account.enabled());
  });
}

// Each account has these subjects by itself: that is what keeps them apart.
void JetStream::Listen(JetStreamAccount* account, bool api, bool streams) {
  std::vector<std::string> filters;
  if (api) filters.emplace_back(kApiFilter);
  if (api && !domain_prefix_.empty()) filters.push_back(domain_prefix_ + ">");
  if (streams) filters.emplace_back(kAckFilter);
  if (streams) filters.emplace_back(kFlowControlFilter);
  std::erase_if(account->subscriptions, [&](Subscription* subscription) {
    if (std::find(filters.begin(), filters.end(), subscription->subject()) != filters.end()) return false;
    port_.Unsubscribe(subscription);
    return true;
  });
  for (const std::string& filter : filters) {
    const bool there = std::any_of(account->subscriptions.begin(), account->subscriptions.end(),
                                   [&](const Subscription* subscription) { return subscription->subject() == filter; });
    if (!there) account->subscriptions.push_back(port_.Subscribe(account->id(), filter, this));
  }
}

void JetStream::StopListening() {
  accounts_.ForEach([this](JetStreamAccount& account) { Listen(&account, false, false); });
}

// ---- the turn ------------------------------------------------------------------------------------------------------

bool JetStream::RunTurn() {
  MR_DCHECK(started_ && tasks().owner() == LongTasks::kNobody);
  tasks().BeginTurn();
  port_.DeliverKept();  // of timers
  if (store_.NextTick() <= port_.Now()) store_.OnTick(port_.Now());
  if (loaded_) WakeLoading();
  api_.AnswerRequests();
  work_.Run();
  ReleaseDurable();
  const bool pulling = !Congested() && readers_.Run();  // what relieves the disk causes a turn
  const bool backing_up = backups_.Run();
  deliveries_.LookAtInterest();
  replies_.ReleaseImmediate();  // an answer comes before what it releases
  deliveries_.Deliver();
  deliveries_.RunDeletions([this](Consumer* consumer) { directory_.DeleteConsumer(consumer); });
  // Answers and deliveries may have caused more of both.
  replies_.ReleaseImmediate();
  port_.DeliverKept();
  // Loads that were asked for are told of to streams that are awake.
  const bool resting = !stopping_ && api_.none_parked() && late_acks_.empty() && streams().LetRest();
  store_.EndTurn(port_.Now());
  staged_.EndTurn();
  const bool copying = pulling || backing_up;
  const bool answers = !api_.idle() || replies_.Due() || !tasks().idle();
  return copying || resting || answers || !deliveries_.idle() || durable_moved_ || loaded_ || store_.HasWork();
}

void JetStream::WakeLoading() {
  loaded_ = false;
  api_.AnswerParked();
  for (const auto& [uid, seq] : std::exchange(late_acks_, {})) {
    work_.RunLong(uid, [this, uid = uid, seq = seq] {
      if (Stream* stream = FindAwake(uid)) stream->OnAcked(nullptr, seq);
    });
  }
  deliveries_.WakeLoading();
  readers_.WakeLoading();
}

void JetStream::ReleaseDurable() {
  durable_moved_ = false;
  const Lsn durable = store_.durable();
  staged_.Release(durable, [this](uint64_t uid, uint64_t seq) {
    Stream* stream = FindAwake(uid);
    if (stream == nullptr) return;  // one that is at rest has had it
    if (stream->MustWait()) [[unlikely]] {
      work_.ShowLater(uid, seq);
    } else {
      Show(stream, seq);
    }
  });
  replies_.ReleaseDurable();
  deliveries_.ReleaseAnswered(durable);
}

// Many may become visible at once: after a hold, and where the disk was slow.
void JetStream::Show(Stream* stream, uint64_t seq) {
  MR_DCHECK(!stream->MustWait() && seq <= stream->log().state().last_seq);
  constexpr uint64_t kShownAtOnce = 256;
  constexpr uint64_t kShowUnits = 10;
  if (seq <= stream->visible_last_seq() + kShownAtOnce || stream->consumers().empty()) return stream->SetVisible(seq);
  work_.RunLong(stream->uid(), [this, uid = stream->uid(), seq] {
    Stream* shown = FindAwake(uid);
    while (shown != nullptr && shown->visible_last_seq() < seq) {
      shown->SetVisible(std::min(seq, shown->visible_last_seq() + kShownAtOnce));
      tasks().Tick(kShownAtOnce * kShowUnits);
    }
  });
}

void JetStream::OnHeld(uint64_t uid) {
  if (Stream* stream = FindAwake(uid)) stream->set_held(true);
}

void JetStream::OnReleased(uint64_t uid, uint64_t visible_seq) {
  Stream* stream = FindAwake(uid);
  if (stream == nullptr) return;
  stream->set_held(false);
  if (visible_seq != 0) Show(stream, visible_seq);
}

// ---- StreamHost ----------------------------------------------------------------------------------------------------

std::unique_ptr<Upstream> JetStream::MakeUpstream(Stream& stream, std::string_view positions) {
  if (stream.config().mirror) return std::make_unique<Mirror>(searches_, stream);
  if (stream.config().sources.empty()) return nullptr;
  StreamSources::Record record;
  StreamSources::ReadRecord(positions, &record);
  return std::make_unique<StreamSources>(searches_, stream, std::move(record));
}

void JetStream::OnReaderGone(AccountId account, const std::vector<std::string>& origins) {
  for (const std::string& name : origins) {
    if (Stream* origin = FindStream(account, name)) origin->RunOwn(&Stream::OnReaderGone);
  }
}

// ---- what the store says -------------------------------------------------------------------------------------------

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
  replies_.Advise(options_.system_account,
                  OutOfStorageAdvisory{options_.server_name, options_.server_id, {}, {}, options_.domain});
}

// ---- messages to JetStream itself ----------------------------------------------------------------------------------

bool JetStream::Deliver(const Subscription& subscription, const Message& message) {
  const LongTasks::Unpaused unpaused(tasks());  // the router delivers
  if (subscription.subject() == kAckFilter) return DeliverAck(message);
  if (subscription.subject() == kFlowControlFilter) return DeliverFlowControl(message);
  if (domain_prefix_.empty() || !message.subject.starts_with(domain_prefix_)) {
    // A consumer may deliver to here what says another subject: that is no request.
    return message.subject.starts_with(kApiPrefix) && api_.Deliver(message);
  }
  // $JS.<domain>.API.… means $JS.API.… (spec J-04).
  const std::string subject = std::string(kApiPrefix) + std::string(message.subject.substr(domain_prefix_.size()));
  Message mapped = message;
  mapped.subject = subject;
  return api_.Deliver(mapped);
}

bool JetStream::DeliverTraced(const Subscription& subscription, const Message& message) {
  const bool in_domain = !domain_prefix_.empty() && message.subject.starts_with(domain_prefix_);
  if (!in_domain && !message.subject.starts_with(kApiPrefix)) return Sink::DeliverTraced(subscription, message);
  MessageTrace& trace = *message.trace;
  std::string subject(message.subject);
  if (in_domain) {
    subject = std::string(kApiPrefix) + std::string(message.subject.substr(domain_prefix_.size()));
    trace.events.push_back(
        {.kind = TraceEvent::Kind::kSubjectMapping, .wall_ns = trace.wall_ns, .to = subject});
  }
  trace.events.push_back({.kind = TraceEvent::Kind::kServiceImport,
                          .wall_ns = trace.wall_ns,
                          .from = subject,
                          .to = subject});
  return !trace.only && Sink::DeliverTraced(subscription, message);
}

bool JetStream::DeliverAck(const Message& message) {
  AckSubject ack;
  if (!ParseAckSubject(message.subject, &ack)) return false;
  // The second form of these subjects says whose stream it is about.
  if (!ack.account_hash.empty() && ack.account_hash != accounts_[message.account].hash()) return false;
  Stream* stream = streams().FindAwake(message.account, ack.stream);
  if (stream == nullptr) return false;
  Consumer* consumer = stream->FindConsumer(ack.consumer);
  if (consumer == nullptr || consumer->config().ack_policy == AckPolicy::kNone) return false;
  // One that acknowledges many may remove many.
  const bool removes = stream->config().retention != Retention::kLimits;
  const bool many = removes && consumer->config().ack_policy == AckPolicy::kAll;
  if (stream->MustWait() || (many && tasks().owner() != stream->uid())) [[unlikely]] {
    Postpone(*stream, message, &JetStream::DeliverAck);
  } else {
    consumer->OnAck(ack, message.reply, message.payload.substr(message.header_bytes));
  }
  return true;
}

bool JetStream::DeliverFlowControl(const Message& message) {
  // $JS.FC.<stream>.<consumer>.<random>
  Stream* stream = streams().FindAwake(message.account, TokenAt(message.subject, 2));
  Consumer* consumer = stream == nullptr ? nullptr : stream->FindConsumer(TokenAt(message.subject, 3));
  if (consumer == nullptr) return false;
  if (stream->MustWait()) [[unlikely]] {
    Postpone(*stream, message, &JetStream::DeliverFlowControl);
  } else {
    consumer->OnFlowControlReply(message.subject, message.payload.substr(0, message.header_bytes));
  }
  return true;
}

void JetStream::Postpone(const Stream& stream, const Message& message, bool (JetStream::*deliver)(const Message&)) {
  Letter letter(message);
  const size_t bytes = letter.bytes();
  work_.Enqueue(stream.uid(), [this, deliver, letter = std::move(letter)] { (this->*deliver)(letter.View()); }, bytes);
}

void JetStream::Invariant() const {
  directory_.Invariant();
  work_.Invariant();
  staged_.Invariant(store_.staged());
  deliveries_.Invariant();
}

}  // namespace millrace
