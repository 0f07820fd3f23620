// SPDX-License-Identifier: Apache-2.0
// request: round trips requester → server → responder → server → requester, each with a reply subject of its own
// under the requester's inbox, as client libraries do it. Both ends live in this process and sleep between messages
// unless --spin: a round trip has two wake-ups of the generator in it, the same for every server.
#include <bit>
#include <memory>
#include <vector>

#include "bench/load/buffered_client.h"
#include "bench/load/frame_reader.h"
#include "bench/load/scenario.h"

namespace millrace::bench {
namespace {

constexpr uint64_t kReplyTokens = MessageShape::kSubjectsMax;  // "_INBOX.b007.000042": six digits, then again

std::string InboxOf(uint16_t requester) {
  char digits[MessageShape::kSubjectDigits];
  StampDigits(digits, requester);
  return "_INBOX.b" + std::string(digits + 3, 3);
}

MessageShape RequestShape(const std::string& subject, uint16_t requester, size_t payload_bytes) {
  MessageShape::Options options;
  options.subject = subject;
  options.reply = InboxOf(requester) + ".000000";
  options.payload_bytes = payload_bytes;
  return MessageShape(options);
}

MessageShape ReplyShape(uint16_t requester, size_t payload_bytes) {
  MessageShape::Options options;
  options.subject = InboxOf(requester);
  options.subjects = kReplyTokens;
  options.payload_bytes = payload_bytes;
  return MessageShape(options);
}

class Responder : public BufferedClient {
 public:
  Responder(Ring* ring, const Target& target, const std::string& subject, uint16_t requesters, size_t payload_bytes)
      : BufferedClient(ring, target), reader_(this, Frame(subject, payload_bytes)) {
    for (uint16_t i = 0; i < requesters; ++i) {
      replies_.push_back(ReplyShape(i, payload_bytes).PublishLine());
    }
  }

  void OnBytes(const char* data, size_t bytes) override {
    reader_.OnBytes(data, bytes);
    Flush();
  }
  void OnTag(uint64_t bits) {
    const MessageTag tag = MessageTag::Unpack(bits);
    if (tag.publisher >= replies_.size()) Fail("a request of no requester of this run");
    const LineTemplate& reply = replies_[tag.publisher];
    const size_t at = out().size();
    out() += reply.bytes;
    StampDigits(out().data() + at + reply.subject_digits, tag.sequence % kReplyTokens);
    StoreTag(out().data() + at + reply.tag_offset, bits);
  }
  void OnBadFrame(std::string_view what) { Fail("unexpected frame: " + std::string(what)); }

 private:
  static LineTemplate Frame(const std::string& subject, size_t payload_bytes) {
    LineTemplate frame = RequestShape(subject, 0, payload_bytes).DeliveredFrame("1");
    frame.varying_from = frame.bytes.find("_INBOX.b") + 8;
    frame.varying_bytes = 3 + 1 + MessageShape::kSubjectDigits;
    return frame;
  }

  std::vector<LineTemplate> replies_;
  FrameReader<Responder> reader_;
};

// Behind a service import: requests have headers, and replies that the server has made. Each is answered with its body.
class ForeignResponder : public BufferedClient {
 public:
  using BufferedClient::BufferedClient;

  void OnBytes(const char* data, size_t bytes) override {
    in_.append(data, bytes);
    size_t at = 0;
    while (at < in_.size()) {
      const size_t used = Take(std::string_view(in_).substr(at));
      if (used == 0) break;
      at += used;
    }
    in_.erase(0, at);
    Flush();
  }

 private:
  // Returns the bytes of the first line, and of the message that it begins; 0 when they are not all there.
  size_t Take(std::string_view text) {
    const size_t line_bytes = text.find("\r\n");
    if (line_bytes == std::string_view::npos) return 0;
    const std::string_view line = text.substr(0, line_bytes);
    const bool headers = line.starts_with("HMSG ");
    if (!headers && !line.starts_with("MSG ")) {
      OnControl(line);
      return line_bytes + 2;
    }
    // Verb, subject, sid, reply, [bytes of the headers,] bytes.
    std::string_view words[6];
    size_t count = 0;
    for (size_t from = 0; from < line.size() && count < 6; ++count) {
      const size_t end = std::min(line.find(' ', from), line.size());
      words[count] = line.substr(from, end - from);
      from = end + 1;
    }
    if (count != (headers ? 6u : 5u)) Fail("a request without a reply: " + std::string(line));
    const uint64_t all = ParseCount(words[count - 1]);
    const uint64_t head = headers ? ParseCount(words[4]) : 0;
    const size_t end = line_bytes + 2 + all + 2;
    if (text.size() < end) return 0;
    const std::string_view body = text.substr(line_bytes + 2 + head, all - head);
    out().append("PUB ").append(words[3]).append(" ").append(std::to_string(body.size())).append("\r\n");
    out().append(body).append("\r\n");
    return end;
  }

  std::string in_;
};

class Requester : public BufferedClient {
 public:
  struct Plan {
    std::string subject;
    uint64_t requests;
    uint64_t inflight;
    uint64_t warmup;  // the first requests are not measured
    size_t payload_bytes;
  };

  Requester(Ring* ring, const Target& target, uint16_t id, const Plan& plan, Histogram* latency,
            Stopwatch* watch)
      : BufferedClient(ring, target),
        id_(id),
        plan_(plan),
        latency_(latency),
        watch_(watch),
        line_(RequestShape(plan.subject, id, plan.payload_bytes).PublishLine()),
        reply_digits_(line_.line_bytes - SizeField(plan.payload_bytes) -
                      MessageShape::kSubjectDigits),
        sent_ns_(std::bit_ceil(plan.inflight * 2)),
        reader_(this, ReplyShape(id, plan.payload_bytes).DeliveredFrame("1")) {}

  void OpenInbox() { Open("SUB " + InboxOf(id_) + ".* 1\r\n"); }

  void Begin() {
    now_ns_ = NowNs();
    while (sent_ < plan_.inflight && sent_ < plan_.requests) Ask();
    Flush();
  }

  void OnBytes(const char* data, size_t bytes) override {
    now_ns_ = NowNs();
    reader_.OnBytes(data, bytes);
    Flush();
  }
  void OnTag(uint64_t bits) {
    const MessageTag tag = MessageTag::Unpack(bits);
    uint64_t& sent_ns = sent_ns_[tag.sequence & (sent_ns_.size() - 1)];
    if (tag.publisher != id_ || sent_ns == 0) Fail("a reply to no outstanding request");
    if (answered_ >= plan_.warmup) latency_->Record(now_ns_ - sent_ns);
    sent_ns = 0;
    if (++answered_ == plan_.warmup && id_ == 0) watch_->Start();
    if (sent_ < plan_.requests) Ask();
  }
  void OnBadFrame(std::string_view what) { Fail("unexpected frame: " + std::string(what)); }

  uint64_t answered() const { return answered_; }

 private:
  // What follows the reply subject on the control line: " 128\r\n".
  static size_t SizeField(size_t payload_bytes) { return std::to_string(payload_bytes).size() + 3; }

  void Ask() {
    const size_t at = out().size();
    out() += line_.bytes;
    StampDigits(out().data() + at + reply_digits_, sent_ % kReplyTokens);
    StoreTag(out().data() + at + line_.tag_offset, MessageTag{id_, sent_}.Pack());
    sent_ns_[sent_ & (sent_ns_.size() - 1)] = now_ns_;
    ++sent_;
  }

  const uint16_t id_;
  const Plan plan_;
  Histogram* const latency_;
  Stopwatch* const watch_;
  const LineTemplate line_;
  const size_t reply_digits_;
  std::vector<uint64_t> sent_ns_;  // by request number; 0: not outstanding
  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
  uint64_t now_ns_ = 0;
  FrameReader<Requester> reader_;
};

}  // namespace

int RunRequest(Setup& setup) {
  Flags& flags = *setup.flags;
  const uint64_t requesters = flags.Number("requesters", 1);
  if (requesters == 0 || requesters > 999) Fail("--requesters must be 1 to 999");
  Requester::Plan plan{};
  plan.subject = flags.Text("subject", "bench.service");
  const std::string received = flags.Text("to-subject", plan.subject);
  const bool foreign = setup.receivers.user != setup.target.user;
  plan.inflight = flags.Number("inflight", 1);
  plan.payload_bytes = flags.Number("size", 16);
  plan.requests = flags.Number("msgs", 20'000) / requesters;
  plan.warmup = std::max<uint64_t>(flags.Number("warmup", plan.requests / 20), 1);
  if (plan.payload_bytes < MessageTag::kBytes) Fail("--size must be at least 8");
  if (plan.inflight == 0 || plan.requests <= plan.warmup) Fail("nothing to measure");
  const bool spin = flags.Bool("spin");
  Ring ring(setup.RingFor(requesters + 1));
  flags.RejectUnknown();

  Histogram latency;
  Stopwatch watch(setup.server_pid);
  std::unique_ptr<BufferedClient> responder;
  if (foreign) {
    responder = std::make_unique<ForeignResponder>(&ring, setup.receivers);
  } else {
    responder = std::make_unique<Responder>(&ring, setup.receivers, received, static_cast<uint16_t>(requesters),
                                            plan.payload_bytes);
  }
  responder->Open("SUB " + received + " 1\r\n");
  responder->Start();
  std::vector<std::unique_ptr<Requester>> clients;
  for (uint16_t i = 0; i < requesters; ++i) {
    clients.push_back(
        std::make_unique<Requester>(&ring, setup.target, i, plan, &latency, &watch));
    clients.back()->OpenInbox();
    clients.back()->Start();
  }
  const uint64_t goal = plan.requests * requesters;
  Progress progress(setup, "request", goal);
  for (auto& client : clients) client->Begin();
  uint64_t answered = 0;
  uint64_t before = 0;  // answered when the watch started
  while (answered < goal) {
    if (spin) {
      ring.Poll();
    } else {
      ring.RunOnce(kTurnWaitNs);
    }
    answered = 0;
    for (const auto& client : clients) answered += client->answered();
    if (before == 0 && watch.running()) before = answered;
    if (!progress.Tick(answered)) break;
  }
  watch.Stop();
  progress.Finish();

  JsonLine line;
  line.Add("scenario", "request");
  line.Add("size", static_cast<uint64_t>(plan.payload_bytes));
  line.Add("requesters", requesters);
  line.Add("inflight", plan.inflight);
  line.Add("msgs", answered - before);
  line.Add("msgs_per_s", static_cast<double>(answered - before) / watch.wall_s());
  line.Add(watch);
  line.AddLatency(latency);
  line.Add("lost", goal - answered);
  line.Print();
  return answered == goal ? kExitClean : kExitIncorrect;
}

}  // namespace millrace::bench
