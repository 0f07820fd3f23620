// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/external_origin.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/api/stream_identity.h"
#include "broker/jetstream/base/random_names.h"
#include "broker/jetstream/consumer/ack_subject.h"
#include "broker/json/reader.h"
#include "proto/base/check.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr Nanos kAskedAtMost = std::chrono::seconds(30);
constexpr Nanos kSilentAtMost = std::chrono::seconds(10);
constexpr Nanos kAskAgainAfter = std::chrono::seconds(2);
constexpr int64_t kHeartbeatNs = 1'000'000'000;
constexpr int64_t kInactiveNs = 10'000'000'000;
constexpr int64_t kAckWaitNs = int64_t{22} * 3600 * 1'000'000'000;
// A source asks for the identity of its origin as well.
constexpr int kMirrorLevel = 4;
constexpr int kSourceLevel = 5;

struct ConsumerAnswer {
  std::optional<ApiError> error;
  bool confirms_by_flow = false;  // its acknowledgements are answers to its questions for flow control
};

ApiError ReadError(std::string_view json) {
  ApiError error;
  int64_t number = 0;
  JsonMembers fields(json);
  while (fields.Next()) {
    if (fields.key() == "description") error.description = fields.value().string;
    if (!fields.value().AsInteger(&number)) continue;
    if (fields.key() == "code") error.code = static_cast<int>(number);
    if (fields.key() == "err_code") error.err_code = static_cast<int>(number);
  }
  return error;
}

// What is no answer at all is an error of bad JSON.
ConsumerAnswer ReadAnswer(std::string_view json) {
  ConsumerAnswer answer;
  JsonMembers members(json);
  if (members.status() != JsonStatus::kObject) answer.error = MakeErrorText(ApiErrorId::kInvalidJSON, "bad answer");
  while (members.Next()) {
    if (members.key() == "error") answer.error = ReadError(members.value().raw);
    if (members.key() != "config") continue;
    JsonMembers config(members.value().raw);
    while (config.Next()) {
      if (config.key() == "ack_policy") answer.confirms_by_flow = config.value().string == "flow_control";
    }
  }
  return answer;
}

uint64_t NumberOf(std::string_view header, std::string_view key) {
  const std::string_view text = FindHeader(header, key).value_or("");
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Prefixes may end with a dot, or not.
std::string WithoutDoubleDots(std::string subject) {
  for (size_t at = subject.find(".."); at != std::string::npos; at = subject.find("..")) subject.erase(at, 1);
  return subject;
}

}  // namespace

ExternalOrigin::ExternalOrigin(StreamHost& host, Upstream& reader, AccountId account, const StreamSource& source,
                               Filters filters, For reads_for)
    : host_(host),
      reader_(reader),
      account_(account),
      source_(source),
      filters_(std::move(filters)),
      reads_for_(reads_for) {
  MR_CHECK(source_.external.has_value());
  timer_.Bind<&ExternalOrigin::OnTimer>(this);
}

ExternalOrigin::~ExternalOrigin() {
  host_.port().timers().Cancel(&timer_);
  StopListening();
}

void ExternalOrigin::Begin(uint64_t seq, std::optional<int64_t> time_ns, std::string_view identity) {
  MR_CHECK(state_ == State::kIdle && seq > 0);
  identity_ = identity;
  next_ = seq;
  start_time_ns_ = time_ns;
  Ask();
}

bool ExternalOrigin::Read(OriginMessage* message) const {
  if (items_.empty()) return false;
  MR_DCHECK(items_.front().flow_question.empty());
  *message = items_.front().message;
  return true;
}

void ExternalOrigin::Pop() {
  MR_CHECK(!items_.empty() && items_.front().message.seq >= next_);
  next_ = items_.front().message.seq + 1;
  taken_consumer_seq_ = items_.front().consumer_seq;
  start_time_ns_.reset();
  items_.pop_front();
  AnswerFlow();
}

// Questions at the front are answered: all before them is taken, and a consumer that is named counts it as confirmed.
void ExternalOrigin::AnswerFlow() {
  while (!items_.empty() && !items_.front().flow_question.empty()) {
    const std::string block =
        absl::StrFormat("NATS/1.0\r\n%s: %d\r\n%s: %d\r\n\r\n", std::string(kLastConsumerHeader),
                        taken_consumer_seq_, std::string(kLastStreamHeader), next_ - 1);
    host_.replies().SendNow(account_, items_.front().flow_question, block, static_cast<uint32_t>(block.size()));
    items_.pop_front();
  }
}

// ---- the consumer --------------------------------------------------------------------------------------------------

ConsumerConfig ExternalOrigin::Wanted() const {
  ConsumerConfig config;
  config.name = (reads_for_ == For::kMirror ? "JS_MIRROR_" : "JS_SRC_") + RandomDigits(host_.port(), 8);
  config.deliver_subject = deliver_subject_;
  config.ack_policy = AckPolicy::kNone;
  config.ack_wait_ns = kAckWaitNs;
  config.max_deliver = 1;
  config.idle_heartbeat_ns = kHeartbeatNs;
  config.flow_control = true;
  config.direct = true;
  config.sourcing = true;
  config.inactive_threshold_ns = kInactiveNs;
  if (start_time_ns_) {
    config.deliver_policy = DeliverPolicy::kByStartTime;
    config.opt_start_time_ns = start_time_ns_;
  } else if (next_ > 1) {
    config.deliver_policy = DeliverPolicy::kByStartSequence;
    config.opt_start_seq = next_;
  }
  if (filters_.size() == 1) config.filter_subject = filters_.front();
  if (filters_.size() > 1) config.filter_subjects = filters_;
  return config;
}

std::string ExternalOrigin::RequestSubject(const ConsumerConfig& config) const {
  std::string subject = source_.external->api;
  if (source_.consumer) {
    subject += ".CONSUMER.RESET." + source_.name + "." + source_.consumer->name;
  } else {
    subject += ".CONSUMER.CREATE." + source_.name;
    if (!config.filter_subject.empty()) subject += "." + config.name + "." + config.filter_subject;
  }
  return WithoutDoubleDots(std::move(subject));
}

// From inside of the JetStream phase, or of a timer.
void ExternalOrigin::Ask() {
  items_.clear();
  consumer_seq_ = taken_consumer_seq_ = 0;
  Listen();
  ConsumerCreateRequest request;
  request.stream_name = source_.name;
  request.config = Wanted();
  const std::string subject = RequestSubject(request.config);
  std::string payload;
  if (reads_for_ == For::kSource) {
    payload = absl::StrFormat("NATS/1.0\r\n%s: %d\r\n%s: %s\r\n\r\n", std::string(kRequiredApiLevelHeader),
                              kSourceLevel, std::string(kStreamIdentityHeader), identity_);
  } else if (!source_.consumer) {
    payload = absl::StrFormat("NATS/1.0\r\n%s: %d\r\n\r\n", std::string(kRequiredApiLevelHeader), kMirrorLevel);
  }
  Outgoing out;
  out.header_bytes = static_cast<uint32_t>(payload.size());
  if (!source_.consumer) payload += PrintJson(request);
  out.account = account_;
  out.deliver_to = subject;
  out.reply = answer_subject_;
  out.payload = payload;
  state_ = State::kAsking;
  if (host_.port().Publish(out) == Sent::kNobody) return Rest(kAskAgainAfter);  // an import may come
  host_.port().timers().Arm(&timer_, Now() + kAskedAtMost);
}

// The stream that was read is gone, and another one has its name.
void ExternalOrigin::BeginWithAnother() {
  identity_.clear();
  next_ = std::max<uint64_t>(source_.opt_start_seq, 1);
  start_time_ns_ = source_.opt_start_time_ns;
  Rest(Nanos{0});
}

void ExternalOrigin::Listen() {
  StopListening();
  const std::string random = NewEventId(host_.port());
  const std::string& prefix = source_.external->deliver;
  const std::string kind = reads_for_ == For::kMirror ? "M." : "S.";
  deliver_subject_ = source_.consumer ? source_.consumer->deliver_subject
                     : prefix.empty() ? "$JS." + kind + random
                                      : WithoutDoubleDots(prefix + "." + kind + random);
  answer_subject_ = "$JSC.R." + random;
  deliveries_ = host_.port().Subscribe(account_, deliver_subject_, this);
  answers_ = host_.port().Subscribe(account_, answer_subject_, this);
}

void ExternalOrigin::StopListening() {
  for (Subscription** subscription : {&deliveries_, &answers_}) {
    if (*subscription != nullptr) host_.port().Unsubscribe(std::exchange(*subscription, nullptr));
  }
}

void ExternalOrigin::Rest(Nanos time) {
  state_ = State::kResting;
  items_.clear();
  host_.port().timers().Arm(&timer_, Now() + time);
}

// Nobody has answered, nothing has come for too long, or it has rested.
void ExternalOrigin::OnTimer() {
  if (state_ == State::kReading && Now() - heard_at_ < kSilentAtMost) {
    host_.port().timers().Arm(&timer_, heard_at_ + kSilentAtMost);
    return;
  }
  Ask();
}

// ---- what comes ----------------------------------------------------------------------------------------------------

bool ExternalOrigin::Deliver(const Subscription& subscription, const Message& message) {
  if (&subscription == answers_) {
    OnAnswer(message.payload.substr(0, message.header_bytes), message.payload.substr(message.header_bytes));
  } else if (message.header_bytes > 0 && message.payload.starts_with("NATS/1.0 100")) {
    OnStatus(message);
  } else {
    OnMessage(message);
  }
  return true;
}

void ExternalOrigin::OnAnswer(std::string_view header, std::string_view json) {
  if (state_ != State::kAsking) return;
  ConsumerAnswer answer = ReadAnswer(json);
  error_ = std::move(answer.error);
  if (error_ && error_->err_code == MakeError(ApiErrorId::kConsumerStreamIdentityMismatchF).err_code) {
    error_.reset();
    return BeginWithAnother();
  }
  if (!error_ && source_.consumer && !answer.confirms_by_flow) {
    error_ = MakeError(reads_for_ == For::kMirror ? ApiErrorId::kMirrorConsumerRequiresAckFC
                                                  : ApiErrorId::kSourceConsumerRequiresAckFC);
  }
  if (error_) return Rest(kAskAgainAfter);
  if (reads_for_ == For::kSource) {
    const std::string_view identity = FindHeader(header, kStreamIdentityHeader).value_or("");
    // A consumer that is named is not refused for it.
    if (!identity_.empty() && !identity.empty() && identity != identity_) next_ = 1;
    identity_ = identity;
  }
  state_ = State::kReading;
  heard_at_ = Now();
  host_.port().timers().Arm(&timer_, heard_at_ + kSilentAtMost);
}

void ExternalOrigin::OnStatus(const Message& message) {
  if (state_ != State::kReading) return;
  heard_at_ = Now();
  const std::string_view header = message.payload.substr(0, message.header_bytes);
  std::string question(message.reply);
  if (question.empty()) {
    // A heartbeat says what was sent last, and repeats a question that has got lost.
    if (FindHeader(header, kLastConsumerHeader).has_value() && NumberOf(header, kLastConsumerHeader) > consumer_seq_)
      return Rest(Nanos{0});
    question = FindHeader(header, kConsumerStalledHeader).value_or("");
  }
  if (question.empty()) return;
  Item& item = items_.emplace_back();
  item.flow_question = std::move(question);
  AnswerFlow();
}

// Before the answer has come something may be here already. Of a consumer that is named that is old: it begins anew
// with its answer.
void ExternalOrigin::OnMessage(const Message& message) {
  AckSubject meta;
  const bool early = state_ == State::kAsking && !source_.consumer;
  if ((state_ != State::kReading && !early) || !ParseAckSubject(message.reply, &meta)) return;
  heard_at_ = Now();
  if (meta.consumer_seq != consumer_seq_ + 1) return Rest(Nanos{0});  // some are lost: from there again
  consumer_seq_ = meta.consumer_seq;
  lag_ = meta.pending();
  if (meta.stream_seq < next_) return;
  Item& item = items_.emplace_back();
  item.consumer_seq = meta.consumer_seq;
  item.message.seq = meta.stream_seq;
  item.message.time_ns = meta.time_ns();
  item.message.subject = message.subject;
  item.message.header = message.payload.substr(0, message.header_bytes);
  item.message.body = message.payload.substr(message.header_bytes);
  host_.readers().Wake(&reader_);
}

}  // namespace millrace
