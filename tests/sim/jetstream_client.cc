// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/jetstream_client.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/sim/text.h"

namespace millrace::sim {
namespace {

constexpr size_t kOutBytes = 65536;
constexpr size_t kOpenMax = 20;
constexpr Nanos kAnswerMax = std::chrono::seconds(10);
constexpr Nanos kRetryAfter = std::chrono::milliseconds(2);
constexpr uint64_t kTriesMax = 500;
constexpr Nanos kDrainEvery = std::chrono::milliseconds(100);
constexpr std::string_view kWords[] = {"a", "b", "c"};
constexpr size_t kShownBytes = 800;
constexpr uint64_t kMessageIds = 30;  // so few that some come twice

// What follows the first `before` behind the first `from`; fails the run when there is none.
std::string_view Behind(std::string_view text, std::string_view from, std::string_view before) {
  const size_t start = text.find(from);
  const size_t at = start == std::string_view::npos ? start : text.find(before, start);
  if (at == std::string_view::npos) Fail(absl::StrFormat("an answer without %s: %s", before, text.substr(0, 300)));
  return text.substr(at + before.size());
}

uint64_t NumberBehind(std::string_view text, std::string_view from, std::string_view before) {
  const std::string_view rest = Behind(text, from, before);
  return Number(rest.substr(0, rest.find_first_not_of("0123456789")));
}

bool IsError(std::string_view body) { return body.find("\"error\":{") != std::string_view::npos; }
bool HasCode(std::string_view body, int code) {
  return body.find(absl::StrFormat("\"err_code\":%d", code)) != std::string_view::npos;
}

}  // namespace

JetStreamClient::JetStreamClient(SimKernel& kernel, JetStreamOracle& oracle, std::shared_ptr<Socket> socket, Role role)
    : kernel_(kernel),
      random_(kernel.random),
      oracle_(oracle),
      socket_(std::move(socket)),
      role_(role),
      number_(oracle.NextConnection()),
      inbox_(absl::StrFormat("_R.%d.", number_)) {
  if (role == Role::kUser && random_.Chance(20)) read_bytes_max_ = random_.Between(100, 2000);
  Write("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
  Write(absl::StrFormat("SUB %s* in\r\n", inbox_));
  if (role == Role::kDrainer) {
    for (size_t i = 0; i < oracle_.consumers().size(); ++i) {
      const JetStreamOracle::Consumer& consumer = oracle_.consumers()[i];
      if (!consumer.confirmed) continue;
      draining_.insert(i);
      if (!consumer.deliver.empty()) {
        const std::string sid = absl::StrFormat("p%d", i);
        pushes_[sid] = i;
        Write(absl::StrFormat("SUB %s %s\r\n", consumer.deliver, sid));
      }
      waiting_.emplace(kernel_.now + Nanos{static_cast<int64_t>(i)}, Call{.kind = Kind::kDrainInfo, .object = i});
    }
  }
}

std::string JetStreamClient::Describe() const {
  std::string text = absl::StrFormat(
      "JetStream client %d (%s, %d bytes to write, %d in the socket, %d to read, waits for", number_,
      closed_ ? "closed" : "open", out_.size(), socket_->to_broker.size(), socket_->to_client.size());
  for (const auto& [number, call] : calls_) {
    text += absl::StrFormat(" %d: kind %d of %d, seq %d;", number, static_cast<int>(call.kind), call.object, call.seq);
  }
  return text + ")";
}

// ---- moving bytes --------------------------------------------------------------------------------------------------

bool JetStreamClient::CanMove() const {
  if (closed_) return false;
  const bool ended = socket_->broker_closed || socket_->broker_shutdown || socket_->reset;
  if (ended || !socket_->to_client.empty()) return true;
  if (!out_.empty() && socket_->to_broker.size() < socket_->to_broker_max) return true;
  return !waiting_.empty() && waiting_.begin()->first <= kernel_.now;
}

bool JetStreamClient::MayOperate() const {
  return role_ == Role::kUser && !closed_ && !finishing_ && kernel_.now >= next_operation_ && out_.size() < kOutBytes &&
         calls_.size() < kOpenMax;
}

Nanos JetStreamClient::NextEvent() const {
  Nanos next = Nanos::max();
  if (closed_) return next;
  if (!waiting_.empty()) next = waiting_.begin()->first;
  if (role_ == Role::kUser && !finishing_ && next_operation_ > kernel_.now) next = std::min(next, next_operation_);
  return next;
}

void JetStreamClient::CheckAnswers() const {
  if (closed_) return;
  for (const auto& [number, call] : calls_) {
    if (kernel_.now > call.patience_until)
      Fail(absl::StrFormat("the answer to request %d does not come: %s", number, Describe()));
  }
}

void JetStreamClient::Write(std::string_view bytes) {
  out_ += bytes;
  if (Tracing()) Trace(absl::StrFormat("JetStream client %d writes %s", number_, bytes.substr(0, kShownBytes)));
}

void JetStreamClient::Move() {
  if (closed_) return;
  while (!waiting_.empty() && waiting_.begin()->first <= kernel_.now) {
    Call call = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    if (call.kind != Kind::kDrainInfo || !call.subject.empty()) {
      Ask(std::string(call.subject), std::string(call.body), call);
      continue;
    }
    const JetStreamOracle::Consumer& consumer = oracle_.consumers()[call.object];
    const std::string place = oracle_.streams()[consumer.stream].name + "." + consumer.name;
    if (consumer.deliver.empty() && fetch_ == 0) Fetch(call.object, 50, std::chrono::milliseconds(200));
    Ask("$JS.API.CONSUMER.INFO." + place, "", std::move(call));
  }
  if (!out_.empty() && !socket_->broker_shutdown && socket_->to_broker.size() < socket_->to_broker_max) {
    size_t n = std::min(out_.size(), socket_->to_broker_max - socket_->to_broker.size());
    if (random_.Chance(30)) n = random_.Between(1, n);
    socket_->to_broker.Push(std::string_view(out_).substr(0, n));
    out_.erase(0, n);
    kernel_.last_move = kernel_.now;
  }
  Read(read_bytes_max_);
}

void JetStreamClient::Read(size_t bytes_max) {
  if (socket_->to_client.empty()) {
    if (socket_->broker_closed || socket_->broker_shutdown || socket_->reset) Close();
    return;
  }
  const size_t n = std::min(socket_->to_client.size(), bytes_max);
  in_ += socket_->to_client.view().substr(0, n);
  socket_->to_client.Pop(n);
  kernel_.last_move = kernel_.now;
  std::string_view rest = in_;
  size_t used = 0;
  while (!closed_ && !rest.empty() && ParseOne(rest, &used)) rest.remove_prefix(used);
  in_.erase(0, in_.size() - rest.size());
}

void JetStreamClient::ReadRest() {
  finishing_ = true;
  while (!closed_ && !socket_->to_client.empty()) Read(SIZE_MAX);
}

void JetStreamClient::End() {
  if (closed_) return;
  if (Tracing()) Trace(absl::StrFormat("JetStream client %d ends its connection", number_));
  kernel_.last_move = kernel_.now;
  if (random_.Chance(50)) {
    socket_->reset = true;
  } else {
    socket_->to_broker.Push(out_);  // what was written before still leaves
    socket_->fin = true;
  }
  Close();
}

void JetStreamClient::Close() {
  closed_ = true;
  socket_->deaf = socket_->fin = true;
  for (JetStreamOracle::Consumer& consumer : oracle_.consumers()) {
    if (consumer.reader == number_) consumer.reader = 0;
  }
}

// ---- asking --------------------------------------------------------------------------------------------------------

void JetStreamClient::SendUnanswered(std::string_view subject, std::string_view reply, std::string_view header,
                                     std::string_view body) {
  const std::string to = absl::StrFormat("%s%s%s", subject, reply.empty() ? "" : " ", reply);
  if (header.empty()) {
    Write(absl::StrFormat("PUB %s %d\r\n%s\r\n", to, body.size(), body));
  } else {
    Write(absl::StrFormat("HPUB %s %d %d\r\n%s%s\r\n", to, header.size(), header.size() + body.size(), header, body));
  }
}

void JetStreamClient::Send(std::string_view subject, std::string_view header, std::string_view body, Call call) {
  const uint64_t number = next_call_++;
  call.patience_until = kernel_.now + kAnswerMax;
  SendUnanswered(subject, inbox_ + std::to_string(number), header, body);
  calls_.emplace(number, std::move(call));
}

// What is tried again when nobody is there yet.
void JetStreamClient::Ask(std::string subject, std::string body, Call call) {
  call.subject = subject;
  call.body = body;
  Send(subject, "", body, std::move(call));
}

bool JetStreamClient::PickStream(size_t* stream) {
  *stream = random_.Below(oracle_.streams().size());
  return oracle_.streams()[*stream].confirmed;
}

void JetStreamClient::PublishOne(size_t number, bool answered) {
  const std::string subject = absl::StrFormat("s%d.%s", number, random_.Pick(kWords));
  const std::string id = random_.Chance(40) ? absl::StrFormat("m%d", random_.Below(kMessageIds)) : "";
  const PublishRecord& record =
      oracle_.OnPublish(number, subject, id, number_, random_.Below(random_.Chance(10) ? 6000 : 200));
  const std::string header = oracle_.Header(record);
  const std::string body = oracle_.Body(record);
  if (answered) {
    Send(subject, header, body, Call{.kind = Kind::kPublish, .object = number, .seq = record.id});
  } else {
    SendUnanswered(subject, "", header, body);
  }
}

void JetStreamClient::Publish() {
  size_t stream = 0;
  if (!PickStream(&stream)) return;
  for (uint64_t n = random_.Between(1, random_.Chance(20) ? 12 : 3); n > 0; --n) PublishOne(stream, random_.Chance(90));
}

// Makes one, or gives it another description.
void JetStreamClient::MakeStream() {
  const size_t number = random_.Below(oracle_.streams().size());
  JetStreamOracle::Stream& stream = oracle_.streams()[number];
  if (stream.busy || (stream.confirmed && !random_.Chance(20))) return;
  stream.busy = stream.asked = true;
  const uint64_t version = ++stream.version_asked;
  Send(absl::StrFormat("$JS.API.STREAM.%s.%s", stream.confirmed ? "UPDATE" : "CREATE", stream.name), "",
       oracle_.StreamConfig(stream, version), Call{.kind = Kind::kMakeStream, .object = number, .seq = version});
}

void JetStreamClient::MakeConsumer() {
  if (oracle_.consumers().empty()) return;
  const size_t number = random_.Below(oracle_.consumers().size());
  JetStreamOracle::Consumer& consumer = oracle_.consumers()[number];
  const JetStreamOracle::Stream& stream = oracle_.streams()[consumer.stream];
  if (!stream.confirmed || consumer.busy || (consumer.confirmed && !random_.Chance(20))) return;
  consumer.busy = consumer.asked = true;
  const uint64_t version = ++consumer.version_asked;
  Send(absl::StrFormat("$JS.API.CONSUMER.CREATE.%s.%s", stream.name, consumer.name), "",
       oracle_.ConsumerConfig(consumer, version), Call{.kind = Kind::kMakeConsumer, .object = number, .seq = version});
}

void JetStreamClient::Get() {
  size_t number = 0;
  if (!PickStream(&number)) return;
  const JetStreamOracle::Stream& stream = oracle_.streams()[number];
  if (stream.slots.empty()) return;
  const auto last = stream.slots.rbegin()->first;
  const auto at = stream.slots.lower_bound(last - std::min(last - 1, random_.Below(40)));
  const bool gone = at->second.gone || at->first < stream.purged;
  Send("$JS.API.DIRECT.GET." + stream.name, "", absl::StrFormat("{\"seq\":%d}", at->first),
       Call{.kind = Kind::kGet, .object = number, .seq = at->first, .was_gone = gone});
}

void JetStreamClient::Remove() {
  size_t number = 0;
  if (!PickStream(&number)) return;
  JetStreamOracle::Stream& stream = oracle_.streams()[number];
  if (stream.slots.empty()) return;
  const auto last = stream.slots.rbegin()->first;
  const auto at = stream.slots.lower_bound(last - std::min(last - 1, random_.Below(40)));
  if (at->second.removal_asked || at->second.publish == 0) return;
  oracle_.OnRemovalAsked(number, at->first);
  Send("$JS.API.STREAM.MSG.DELETE." + stream.name, "",
       absl::StrFormat("{\"seq\":%d%s}", at->first, random_.Chance(70) ? ",\"no_erase\":true" : ""),
       Call{.kind = Kind::kRemove, .object = number, .seq = at->first});
}

void JetStreamClient::Purge() {
  size_t number = 0;
  if (!PickStream(&number)) return;
  JetStreamOracle::Stream& stream = oracle_.streams()[number];
  if (stream.slots.size() < 10) return;
  const uint64_t below = stream.slots.rbegin()->first - random_.Below(10);
  oracle_.OnPurgeAsked(number, below);
  Send("$JS.API.STREAM.PURGE." + stream.name, "", absl::StrFormat("{\"seq\":%d}", below),
       Call{.kind = Kind::kPurge, .object = number, .seq = below});
}

// One subscriber at a time, or each of several would get every message.
void JetStreamClient::SubscribePush() {
  for (size_t i = 0; i < oracle_.consumers().size(); ++i) {
    JetStreamOracle::Consumer& consumer = oracle_.consumers()[i];
    if (consumer.deliver.empty() || consumer.reader != 0 || !random_.Chance(50)) continue;
    consumer.reader = number_;
    const std::string sid = absl::StrFormat("p%d", i);
    pushes_[sid] = i;
    Write(absl::StrFormat("SUB %s %s\r\n", consumer.deliver, sid));
    return;
  }
}

// Its messages come under their own subjects, so it has an inbox of its own.
void JetStreamClient::Fetch(size_t number, uint64_t batch, Nanos expires) {
  const JetStreamOracle::Consumer& consumer = oracle_.consumers()[number];
  ++oracle_.statistics().fetches;
  fetch_ = next_call_++;
  fetch_left_ = batch;
  const std::string inbox = absl::StrFormat("_F.%d.%d", number_, fetch_);
  Write(absl::StrFormat("SUB %s f%d\r\n", inbox, fetch_));
  const std::string wait =
      expires == Nanos{} ? std::string("\"no_wait\":true") : absl::StrFormat("\"expires\":%d", expires.count());
  SendUnanswered(
      absl::StrFormat("$JS.API.CONSUMER.MSG.NEXT.%s.%s", oracle_.streams()[consumer.stream].name, consumer.name), inbox,
      "", absl::StrFormat("{\"batch\":%d,%s}", batch, wait));
  calls_.emplace(fetch_, Call{.kind = Kind::kFetch,
                              .object = number,
                              .patience_until = kernel_.now + expires + kAnswerMax});
}

void JetStreamClient::FetchSome() {
  if (oracle_.consumers().empty() || fetch_ != 0) return;
  const size_t number = random_.Below(oracle_.consumers().size());
  const JetStreamOracle::Consumer& consumer = oracle_.consumers()[number];
  if (!consumer.confirmed || !consumer.deliver.empty()) return;
  const Nanos expires = random_.Chance(30) ? Nanos{} : Nanos{std::chrono::milliseconds(random_.Between(1, 300))};
  Fetch(number, random_.Between(1, 12), expires);
}

void JetStreamClient::EndFetch() {
  Write(absl::StrFormat("UNSUB f%d\r\n", fetch_));
  calls_.erase(fetch_);
  fetch_ = 0;
}

void JetStreamClient::Operate() {
  const struct {
    uint32_t percent;
    void (JetStreamClient::*act)();
  } acts[] = {
      {40, &JetStreamClient::Publish}, {12, &JetStreamClient::MakeStream},    {10, &JetStreamClient::MakeConsumer},
      {8, &JetStreamClient::Get},      {5, &JetStreamClient::Remove},         {1, &JetStreamClient::Purge},
      {4, &JetStreamClient::SubscribePush}, {18, &JetStreamClient::FetchSome}, {2, &JetStreamClient::End},
  };
  uint64_t pick = random_.Below(100);
  if (random_.Chance(20))
    next_operation_ = kernel_.now + Nanos{random_.Below(random_.Chance(10) ? 20'000'000 : 400'000)};
  for (const auto& act : acts) {
    if (pick < act.percent) return (this->*act.act)();
    pick -= act.percent;
  }
}

// ---- reading -------------------------------------------------------------------------------------------------------

bool JetStreamClient::ParseOne(std::string_view input, size_t* used) {
  const size_t end = input.find("\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view line = input.substr(0, end);
  *used = end + 2;
  if (line.starts_with("MSG ") || line.starts_with("HMSG ")) {
    const std::vector<std::string_view> words = Split(line, ' ');
    const size_t least = line[0] == 'H' ? 5 : 4;
    if (words.size() != least && words.size() != least + 1) Fail("a malformed line: " + std::string(line));
    const size_t total = Number(words.back());
    const size_t header_bytes = line[0] == 'H' ? Number(words[words.size() - 2]) : 0;
    if (input.size() < *used + total + 2) return false;
    if (header_bytes > total || input.substr(*used + total, 2) != "\r\n") Fail("a payload without its end");
    Arrived message;
    message.subject = words[1];
    message.sid = words[2];
    if (words.size() > least) message.reply = words[3];
    message.header = input.substr(*used, header_bytes);
    message.body = input.substr(*used + header_bytes, total - header_bytes);
    if (Tracing()) {
      Trace(absl::StrFormat("JetStream client %d reads %s %s", number_, line, message.body.substr(0, kShownBytes)));
    }
    *used += total + 2;
    OnArrived(message);
    return true;
  }
  if (line == "PING") {
    Write("PONG\r\n");
  } else if (!line.starts_with("INFO {")) {
    Fail(absl::StrFormat("JetStream client %d got %s", number_, line));
  }
  return true;
}

void JetStreamClient::OnArrived(const Arrived& message) {
  if (message.sid[0] == 'p') {
    if (message.header.starts_with("NATS/1.0 1")) return;  // a heartbeat
    return OnDelivery(message);
  }
  if (message.sid[0] == 'f') {
    if (Number(message.sid.substr(1)) != fetch_)
      Fail("a message for a fetch that is over: " + std::string(message.sid));
    const bool status = message.reply.empty();
    if (status && !message.header.starts_with("NATS/1.0 ")) Fail("a delivery that cannot be acknowledged");
    if (!status) OnDelivery(message);
    if (status || --fetch_left_ == 0) EndFetch();
    return;
  }
  if (!message.subject.starts_with(inbox_)) Fail("a message for somebody else: " + std::string(message.subject));
  const uint64_t number = Number(message.subject.substr(inbox_.size()));
  const auto at = calls_.find(number);
  if (at == calls_.end()) Fail(absl::StrFormat("a second answer to request %d: %s", number, message.body));
  const Call call = std::move(at->second);
  calls_.erase(at);
  if (message.header.starts_with("NATS/1.0 503")) return OnNobody(number, call);
  OnAnswer(call, message);
}

void JetStreamClient::OnDelivery(const Arrived& message) {
  const std::vector<std::string_view> tokens = Split(message.reply, '.');
  if (tokens.size() != 9 || tokens[0] != "$JS" || tokens[1] != "ACK")
    Fail("a delivery with the reply " + std::string(message.reply));
  const size_t number = oracle_.ConsumerNumber(tokens[2], tokens[3]);
  const uint64_t deliveries = Number(tokens[4]);
  const uint64_t seq = Number(tokens[5]);
  const uint64_t consumer_seq = Number(tokens[6]);
  oracle_.OnDelivery(number, seq, deliveries, message.subject, message.header, message.body, number_);
  Seen& seen = seen_[number];
  if (consumer_seq <= seen.consumer_seq)
    Fail(absl::StrFormat("consumer %d delivers %d after %d", number, consumer_seq, seen.consumer_seq));
  seen.consumer_seq = consumer_seq;
  if (deliveries == 1) {
    if (seq <= seen.first_seq) Fail(absl::StrFormat("consumer %d delivers %d after %d", number, seq, seen.first_seq));
    seen.first_seq = seq;
  }
  if (!finishing_) Acknowledge(number, seq, std::string(message.reply));
}

void JetStreamClient::Acknowledge(size_t consumer, uint64_t seq, const std::string& ack_subject) {
  const uint64_t dice = role_ == Role::kDrainer ? 0 : random_.Below(100);
  const Call call{.kind = Kind::kAck, .object = consumer, .seq = seq};
  if (dice >= 80) return;
  if (dice >= 70) return SendUnanswered(ack_subject, "", "", "-NAK");
  oracle_.OnAckAsked(consumer, seq);
  if (dice >= 50) SendUnanswered(ack_subject, "", "", random_.Chance(50) ? "+ACK" : "");
  if (dice < 60) Send(ack_subject, "", "+ACK", call);
  if (dice < 5) Send(ack_subject, "", "", call);
}

void JetStreamClient::OnNobody(uint64_t number, Call call) {
  switch (call.kind) {
    case Kind::kPublish:
      return oracle_.OnPublishRefused(call.seq);
    case Kind::kMakeStream:
      oracle_.streams()[call.object].busy = false;
      return;
    case Kind::kMakeConsumer:
      oracle_.consumers()[call.object].busy = false;
      return;
    case Kind::kLookStream:
    case Kind::kLookMessage:
    case Kind::kLookConsumer:
    case Kind::kDrainInfo:
      if (++call.tries > kTriesMax) Fail(absl::StrFormat("nobody answers %s", call.subject));
      waiting_.emplace(kernel_.now + kRetryAfter + Nanos{static_cast<int64_t>(number)}, std::move(call));
      return;
    default:
      return;
  }
}

void JetStreamClient::OnAnswer(const Call& call, const Arrived& message) {
  const auto fail = [&message] { Fail("an answer that was not expected: " + std::string(message.body)); };
  JetStreamOracle::Stream* stream = call.object < oracle_.streams().size() ? &oracle_.streams()[call.object] : nullptr;
  switch (call.kind) {
    case Kind::kPublish:
      return OnPubAck(call, message);
    case Kind::kMakeStream:
    case Kind::kMakeConsumer:
      return OnMade(call, message);
    case Kind::kGet:
    case Kind::kLookMessage:
      return OnMessage(call, message);
    case Kind::kRemove:
      // Somebody else's purge, or the limit, may have been first.
      if (!IsError(message.body)) return oracle_.OnRemoved(call.object, call.seq);
      if (call.seq >= stream->purge_asked && stream->max_messages == 0) fail();
      return;
    case Kind::kPurge:
      if (IsError(message.body)) fail();
      return oracle_.OnPurged(call.object, call.seq);
    case Kind::kAck:
      if (!message.body.empty() || !message.header.empty()) fail();
      return oracle_.OnAckAnswered(call.object, call.seq, number_);
    case Kind::kLookStream:
      return OnStreamInfo(call, message);
    case Kind::kLookConsumer:
    case Kind::kDrainInfo:
      return OnConsumerInfo(call, message);
    case Kind::kFetch:
      fail();
  }
}

void JetStreamClient::OnPubAck(const Call& call, const Arrived& message) {
  if (IsError(message.body)) Fail("a publish is refused: " + std::string(message.body));
  const std::string_view name = Behind(message.body, "{", "\"stream\":\"");
  oracle_.OnPubAck(call.seq, name.substr(0, name.find('"')), NumberBehind(message.body, "{", "\"seq\":"),
                   message.body.find("\"duplicate\": true") != std::string_view::npos);
}

void JetStreamClient::OnMade(const Call& call, const Arrived& message) {
  if (IsError(message.body)) Fail("a change is refused: " + std::string(message.body));
  ++oracle_.statistics().updates;
  if (NumberBehind(message.body, "\"config\":{", "\"description\":\"v") != call.seq)
    Fail("an answer with another configuration: " + std::string(message.body));
  if (call.kind == Kind::kMakeStream) {
    JetStreamOracle::Stream& stream = oracle_.streams()[call.object];
    stream.confirmed = true;
    stream.busy = false;
    stream.version_confirmed = call.seq;
  } else {
    JetStreamOracle::Consumer& consumer = oracle_.consumers()[call.object];
    consumer.confirmed = true;
    consumer.busy = false;
    consumer.version_confirmed = call.seq;
  }
}

void JetStreamClient::OnMessage(const Call& call, const Arrived& message) {
  const bool found = !message.header.starts_with("NATS/1.0 404");
  std::string_view subject;
  if (found) {
    subject = Behind(message.header, "NATS/1.0", "Nats-Subject: ");
    subject = subject.substr(0, subject.find('\r'));
    if (NumberBehind(message.header, "NATS/1.0", "Nats-Sequence: ") != call.seq) Fail("another message than asked for");
  }
  if (call.kind == Kind::kGet) {
    if (!found) return oracle_.OnNotGot(call.object, call.seq);
    return oracle_.OnGot(call.object, call.seq, call.was_gone, subject, message.header, message.body);
  }
  if (found) {
    looks_[call.object].found[call.seq] =
        oracle_.Recognise(call.object, subject, message.header, message.body).id;
  }
  if (--messages_left_[call.object] == 0) EndStreamLook(call.object);
}

// ---- looking -------------------------------------------------------------------------------------------------------

void JetStreamClient::Look() {
  looks_.clear();
  looks_left_ = oracle_.streams().size() + oracle_.consumers().size();
  for (size_t i = 0; i < oracle_.streams().size(); ++i)
    Ask("$JS.API.STREAM.INFO." + oracle_.streams()[i].name, "", Call{.kind = Kind::kLookStream, .object = i});
}

void JetStreamClient::OnStreamInfo(const Call& call, const Arrived& message) {
  JetStreamOracle::StreamLook& look = looks_[call.object];
  if (IsError(message.body)) {
    if (!HasCode(message.body, 10059)) Fail("an answer that was not expected: " + std::string(message.body));
    return EndStreamLook(call.object);
  }
  look.exists = true;
  look.version = NumberBehind(message.body, "\"config\":{", "\"description\":\"v");
  look.messages = NumberBehind(message.body, "\"state\":{", "\"messages\":");
  look.first_seq = NumberBehind(message.body, "\"state\":{", "\"first_seq\":");
  look.last_seq = NumberBehind(message.body, "\"state\":{", "\"last_seq\":");
  const uint64_t first = std::max<uint64_t>(look.first_seq, 1);
  if (look.messages == 0 || first > look.last_seq) return EndStreamLook(call.object);
  messages_left_[call.object] = look.last_seq - first + 1;
  for (uint64_t seq = first; seq <= look.last_seq; ++seq) {
    Ask("$JS.API.DIRECT.GET." + oracle_.streams()[call.object].name, absl::StrFormat("{\"seq\":%d}", seq),
        Call{.kind = Kind::kLookMessage, .object = call.object, .seq = seq});
  }
}

void JetStreamClient::EndStreamLook(size_t stream) {
  oracle_.OnStreamLook(stream, looks_[stream]);
  if (--looks_left_ > oracle_.consumers().size()) return;
  for (size_t i = 0; i < oracle_.consumers().size(); ++i) {
    const JetStreamOracle::Consumer& consumer = oracle_.consumers()[i];
    Ask(absl::StrFormat("$JS.API.CONSUMER.INFO.%s.%s", oracle_.streams()[consumer.stream].name, consumer.name), "",
        Call{.kind = Kind::kLookConsumer, .object = i});
  }
}

void JetStreamClient::OnConsumerInfo(const Call& call, const Arrived& message) {
  JetStreamOracle::ConsumerLook look;
  if (IsError(message.body)) {
    if (!HasCode(message.body, 10014) && !HasCode(message.body, 10059))
      Fail("an answer that was not expected: " + std::string(message.body));
  } else {
    look.exists = true;
    look.version = NumberBehind(message.body, "\"config\":{", "\"description\":\"v");
    look.delivered = NumberBehind(message.body, "\"delivered\":{", "\"stream_seq\":");
    look.ack_floor = NumberBehind(message.body, "\"ack_floor\":{", "\"stream_seq\":");
    look.ack_pending = NumberBehind(message.body, "\"ack_floor\":{", "\"num_ack_pending\":");
    look.pending = NumberBehind(message.body, "\"ack_floor\":{", "\"num_pending\":");
  }
  if (call.kind == Kind::kLookConsumer) {
    oracle_.OnConsumerLook(call.object, look);
    --looks_left_;
    return;
  }
  if (look.pending == 0 && look.ack_pending == 0) {
    draining_.erase(call.object);
    return;
  }
  waiting_.emplace(kernel_.now + kDrainEvery + Nanos{static_cast<int64_t>(call.object)},
                   Call{.kind = Kind::kDrainInfo, .object = call.object});
}

}  // namespace millrace::sim
