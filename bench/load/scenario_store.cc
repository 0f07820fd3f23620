// SPDX-License-Identifier: Apache-2.0
// store: one client publishes into a JetStream stream, with a window of messages that are not confirmed yet.
// Makes the stream first. Every confirmation is checked: its stream, and that its sequence is the next one. A stream
// that was there goes on from its last message.
#include <algorithm>
#include <bit>
#include <charconv>
#include <vector>

#include "bench/load/client.h"
#include "bench/load/publish_block.h"
#include "bench/load/scenario.h"

namespace millrace::bench {
namespace {

constexpr char kInbox[] = "_INBOX.store";
constexpr char kStream[] = "BENCH";
constexpr std::string_view kAck = "{\"stream\":\"BENCH\",\"seq\":";

class Storer : public QuietClient {
 public:
  struct Plan {
    uint64_t messages;
    uint64_t window;
    uint64_t warmup;  // the first messages are not measured
  };

  Storer(Ring* ring, const Target& target, const MessageShape& shape, const Plan& plan, size_t block_bytes,
         Histogram* latency, Stopwatch* watch)
      : QuietClient(ring, target),
        plan_(plan),
        block_(shape, 0, block_bytes),
        step_(std::max<uint64_t>(std::min<uint64_t>(plan.window / 8, block_.capacity()), 1)),
        latency_(latency),
        watch_(watch),
        sent_ns_(std::bit_ceil(plan.window + 1)) {}

  void OpenStream(const std::string& config) {
    Open(std::string("SUB ") + kInbox + " 1\r\nPUB $JS.API.STREAM.CREATE." + kStream + " " + kInbox + " " +
         std::to_string(config.size()) + "\r\n" + config + "\r\n");
  }
  void Begin() { Pump(); }

  void OnBytes(const char* data, size_t bytes) override {
    now_ns_ = NowNs();
    QuietClient::OnBytes(data, bytes);
    Pump();
  }

  bool ready() const { return ready_; }
  uint64_t stored() const { return stored_; }

 protected:
  void OnSendIdle() override { Pump(); }
  void OnLine(std::string_view line) override {
    if (line.starts_with("MSG ")) return;
    if (!line.starts_with('{')) return OnControl(line);
    if (!line.starts_with(kAck)) {
      if (ready_ || line.find("\"error\"") != std::string_view::npos || line.find("\"config\"") == line.npos)
        Fail("unexpected answer: " + std::string(line));
      ready_ = true;
      return;
    }
    uint64_t seq = 0;
    std::from_chars(line.data() + kAck.size(), line.data() + line.size(), seq);
    if (stored_ == 0) first_seq_ = seq;
    if (seq != first_seq_ + stored_) Fail("a confirmation out of order: " + std::string(line));
    if (stored_ >= plan_.warmup) latency_->Record(now_ns_ - sent_ns_[stored_ & (sent_ns_.size() - 1)]);
    if (++stored_ == plan_.warmup) watch_->Start();
  }

 private:
  void Pump() {
    if (!ready_ || sending()) return;
    const uint64_t room = std::min(plan_.window - (sent_ - stored_), plan_.messages - sent_);
    if (room == 0 || (room < step_ && sent_ != stored_)) return;
    const uint64_t count = std::min<uint64_t>(room, block_.capacity());
    const uint64_t now_ns = NowNs();
    for (uint64_t i = 0; i < count; ++i) sent_ns_[(sent_ + i) & (sent_ns_.size() - 1)] = now_ns;
    SendBlock(block_.Fill(sent_, static_cast<size_t>(count)));
    sent_ += count;
  }

  const Plan plan_;
  PublishBlock block_;
  const uint64_t step_;  // messages that are worth a send while others are on their way
  Histogram* const latency_;
  Stopwatch* const watch_;
  std::vector<uint64_t> sent_ns_;  // by message number
  bool ready_ = false;
  uint64_t sent_ = 0;
  uint64_t stored_ = 0;
  uint64_t first_seq_ = 0;
  uint64_t now_ns_ = 0;
};

}  // namespace

int RunStore(Setup& setup) {
  Flags& flags = *setup.flags;
  MessageShape::Options options = setup.Shape(128);
  options.reply = kInbox;
  const MessageShape shape(options);
  Storer::Plan plan{};
  plan.messages = flags.Number("msgs", 100'000);
  plan.window = flags.Number("inflight", 1000);
  plan.warmup = std::max<uint64_t>(flags.Number("warmup", plan.messages / 20), 1);
  const std::string extra = flags.Text("stream", "\"storage\":\"file\"");
  const uint64_t block_bytes = flags.Number("block", 64 * 1024);
  if (plan.window == 0 || plan.messages <= plan.warmup) Fail("nothing to measure");
  Ring ring(setup.RingFor(1));
  flags.RejectUnknown();

  Histogram latency;
  Stopwatch watch(setup.server_pid);
  Storer client(&ring, setup.target, shape, plan, block_bytes, &latency, &watch);
  const bool wildcard = options.subjects > 1;
  client.OpenStream(std::string("{\"name\":\"") + kStream + "\",\"subjects\":[\"" +
                    (wildcard ? shape.Wildcard() : shape.SubjectAt(0)) + "\"]," + extra + "}");
  client.Start();
  Progress progress(setup, "message", plan.messages);
  while (!client.ready() && progress.Tick(0)) ring.RunOnce(kTurnWaitNs);
  client.Begin();
  while (client.stored() < plan.messages) {
    ring.RunOnce(kTurnWaitNs);
    if (!progress.Tick(client.stored())) break;
  }
  watch.Stop();
  progress.Finish();

  const uint64_t stored = client.stored();
  const uint64_t measured = stored > plan.warmup ? stored - plan.warmup : 0;
  JsonLine line;
  line.Add("scenario", "store");
  line.Add("size", static_cast<uint64_t>(options.payload_bytes));
  line.Add("subjects", options.subjects);
  line.Add("inflight", plan.window);
  line.Add("msgs", measured);
  line.Add("msgs_per_s", static_cast<double>(measured) / watch.wall_s());
  line.Add(watch);
  line.AddLatency(latency);
  line.Add("lost", plan.messages - stored);
  line.Print();
  return stored == plan.messages ? kExitClean : kExitIncorrect;
}

}  // namespace millrace::bench
