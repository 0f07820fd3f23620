// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/accounts_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "proto/errors.h"
#include "tests/sim/text.h"

namespace millrace::sim {
namespace {

constexpr size_t kSubsMax = 8;
constexpr uint32_t kAnswersMax = 80;  // or they answer each other for ever
constexpr size_t kInFlightMax = 100'000;
constexpr const char* kQueues[] = {"q", "workers"};

}  // namespace

AccountsClient::AccountsClient(SimKernel& kernel, AccountsOracle& oracle, std::shared_ptr<Socket> socket,
                               std::string user)
    : kernel_(kernel),
      random_(kernel.random),
      oracle_(oracle),
      socket_(std::move(socket)),
      answers_left_(random_.Pick({0u, kAnswersMax, kAnswersMax})) {
  const bool no_responders = random_.Chance(50);
  const bool headers = no_responders || random_.Chance(50);
  if (random_.Chance(20)) read_bytes_max_ = random_.Between(1, 600);
  record_ = oracle_.AddClient(socket_.get(), user, headers, no_responders);
  const auto text = [](bool value) { return value ? "true" : "false"; };
  Write(absl::StrFormat("CONNECT {\"verbose\":false,\"headers\":%s,\"no_responders\":%s,\"protocol\":1,"
                        "\"lang\":\"sim\",\"name\":\"client-%d\",\"user\":\"%s\",\"pass\":\"p\"}\r\n",
                        text(headers), text(no_responders), record_->index, user));
  Ping();
}

std::string AccountsClient::Describe() const {
  return absl::StrFormat("client %d (%s in '%s', %s, %d PINGs out, %d bytes to write, %d to read)", record_->index,
                         record_->user, record_->account, open() ? "open" : closed() ? "closed" : "coming",
                         pings_out_, out_.size() + socket_->to_broker.size(), socket_->to_client.size());
}

// ---- moving bytes --------------------------------------------------------------------------------------------------

bool AccountsClient::CanMove() const {
  if (closed()) return false;
  const bool ended = socket_->broker_closed || socket_->broker_shutdown || socket_->reset;
  if (!out_.empty() && !ended && socket_->to_broker.size() < socket_->to_broker_max) return true;
  return kernel_.now >= paused_until_ && (!socket_->to_client.empty() || ended);
}

bool AccountsClient::MayOperate() const {
  return open() && !finishing_ && kernel_.now >= next_operation_ && out_.size() < kInFlightMax;
}

Nanos AccountsClient::NextEvent() const {
  Nanos next = Nanos::max();
  if (closed()) return next;
  if (paused_until_ > kernel_.now) next = paused_until_;
  if (!finishing_ && next_operation_ > kernel_.now) next = std::min(next, next_operation_);
  return next;
}

void AccountsClient::Finish() {
  finishing_ = true;
  paused_until_ = Nanos{0};
  read_bytes_max_ = 1 << 20;
}

void AccountsClient::Move() {
  if (closed()) return;
  if (!out_.empty() && !socket_->broker_shutdown && socket_->to_broker.size() < socket_->to_broker_max) {
    size_t n = std::min(out_.size(), socket_->to_broker_max - socket_->to_broker.size());
    if (random_.Chance(30)) n = random_.Between(1, n);
    socket_->to_broker.Push(std::string_view(out_).substr(0, n));
    out_.erase(0, n);
    kernel_.last_move = kernel_.now;
  }
  if (kernel_.now >= paused_until_) Read();
}

void AccountsClient::Read() {
  if (!socket_->to_client.empty()) {
    size_t n = std::min(socket_->to_client.size(), read_bytes_max_);
    if (random_.Chance(30)) n = random_.Between(1, n);
    in_ += socket_->to_client.view().substr(0, n);
    socket_->to_client.Pop(n);
    kernel_.last_move = kernel_.now;
    std::string_view rest = in_;
    size_t used = 0;
    while (!closed() && !rest.empty() && ParseOne(rest, &used)) rest.remove_prefix(used);
    in_.erase(0, in_.size() - rest.size());
    return;
  }
  if (socket_->broker_closed || socket_->broker_shutdown || socket_->reset) OnEof();
}

// ---- reading -------------------------------------------------------------------------------------------------------

bool AccountsClient::ParseOne(std::string_view input, size_t* used) {
  const size_t end = input.find("\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view line = input.substr(0, end);
  *used = end + 2;
  if (line.starts_with("MSG ") || line.starts_with("HMSG ")) return ParseMessage(input, end + 2, used);
  if (Tracing()) Trace(absl::StrFormat("client %d reads %s", record_->index, std::string(line.substr(0, 60))));
  if (line == "PING") {
    Write("PONG\r\n");
  } else if (line == "PONG") {
    if (pings_out_-- == 0) Fail(Describe() + " got a PONG without a PING");
    oracle_.OnPong(*record_);
  } else if (line.starts_with("-ERR ")) {
    OnError(line);
  } else if (line.starts_with("INFO {")) {
    constexpr std::string_view kAccount = "\"remote_account\":\"";
    const size_t at = line.find(kAccount);
    if (at == std::string_view::npos || state_ != State::kComing) return true;
    const std::string_view rest = line.substr(at + kAccount.size());
    state_ = State::kOpen;
    oracle_.OnAccount(*record_, std::string(rest.substr(0, rest.find('"'))));
  } else {
    Fail("a line that no client knows: " + std::string(line));
  }
  return true;
}

bool AccountsClient::ParseMessage(std::string_view input, size_t line_bytes, size_t* used) {
  const std::string_view line = input.substr(0, line_bytes - 2);
  const bool with_header = line[0] == 'H';
  const std::vector<std::string_view> words = Split(line, ' ');
  const size_t least = with_header ? 5 : 4;
  if (words.size() != least && words.size() != least + 1) Fail("a malformed line: " + std::string(line));
  const std::string reply(words.size() == least ? std::string_view() : words[3]);
  const size_t total = Number(words.back());
  const size_t header_bytes = with_header ? Number(words[words.size() - 2]) : 0;
  if (header_bytes > total) Fail("a header that is larger than the message: " + std::string(line));
  if (input.size() < line_bytes + total + 2) return false;
  if (input.substr(line_bytes + total, 2) != "\r\n") Fail("a payload without its end: " + std::string(line));
  *used = line_bytes + total + 2;
  if (Tracing()) Trace(absl::StrFormat("client %d reads %s", record_->index, std::string(line)));
  const std::string_view header = input.substr(line_bytes, header_bytes);
  if (header.starts_with("NATS/1.0 503")) {
    oracle_.OnNoResponders(*record_, words[2], words[1]);
    return true;
  }
  oracle_.OnMessage(*record_, words[1], words[2], reply, header,
                    input.substr(line_bytes + header_bytes, total - header_bytes));
  if (reply.empty() || !open() || finishing_) return true;
  for (uint64_t n = random_.Pick({0u, 1u, 1u, 1u, 2u, 3u}); n > 0 && answers_left_ > 0; --n, --answers_left_)
    Publish(reply, random_.Chance(8) ? Inbox() + std::to_string(next_reply_++) : "");
  return true;
}

void AccountsClient::OnError(std::string_view line) {
  told_why_ = true;
  if (line.find(error_text::kTooManyAccountConnections) != std::string_view::npos) return oracle_.OnTooMany(*record_);
  if (line.find(error_text::kAuthorizationViolation) != std::string_view::npos) return oracle_.OnSentAway(*record_);
  Fail(Describe() + " got " + std::string(line));
}

void AccountsClient::OnEof() {
  if (Tracing()) Trace(absl::StrFormat("client %d is at its end", record_->index));
  if (!told_why_) oracle_.OnSentAway(*record_);
  state_ = State::kClosed;
  socket_->deaf = true;
  socket_->fin = true;
  oracle_.OnClosing(*record_, socket_->shutdown_stamp != 0 ? socket_->shutdown_stamp : kernel_.Stamp());
}

// ---- writing -------------------------------------------------------------------------------------------------------

void AccountsClient::Write(std::string_view bytes) {
  out_ += bytes;
  if (Tracing())
    Trace(absl::StrFormat("client %d writes %s", record_->index, std::string(bytes.substr(0, bytes.find("\r\n")))));
}

void AccountsClient::Ping() {
  ++pings_out_;
  Write("PING\r\n");
  oracle_.OnPing(*record_);
}

void AccountsClient::Publish(const std::string& subject, const std::string& reply) {
  const auto bytes = static_cast<uint32_t>(random_.Chance(8) ? random_.Between(2000, 9000) : random_.Between(8, 100));
  const uint32_t message = oracle_.OnPublish(*record_, subject, reply, bytes);
  const std::string payload = oracle_.Payload(message);
  Write(absl::StrFormat("PUB %s %s%s%d\r\n%s\r\n", subject, reply, reply.empty() ? "" : " ", payload.size(), payload));
}

void AccountsClient::PublishSome() {
  const std::vector<std::string> names = oracle_.newest().Published(record_->account);
  const std::string name = names[random_.Below(names.size())];
  for (uint64_t n = random_.Chance(15) ? random_.Between(2, 15) : 1; n > 0; --n)
    Publish(SomeSubject(random_, name), {});
}

std::string AccountsClient::Inbox() {
  std::string prefix = absl::StrFormat("_INBOX.%d.", record_->index);
  if (!inbox_) {
    inbox_ = true;
    Write(absl::StrFormat("SUB %s* inbox\r\n", prefix));
    oracle_.OnSubscribe(*record_, "inbox", prefix + "*", "");
  }
  return prefix;
}

void AccountsClient::Request() {
  const std::vector<std::string> names = oracle_.newest().Published(record_->account);
  Publish(SomeSubject(random_, names[random_.Below(names.size())]), Inbox() + std::to_string(next_reply_++));
}

void AccountsClient::Subscribe() {
  if (record_->subs.size() >= kSubsMax) return;
  const std::vector<std::string> filters = oracle_.newest().Heard(record_->account);
  const std::string filter = filters[random_.Below(filters.size())];
  const std::string queue = random_.Chance(25) ? random_.Pick(kQueues) : "";
  const std::string sid = std::to_string(next_sid_++);
  Write(absl::StrFormat("SUB %s %s%s%s\r\n", filter, queue, queue.empty() ? "" : " ", sid));
  oracle_.OnSubscribe(*record_, sid, filter, queue);
}

void AccountsClient::Unsubscribe() {
  for (const auto& [sid, sub] : record_->subs) {
    if (sid == "inbox" || sub->end_sent != 0 || !random_.Chance(40)) continue;
    Write(absl::StrFormat("UNSUB %s\r\n", sid));
    return oracle_.OnUnsubscribe(*record_, *sub);
  }
}

// A reply to what somebody else has been asked, perhaps in another account, or too late.
void AccountsClient::Spoof() {
  const std::string subject = oracle_.SomeReplySubject(random_);
  if (!subject.empty()) Publish(subject, {});
}

void AccountsClient::End() {
  if (closed()) return;
  if (Tracing()) Trace(absl::StrFormat("client %d ends its connection", record_->index));
  oracle_.OnClosing(*record_, kernel_.Stamp());
  kernel_.last_move = kernel_.now;
  state_ = State::kClosed;
  socket_->deaf = true;
  if (random_.Chance(50)) {
    socket_->reset = true;
    return;
  }
  socket_->to_broker.Push(out_);
  out_.clear();
  socket_->fin = true;
}

void AccountsClient::Operate() {
  if (random_.Chance(20))
    next_operation_ = kernel_.now + Nanos{random_.Below(random_.Chance(10) ? 20'000'000 : 400'000)};
  const uint64_t dice = random_.Below(100);
  if (dice < 22) return PublishSome();
  if (dice < 47) return Request();
  if (dice < 67) return Subscribe();
  if (dice < 70) return Unsubscribe();
  if (dice < 94) return Ping();
  if (dice < 97) return Spoof();
  if (dice < 98) return End();
  paused_until_ = kernel_.now + Nanos{random_.Below(20'000'000)};
}

}  // namespace millrace::sim
