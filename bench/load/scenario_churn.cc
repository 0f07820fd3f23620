// SPDX-License-Identifier: Apache-2.0
// churn: one connection subscribes and unsubscribes inboxes that nobody used before, while another publishes at full
// speed to a third. Interest that changes must not slow the data path, and the data path must not starve interest.
#include <algorithm>
#include <string>

#include "bench/load/buffered_client.h"
#include "bench/load/publisher.h"
#include "bench/load/scenario.h"
#include "bench/load/subscriber.h"

namespace millrace::bench {
namespace {

constexpr uint64_t kBatchesInFlight = 4;

class Churner : public QuietClient {
 public:
  Churner(Ring* ring, const Target& target, uint64_t pairs, uint64_t batch)
      : QuietClient(ring, target), pairs_(pairs), batch_(batch) {}

  // The next batch, when few enough of the last ones are unanswered; each ends with a PING.
  void Pump() {
    if (sending() || sent_ == pairs_ || batches_ - pongs() >= kBatchesInFlight) return;
    text_.clear();
    const uint64_t end = std::min(sent_ + batch_, pairs_);
    for (; sent_ < end; ++sent_) {
      const std::string sid = std::to_string(sent_ + 1);
      text_.append("SUB _INBOX.churn").append(sid).append(".* ").append(sid);
      text_.append("\r\nUNSUB ").append(sid).append("\r\n");
    }
    text_ += "PING\r\n";
    ++batches_;
    SendBlock(text_);
  }

  bool done() const { return sent_ == pairs_ && pongs() == batches_; }
  uint64_t answered() const { return std::min(pongs() * batch_, pairs_); }

 private:
  const uint64_t pairs_;
  const uint64_t batch_;
  uint64_t sent_ = 0;
  uint64_t batches_ = 0;
  std::string text_;
};

}  // namespace

int RunChurn(Setup& setup) {
  Flags& flags = *setup.flags;
  const MessageShape shape(setup.Shape(128));
  const uint64_t pairs = flags.Number("pairs", 200'000);
  const uint64_t batch = std::max<uint64_t>(flags.Number("batch", 128), 1);
  const bool publish = !flags.Bool("no-publish");
  const uint64_t window =
      std::max<uint64_t>(flags.Number("window", 512 << 10) / shape.PublishLine().bytes.size(), 1);
  const uint64_t block_bytes = flags.Number("block", 64 * 1024);
  Ring ring(setup.RingFor(3));
  flags.RejectUnknown();

  DeliveryTotal total;
  Subscriber<SequenceLedger> subscriber(&ring, setup.target, 0, shape.DeliveredFrame("1"),
                                        SequenceLedger(1), &total);
  subscriber.Open("SUB " + shape.SubjectAt(0) + " 1\r\n");
  subscriber.Start();
  Publisher publisher(&ring, setup.target, shape, 0, block_bytes);
  publisher.Open({});
  publisher.Start();
  Churner churner(&ring, setup.target, pairs, batch);
  churner.Open({});
  churner.Start();

  Progress progress(setup, "pair", pairs);
  Stopwatch watch(setup.server_pid);
  watch.Start();
  bool alive = true;
  while (alive && !churner.done()) {
    churner.Pump();
    if (publish) {
      publisher.Pump(subscriber.ledger().NextOf(0) + window, Publisher::Partial::kWait);
    }
    ring.RunOnce(kTurnWaitNs);
    alive = progress.Tick(churner.answered());
  }
  const uint64_t delivered = total.messages;
  watch.Stop();
  progress.Finish();
  const uint64_t deadline = NowNs() + setup.stall_ns;
  while (total.messages < publisher.sent() && NowNs() < deadline) ring.RunOnce(kTurnWaitNs);

  JsonLine line;
  line.Add("scenario", "churn");
  line.Add("pairs", churner.answered());
  line.Add("batch", batch);
  line.Add("size", static_cast<uint64_t>(shape.options().payload_bytes));
  line.Add("msgs", delivered);
  line.Add("pairs_per_s", static_cast<double>(churner.answered()) / watch.wall_s());
  line.Add("msgs_per_s", static_cast<double>(delivered) / watch.wall_s());
  line.Add(watch);
  const int status = ReportCounts(&line, subscriber.ledger().Close({publisher.sent()}), total.bad_frames);
  line.Print();
  return alive ? status : kExitIncorrect;
}

}  // namespace millrace::bench
