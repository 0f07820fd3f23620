// SPDX-License-Identifier: Apache-2.0
// open: an open loop. Message n of a publisher is due at a fixed time whatever the server does, and its latency
// counts from then, not from when it could be sent: a server that stalls is charged for all who would have waited.
// The generator spins by default, so that its own sleep is not in the figures.
#include <algorithm>
#include <memory>
#include <vector>

#include "bench/load/publisher.h"
#include "bench/load/scenario.h"
#include "bench/load/subscriber.h"

namespace millrace::bench {
namespace {

constexpr uint64_t kBacklogBytesMax = 32 << 20;  // below the peer's limit for slow consumers
constexpr uint64_t kSliceNs = 200'000'000;       // of a schedule with rests

// When each message is due. All publishers share the rate and take turns.
// With rests: after each slice nothing is due for a while. A real-time process that never pauses is stopped by the
// kernel for 50 ms of each second, in the middle of something.
struct Schedule {
  uint64_t start_ns = 0;
  uint64_t measured_from_ns = 0;  // what is due earlier warms up
  double interval_ns = 0;         // between two messages of one publisher
  double phase_ns = 0;            // between two publishers
  uint64_t slice_ns = 0;          // 0: no rests
  uint64_t rest_ns = 0;

  uint64_t RestsBefore(uint64_t offset_ns) const { return slice_ns == 0 ? 0 : offset_ns / slice_ns * rest_ns; }
  uint64_t DueNs(MessageTag tag) const {
    const auto offset =
        static_cast<uint64_t>(static_cast<double>(tag.sequence) * interval_ns + tag.publisher * phase_ns);
    return start_ns + offset + RestsBefore(offset);
  }
  // How many messages of `publisher` are due at `now_ns`.
  uint64_t DueCount(uint64_t publisher, uint64_t now_ns) const {
    uint64_t offset = now_ns - start_ns;
    if (slice_ns != 0) {
      const uint64_t period = slice_ns + rest_ns;
      offset = offset / period * slice_ns + std::min(offset % period, slice_ns - 1);
    }
    const double since = static_cast<double>(offset) - static_cast<double>(publisher) * phase_ns;
    return since < 0 ? 0 : static_cast<uint64_t>(since / interval_ns) + 1;
  }
};

class LatencyLedger {
 public:
  LatencyLedger(size_t publishers, const Schedule* schedule, Histogram* latency)
      : sequence_(publishers), schedule_(schedule), latency_(latency) {}

  void OnArrival() { now_ns_ = NowNs(); }
  void OnTag(uint64_t bits) {
    sequence_.OnTag(bits);
    const uint64_t due_ns = schedule_->DueNs(MessageTag::Unpack(bits));
    if (due_ns >= schedule_->measured_from_ns) latency_->Record(now_ns_ > due_ns ? now_ns_ - due_ns : 0);
  }
  uint64_t received() const { return sequence_.received(); }
  const SequenceLedger& sequence() const { return sequence_; }

 private:
  SequenceLedger sequence_;
  const Schedule* const schedule_;
  Histogram* const latency_;
  uint64_t now_ns_ = 0;
};

}  // namespace

int RunOpen(Setup& setup) {
  Flags& flags = *setup.flags;
  const MessageShape shape(setup.Shape(128));
  const double rate = flags.Real("rate", 10'000);
  const double seconds = flags.Real("seconds", 5);
  const double warmup_s = flags.Real("warmup-s", 0.5);
  const uint64_t publisher_count = flags.Number("pubs", 1);
  const uint64_t subscriber_count = flags.Number("subs", 1);
  const bool sleep = flags.Bool("sleep");
  const uint64_t rest_ms = flags.Number("rest-ms", 0);
  if (rate <= 0 || publisher_count == 0 || subscriber_count == 0) Fail("nothing to send");
  Ring ring(setup.RingFor(publisher_count + subscriber_count));
  flags.RejectUnknown();

  Schedule schedule;
  schedule.interval_ns = 1e9 * static_cast<double>(publisher_count) / rate;
  schedule.phase_ns = 1e9 / rate;
  if (rest_ms != 0) {
    schedule.slice_ns = kSliceNs;
    schedule.rest_ns = rest_ms * 1'000'000;
  }
  Histogram latency;
  DeliveryTotal total;
  std::vector<std::unique_ptr<Subscriber<LatencyLedger>>> subscribers;
  const bool wildcard = shape.options().subjects > 1;
  for (uint64_t i = 0; i < subscriber_count; ++i) {
    subscribers.push_back(std::make_unique<Subscriber<LatencyLedger>>(
        &ring, setup.target, i, shape.DeliveredFrame("1"),
        LatencyLedger(publisher_count, &schedule, &latency), &total));
    subscribers.back()->Open("SUB " + (wildcard ? shape.Wildcard() : shape.SubjectAt(0)) + " 1\r\n");
    subscribers.back()->Start();
  }
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (uint16_t i = 0; i < publisher_count; ++i) {
    publishers.push_back(
        std::make_unique<Publisher>(&ring, setup.target, shape, i, size_t{64} * 1024));
    publishers.back()->Open({});
    publishers.back()->Start();
  }

  const uint64_t guard = std::max<uint64_t>(
      kBacklogBytesMax / shape.PublishLine().bytes.size() / subscriber_count, 1);
  const auto each = static_cast<uint64_t>(rate * seconds / static_cast<double>(publisher_count));
  const auto delivered = [&](size_t publisher) {
    uint64_t least = ~uint64_t{0};
    for (const auto& s : subscribers) least = std::min(least, s->ledger().sequence().NextOf(publisher));
    return least;
  };
  bool overrun = false;
  const uint64_t goal = each * publisher_count * subscriber_count;
  Progress progress(setup, "delivery", goal);
  Stopwatch watch(setup.server_pid);
  watch.Start();
  schedule.start_ns = NowNs() + 1'000'000;
  schedule.measured_from_ns = schedule.start_ns + static_cast<uint64_t>(warmup_s * 1e9);
  while (total.messages < goal) {
    const uint64_t now_ns = std::max(NowNs(), schedule.start_ns);
    uint64_t next_due_ns = now_ns + kTurnWaitNs;
    for (uint16_t i = 0; i < publisher_count; ++i) {
      Publisher& publisher = *publishers[i];
      uint64_t limit = std::min(schedule.DueCount(i, now_ns), each);
      if (limit > publisher.sent() + guard / 2 && limit > delivered(i) + guard) {
        limit = delivered(i) + guard;
        overrun = true;
      }
      publisher.Pump(limit, Publisher::Partial::kSend);
      if (publisher.sent() < each) {
        next_due_ns = std::min(next_due_ns, schedule.DueNs({i, publisher.sent()}));
      }
    }
    if (sleep || (schedule.rest_ns != 0 && next_due_ns > now_ns + schedule.rest_ns / 2)) {
      ring.RunOnce(next_due_ns > now_ns ? next_due_ns - now_ns : 0);
    } else {
      ring.Poll();
    }
    if (!progress.Tick(total.messages)) break;
  }
  watch.Stop();
  progress.Finish();
  Barrier(&ring, subscribers, setup.stall_ns);

  DeliveryCounts counts;
  std::vector<uint64_t> sent;
  for (const auto& publisher : publishers) sent.push_back(publisher->sent());
  for (const auto& s : subscribers) counts.Add(s->ledger().sequence().Close(sent));
  JsonLine line;
  line.Add("scenario", "open");
  line.Add("size", static_cast<uint64_t>(shape.options().payload_bytes));
  line.Add("pubs", publisher_count);
  line.Add("subs", subscriber_count);
  line.Add("rate", rate);
  line.Add("msgs", each * publisher_count);
  line.Add("deliveries", total.messages);
  const double rests_s = static_cast<double>(schedule.RestsBefore(
                             static_cast<uint64_t>(static_cast<double>(each - 1) * schedule.interval_ns))) / 1e9;
  line.Add("msgs_per_s", static_cast<double>(each * publisher_count) / (watch.wall_s() - rests_s));
  line.Add("overrun", static_cast<uint64_t>(overrun ? 1 : 0));
  line.Add(watch);
  line.AddLatency(latency);
  const int status = ReportCounts(&line, counts, total.bad_frames);
  line.Print();
  return status;
}

}  // namespace millrace::bench
