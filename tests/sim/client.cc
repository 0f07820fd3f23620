// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/client.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "tests/sim/text.h"

namespace millrace::sim {
namespace {

constexpr const char* kWords[] = {"a", "b", "c", "long-token-of-more-than-sixteen"};
constexpr const char* kQueues[] = {"q", "q", "workers", "w2"};

bool EndsWith(std::string_view text, std::string_view tail) {
  return text.size() >= tail.size() && text.substr(text.size() - tail.size()) == tail;
}

}  // namespace

SimClient::SimClient(SimKernel& kernel, Oracle& oracle, const ClientMix& mix, std::shared_ptr<Socket> socket,
                     bool probe)
    : kernel_(kernel), random_(kernel.random), oracle_(oracle), mix_(mix), socket_(std::move(socket)) {
  verbose_ = random_.Chance(25);
  const bool echo = !random_.Chance(25);
  const bool no_responders = probe || random_.Chance(50);
  const bool headers = no_responders || random_.Chance(50);
  responder_ = random_.Chance(30);
  if (random_.Chance(mix_.slow_readers_percent)) read_bytes_max_ = random_.Between(1, 600);
  record_ = oracle_.AddClient(socket_.get(), echo, headers, no_responders);
  const auto text = [](bool value) { return value ? "true" : "false"; };
  std::string credentials;
  if (mix_.hash_auth) {
    bad_password_ = random_.Chance(10);
    close_expected_ = bad_password_;
    credentials = absl::StrFormat(",\"user\":\"u\",\"pass\":\"%s\"", bad_password_ ? "bad" : "good");
    if (bad_password_) oracle_.OnClosing(*record_, kernel_.Stamp());
  }
  Write(absl::StrFormat("CONNECT {\"verbose\":%s,\"pedantic\":false,\"echo\":%s,\"headers\":%s,\"no_responders\":%s,"
                        "\"protocol\":%d,\"lang\":\"sim\",\"name\":\"client-%d\"%s}\r\n",
                        text(verbose_), text(echo), text(headers), text(no_responders), random_.Chance(70) ? 1 : 0,
                        record_->index, credentials),
        verbose_ ? 'K' : '\0');
}

std::string SimClient::Describe() const {
  return absl::StrFormat(
      "client %d (%s, waits for '%s', %d bytes to write, %d in the socket, %d to read%s%s)", record_->index,
      state_ == State::kOpen         ? "open"
      : state_ == State::kHalfClosed ? "half closed"
                                     : "closed",
      replies_, out_.size(), socket_->to_broker.size(), socket_->to_client.size(),
      socket_->broker_shutdown ? ", shut down" : "", socket_->broker_closed ? ", closed by the broker" : "");
}

// ---- moving bytes --------------------------------------------------------------------------------------------------

bool SimClient::CanMove() const {
  if (state_ == State::kClosed) return false;
  const bool can_write = (!out_.empty() || fin_wanted_) && !socket_->broker_closed && !socket_->broker_shutdown &&
                         (out_.empty() || socket_->to_broker.size() < socket_->to_broker_max);
  const bool can_read = kernel_.now >= paused_until_ && (!socket_->to_client.empty() || socket_->broker_closed ||
                                                         socket_->broker_shutdown || socket_->reset);
  return can_write || can_read;
}

Nanos SimClient::NextEvent() const {
  Nanos next = Nanos::max();
  if (state_ == State::kClosed) return next;
  if (paused_until_ > kernel_.now) next = paused_until_;
  if (!finishing_ && state_ == State::kOpen && next_operation_ > kernel_.now) next = std::min(next, next_operation_);
  return next;
}

void SimClient::Move() {
  if (state_ == State::kClosed) return;
  if (!out_.empty() && !socket_->broker_shutdown && socket_->to_broker.size() < socket_->to_broker_max) {
    size_t n = std::min(out_.size(), socket_->to_broker_max - socket_->to_broker.size());
    if (random_.Chance(30)) n = random_.Between(1, n);
    socket_->to_broker.Push(std::string_view(out_).substr(0, n));
    out_.erase(0, n);
    kernel_.last_move = kernel_.now;
  }
  if (out_.empty() && fin_wanted_) {
    fin_wanted_ = false;
    socket_->fin = true;
    kernel_.last_move = kernel_.now;
  }
  if (kernel_.now >= paused_until_) Read();
}

void SimClient::Read() {
  if (!socket_->to_client.empty()) {
    size_t n = std::min(socket_->to_client.size(), read_bytes_max_);
    if (random_.Chance(30)) n = random_.Between(1, n);
    in_ += socket_->to_client.view().substr(0, n);
    socket_->to_client.Pop(n);
    kernel_.last_move = kernel_.now;
    std::string_view rest = in_;
    size_t used = 0;
    while (state_ != State::kClosed && !rest.empty() && ParseOne(rest, &used)) rest.remove_prefix(used);
    in_.erase(0, in_.size() - rest.size());
    return;
  }
  if (state_ != State::kClosed && (socket_->broker_closed || socket_->broker_shutdown || socket_->reset)) OnEof();
}

// ---- reading -------------------------------------------------------------------------------------------------------

bool SimClient::ParseOne(std::string_view input, size_t* used) {
  const size_t end = input.find("\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view line = input.substr(0, end);
  const size_t line_bytes = end + 2;
  *used = line_bytes;
  if (line.starts_with("MSG ") || line.starts_with("HMSG ")) {
    const bool with_header = line[0] == 'H';
    const std::vector<std::string_view> words = Split(line, ' ');
    const size_t least = with_header ? 5 : 4;
    if (words.size() != least && words.size() != least + 1) Fail("a malformed line: " + std::string(line));
    const std::string_view reply = words.size() == least ? std::string_view() : words[3];
    const size_t total = Number(words.back());
    const size_t header_bytes = with_header ? Number(words[words.size() - 2]) : 0;
    if (header_bytes > total) Fail("a header that is larger than the message: " + std::string(line));
    if (input.size() < line_bytes + total + 2) return false;
    if (input.substr(line_bytes + total, 2) != "\r\n") Fail("a payload without its end: " + std::string(line));
    *used = line_bytes + total + 2;
    const std::string_view header = input.substr(line_bytes, header_bytes);
    const std::string_view body = input.substr(line_bytes + header_bytes, total - header_bytes);
    if (Tracing()) Trace(absl::StrFormat("client %d reads %s", record_->index, std::string(line)));
    if (header.starts_with("NATS/1.0 503")) {
      oracle_.OnNoResponders(*record_, words[2], words[1], header);
      return true;
    }
    oracle_.OnMessage(*record_, words[1], words[2], reply, header, body);
    if (responder_ && !reply.empty() && state_ == State::kOpen && !finishing_)
      PublishOne(std::string(reply), {}, false);
    return true;
  }
  if (Tracing()) Trace(absl::StrFormat("client %d reads %s", record_->index, std::string(line.substr(0, 60))));
  if (line == "PING") {
    pinged_ = true;
    if (state_ == State::kOpen) Write("PONG\r\n", '\0');
  } else if (line == "PONG") {
    OnReply('P');
    oracle_.OnPong(*record_);
  } else if (line == "+OK") {
    OnReply('K');
  } else if (line.starts_with("-ERR ")) {
    OnError(line);
  } else if (!line.starts_with("INFO {") || !EndsWith(line, "} ")) {
    Fail("a line that no client knows: " + std::string(line));
  }
  return true;
}

void SimClient::OnReply(char kind) {
  if (replies_.empty() || replies_[0] != kind) {
    Fail(absl::StrFormat("client %d got %c where '%s' was due", record_->index, kind, replies_));
  }
  replies_.erase(0, 1);
}

void SimClient::OnError(std::string_view line) {
  if (!close_expected_) Fail(absl::StrFormat("client %d got %s", record_->index, std::string(line)));
  // Replies to everything before the mistake have come.
  if (!bad_password_ && !replies_.empty())
    Fail(absl::StrFormat("client %d got %s where '%s' was due", record_->index, std::string(line), replies_));
}

void SimClient::OnEof() {
  if (Tracing()) Trace(absl::StrFormat("client %d is at its end", record_->index));
  if (state_ == State::kHalfClosed && !close_expected_ && socket_->to_client.empty() && !socket_->reset) {
    half_close_cut_ = !in_.empty() || !replies_.empty();
  }
  if (mistaken_ && !bad_password_ && mix_.generous && !socket_->reset && !replies_.empty()) {
    Fail(Describe() + ": the broker closed for a mistake without the replies to what came before it");
  }
  ended_by_broker_ = state_ == State::kOpen && !close_expected_;
  state_ = State::kClosed;
  socket_->deaf = true;
  socket_->fin = true;
  const uint64_t since = socket_->shutdown_stamp != 0 ? socket_->shutdown_stamp : kernel_.Stamp();
  oracle_.OnClosing(*record_, since);
}

// ---- writing -------------------------------------------------------------------------------------------------------

void SimClient::Write(std::string_view bytes, char reply) {
  out_ += bytes;
  if (reply != '\0') replies_ += reply;
  if (Tracing())
    Trace(absl::StrFormat("client %d writes %s", record_->index, std::string(bytes.substr(0, bytes.find("\r\n")))));
}

std::string SimClient::RandomSubject() {
  if (random_.Chance(2)) return "a..b";  // matches nobody
  std::string subject = random_.Pick(kWords);
  for (uint64_t more = random_.Below(3); more > 0; --more) subject += std::string(".") + random_.Pick(kWords);
  return subject;
}

std::string SimClient::RandomFilter() {
  if (random_.Chance(mix_.wide_percent)) return ">";
  const auto word = [this] { return std::string(random_.Chance(20) ? "*" : random_.Pick(kWords)); };
  std::string filter = mix_.literal_first ? random_.Pick(kWords) : word();
  for (uint64_t more = random_.Below(3); more > 0; --more) {
    if (random_.Chance(10)) return filter + ".>";
    filter += "." + word();
  }
  return filter;
}

uint32_t SimClient::RandomBytes() {
  if (random_.Chance(mix_.large_percent)) {
    if (random_.Chance(mix_.huge_percent * 8)) return static_cast<uint32_t>(random_.Between(60000, 110000));
    return static_cast<uint32_t>(random_.Chance(40) ? random_.Between(2030, 2070) : random_.Between(2049, 20000));
  }
  if (mix_.flood && random_.Chance(80)) return static_cast<uint32_t>(random_.Between(1800, 2048));
  return static_cast<uint32_t>(random_.Chance(80) ? random_.Between(8, 300) : random_.Between(300, 2048));
}

void SimClient::PublishOne(const std::string& subject, const std::string& reply, bool request) {
  const bool header = record_->headers && random_.Chance(30);
  const MessageRecord& m = oracle_.OnPublish(*record_, subject, reply, RandomBytes(), header, request);
  const std::string payload = oracle_.Payload(m);
  const std::string gap = reply.empty() ? "" : " ";
  std::string line =
      header ? absl::StrFormat("HPUB %s %s%s%d %d\r\n", subject, reply, gap, m.header.size(), payload.size())
             : absl::StrFormat("PUB %s %s%s%d\r\n", subject, reply, gap, payload.size());
  line += payload;
  line += "\r\n";
  Write(line, verbose_ ? 'K' : '\0');
}

void SimClient::Publish() {
  uint64_t count = random_.Chance(mix_.burst_percent) ? random_.Between(2, mix_.flood ? 1500 : 40) : 1;
  const bool same = random_.Chance(60);
  for (; count > 0; --count) {
    if (last_subject_.empty() || !same) last_subject_ = RandomSubject();
    const std::string reply = random_.Chance(10) ? RandomSubject() : "";
    // A reply makes it a request; those who want to hear of missing responders have an inbox for it (Request).
    PublishOne(last_subject_, record_->no_responders ? "" : reply, false);
  }
}

void SimClient::Subscribe() {
  if (record_->subs.size() >= mix_.subs_max) return;
  const std::string filter = RandomFilter();
  const std::string queue = random_.Chance(mix_.queue_percent) ? random_.Pick(kQueues) : "";
  std::string sid = std::to_string(next_sid_++);
  if (next_sid_ > 40) next_sid_ = 1;  // numbers come back
  for (const SubscriptionRecord* sub : record_->subs) {
    if (sub->sid == sid) return;
  }
  Write(absl::StrFormat("SUB %s %s%s%s\r\n", filter, queue, queue.empty() ? "" : " ", sid), verbose_ ? 'K' : '\0');
  SubscriptionRecord& sub = oracle_.OnSubscribe(*record_, sid, filter, queue);
  if (!random_.Chance(15)) return;
  const uint64_t max = random_.Between(1, 6);
  Write(absl::StrFormat("UNSUB %s %d\r\n", sid, max), verbose_ ? 'K' : '\0');
  oracle_.OnUnsubscribe(*record_, sub, max);
}

void SimClient::Unsubscribe() {
  std::vector<SubscriptionRecord*> subs;
  for (SubscriptionRecord* sub : record_->subs) {
    if (sub->sid != "inbox" && !sub->unsubscribed) subs.push_back(sub);
  }
  if (subs.empty()) return;
  SubscriptionRecord* sub = subs[random_.Below(subs.size())];
  const uint64_t max = random_.Chance(25) && sub->max == 0 ? sub->count + random_.Below(6) : 0;
  Write(max > 0 ? absl::StrFormat("UNSUB %s %d\r\n", sub->sid, max) : absl::StrFormat("UNSUB %s\r\n", sub->sid),
        verbose_ ? 'K' : '\0');
  oracle_.OnUnsubscribe(*record_, *sub, max);
}

void SimClient::Request() {
  if (!record_->no_responders) return Publish();
  const std::string prefix = absl::StrFormat("_INBOX.%d.", record_->index);
  if (!inbox_) {
    inbox_ = true;
    Write(absl::StrFormat("SUB %s* inbox\r\n", prefix), verbose_ ? 'K' : '\0');
    oracle_.OnSubscribe(*record_, "inbox", prefix + "*", "");
  }
  PublishOne(RandomSubject(), prefix + std::to_string(next_reply_++), true);
}

void SimClient::Probe(const std::vector<std::string>& subjects) {
  const std::string prefix = absl::StrFormat("_INBOX.%d.", record_->index);
  Write(absl::StrFormat("SUB %s* inbox\r\n", prefix), verbose_ ? 'K' : '\0');
  oracle_.OnSubscribe(*record_, "inbox", prefix + "*", "");
  for (const std::string& subject : subjects) PublishOne(subject, prefix + std::to_string(next_reply_++), true);
  Ping();
}

void SimClient::Ping() {
  Write("PING\r\n", 'P');
  oracle_.OnPing(*record_);
}

// Something for which the broker says -ERR and closes, or just closes.
void SimClient::Misbehave() {
  close_expected_ = mistaken_ = finishing_ = true;
  oracle_.OnClosing(*record_, kernel_.Stamp());
  oracle_.OnHasty(*record_);
  constexpr const char* kMistakes[] = {"FOO\r\n", "PUB a 99999999\r\n", "PUB a b c d e\r\n", "SUB\r\n",
                                       "PUB a 3\r\nabcd\r\n"};
  Write(random_.Pick(kMistakes), '\0');
}

void SimClient::End(Ending how) {
  if (state_ != State::kOpen) return;
  if (Tracing()) Trace(absl::StrFormat("client %d ends its connection, way %d", record_->index, static_cast<int>(how)));
  oracle_.OnClosing(*record_, kernel_.Stamp());
  kernel_.last_move = kernel_.now;
  if (how != Ending::kReset && !close_expected_ && mix_.generous) oracle_.OnGoodEnd(*record_);
  switch (how) {
    case Ending::kGraceful:
      state_ = State::kClosed;
      // What was written before still leaves; what arrives from now on is answered with a reset.
      socket_->to_broker.Push(out_);
      out_.clear();
      socket_->fin = true;
      socket_->deaf = true;
      break;
    case Ending::kReset:
      state_ = State::kClosed;
      socket_->reset = true;
      socket_->deaf = true;
      break;
    case Ending::kHalf:
      state_ = State::kHalfClosed;
      oracle_.OnHasty(*record_);
      fin_wanted_ = true;
      break;
  }
}

// ---- the mix -------------------------------------------------------------------------------------------------------

void SimClient::Operate() {
  const struct {
    uint32_t percent;
    void (SimClient::*act)();
  } acts[] = {
      {mix_.publish_percent, &SimClient::Publish},         {mix_.subscribe_percent, &SimClient::Subscribe},
      {mix_.unsubscribe_percent, &SimClient::Unsubscribe}, {mix_.ping_percent, &SimClient::Ping},
      {mix_.request_percent, &SimClient::Request},         {mix_.protocol_errors_percent, &SimClient::Misbehave},
  };
  uint32_t all = mix_.end_percent + mix_.pause_percent;
  for (const auto& act : acts) all += act.percent;
  uint64_t pick = random_.Below(all);
  if (random_.Chance(mix_.think_percent))
    next_operation_ = kernel_.now + Nanos{random_.Below(random_.Chance(10) ? 20'000'000 : 400'000)};
  for (const auto& act : acts) {
    if (pick < act.percent) return (this->*act.act)();
    pick -= act.percent;
  }
  if (pick < mix_.end_percent) return End(static_cast<Ending>(random_.Below(3)));
  paused_until_ =
      kernel_.now + Nanos{static_cast<int64_t>(random_.Below(static_cast<uint64_t>(mix_.pause_max.count())))};
}

}  // namespace millrace::sim
