// SPDX-License-Identifier: Apache-2.0
// The closed-loop throughput scenarios: pub, fanout and queue.
// Publishers stay at most a window ahead of what has been delivered, so that neither server ever meets its limit
// for slow consumers, and both are measured with the same amount in flight.
#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "bench/load/publisher.h"
#include "bench/load/scenario.h"
#include "bench/load/subscriber.h"

namespace millrace::bench {
namespace {

// What the server may have to hold for all subscribers together; divided among them it bounds the window.
constexpr uint64_t kBacklogBytesMax = 32 << 20;

struct FlowOptions {
  uint64_t publishers;
  uint64_t messages_each;
  uint64_t window_bytes;  // per publisher
  uint64_t block_bytes;

  FlowOptions(Setup& setup, uint64_t publisher_count, uint64_t copies) : publishers(publisher_count) {
    Flags& flags = *setup.flags;
    if (publishers == 0 || publishers > 1000) Fail("--pubs must be 1 to 1000");
    messages_each = std::max<uint64_t>(flags.Number("msgs", 1'000'000) / publishers, 1);
    const uint64_t backlog_max =
        flags.Number("backlog", kBacklogBytesMax) / std::max<uint64_t>(copies, 1) / publishers;
    window_bytes = std::min<uint64_t>(flags.Number("window", 512 << 10), backlog_max);
    // Three blocks and more, or publisher and subscriber would wait for each other in turn.
    block_bytes = std::min<uint64_t>(flags.Number("block", 64 * 1024), window_bytes / 4);
  }
};

// The publishers' half of a run, and its loop.
class Flow {
 public:
  Flow(const Setup& setup, const FlowOptions& options, const MessageShape& shape, Ring* ring)
      : ring_(ring), watch_(setup.server_pid), options_(options) {
    for (uint64_t i = 0; i < options.publishers; ++i) {
      publishers_.push_back(std::make_unique<Publisher>(
          ring, setup.target, shape, static_cast<uint16_t>(i), options.block_bytes));
      publishers_.back()->Open({});
      publishers_.back()->Start();
    }
    const uint64_t line = shape.PublishLine().bytes.size();
    window_messages_ = std::max<uint64_t>(options.window_bytes / line, 1);
  }

  // How many of publisher i's messages have reached everyone they should.
  using DeliveredOf = std::function<uint64_t(size_t)>;

  // Runs until `done()`; false if it hung. `count()` is only for the progress line.
  bool Run(Progress* progress, const DeliveredOf& delivered, const std::function<bool()>& done,
           const std::function<uint64_t()>& count) {
    watch_.Start();
    bool alive = true;
    std::vector<uint64_t> limits(publishers_.size());
    while (!done()) {
      for (size_t i = 0; i < publishers_.size(); ++i) {
        Publisher& publisher = *publishers_[i];
        if (publisher.sending() || publisher.sent() == options_.messages_each) continue;
        // Counting what is delivered costs a look at every subscriber: only when the known limit is used up.
        if (limits[i] <= publisher.sent() + window_messages_ / 2) {
          limits[i] = std::min(delivered(i) + window_messages_, options_.messages_each);
        }
        const bool last = limits[i] == options_.messages_each;
        publisher.Pump(limits[i], last ? Publisher::Partial::kSend : Publisher::Partial::kWait);
      }
      ring_->RunOnce(kTurnWaitNs);
      alive = progress->Tick(count());
      if (!alive) break;
    }
    watch_.Stop();
    progress->Finish();
    return alive;
  }

  std::vector<std::unique_ptr<Publisher>>& publishers() { return publishers_; }
  const Stopwatch& watch() const { return watch_; }
  std::vector<uint64_t> Sent() const {
    std::vector<uint64_t> sent;
    for (const auto& publisher : publishers_) sent.push_back(publisher->sent());
    return sent;
  }

 private:
  Ring* const ring_;
  Stopwatch watch_;
  const FlowOptions options_;
  uint64_t window_messages_ = 0;
  std::vector<std::unique_ptr<Publisher>> publishers_;
};

void AddRates(JsonLine* line, const MessageShape& shape, const FlowOptions& options,
              uint64_t messages, uint64_t deliveries, const Stopwatch& watch) {
  const double seconds = watch.wall_s();
  const auto payload = static_cast<double>(shape.options().payload_bytes);
  line->Add("size", static_cast<uint64_t>(shape.options().payload_bytes));
  line->Add("headers", static_cast<uint64_t>(shape.options().headers ? 1 : 0));
  line->Add("subjects", shape.options().subjects);
  line->Add("pubs", options.publishers);
  line->Add("window", options.window_bytes);
  line->Add("msgs", messages);
  line->Add("deliveries", deliveries);
  line->Add("msgs_per_s", static_cast<double>(messages) / seconds);
  line->Add("deliveries_per_s", static_cast<double>(deliveries) / seconds);
  line->Add("bytes_per_s",
            static_cast<double>(deliveries != 0 ? deliveries : messages) * payload / seconds);
  line->Add(watch);
}

// A connection that holds --other-subs subscriptions nobody publishes to: a broker's interest is never empty.
std::unique_ptr<QuietClient> OpenOthers(Setup& setup, Ring* ring) {
  const uint64_t count = setup.flags->Number("other-subs", 0);
  auto client = std::make_unique<QuietClient>(ring, setup.target);
  if (count == 0) return client;
  std::string opening;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    opening.append("SUB other.").append(number).append(".x ").append(number).append("\r\n");
  }
  client->Open(opening);
  client->Start();
  return client;
}

}  // namespace

int RunPub(Setup& setup) {
  const MessageShape shape(setup.Shape(16));
  const FlowOptions options(setup, setup.flags->Number("pubs", 1), 0);
  const Ring::Options ring_options = setup.RingFor(options.publishers);
  Ring ring(ring_options);
  setup.flags->RejectUnknown();
  Flow flow(setup, options, shape, &ring);
  const uint64_t goal = options.messages_each * options.publishers;
  Progress progress(setup, "msg", goal);

  const auto sent = [&] {
    uint64_t sum = 0;
    for (const auto& publisher : flow.publishers()) sum += publisher->sent();
    return sum;
  };
  // A publisher's own socket is its back-pressure here. Its PONG says that the server has read everything.
  std::vector<bool> pinged(options.publishers);
  const auto done = [&] {
    bool all = true;
    for (size_t i = 0; i < pinged.size(); ++i) {
      Publisher& publisher = *flow.publishers()[i];
      if (!pinged[i] && publisher.sent() == options.messages_each) {
        publisher.Ping();
        pinged[i] = true;
      }
      all = all && publisher.pongs() != 0;
    }
    return all;
  };
  const bool alive = flow.Run(
      &progress, [&](size_t i) { return flow.publishers()[i]->sent(); }, done, sent);
  if (!alive) Fail("no progress: the server reads no more");

  JsonLine line;
  line.Add("scenario", "pub");
  AddRates(&line, shape, options, goal, 0, flow.watch());
  line.Print();
  return kExitClean;
}

int RunFanout(Setup& setup) {
  const MessageShape shape(setup.Shape(128));
  const MessageShape received(setup.ReceivedShape(128));
  const uint64_t subscriber_count = setup.flags->Number("subs", 1);
  const bool wildcard = setup.flags->Bool("wildcard");
  const FlowOptions options(setup, setup.flags->Number("pubs", 1), subscriber_count);
  Ring ring(setup.RingFor(options.publishers + subscriber_count));

  // One subscription has sid 1. One for each subject: sids of seven digits, which vary with the subject.
  constexpr uint64_t kFirstSid = 1'000'000;
  const uint64_t subjects = shape.options().subjects;
  std::string opening;
  LineTemplate frame = received.DeliveredFrame("1");
  if (wildcard || subjects == 1) {
    opening = "SUB " + (wildcard ? received.Wildcard() : received.SubjectAt(0)) + " 1\r\n";
    if (wildcard && subjects == 1) Fail("--wildcard needs --subjects of 2 or more");
  } else {
    for (uint64_t i = 0; i < subjects; ++i) {
      opening += "SUB " + received.SubjectAt(i) + " " + std::to_string(kFirstSid + i) + "\r\n";
    }
    frame = received.DeliveredFrame(std::to_string(kFirstSid));
    frame.varying_bytes += 1 + 7;
  }
  const auto others = OpenOthers(setup, &ring);
  const uint64_t slow_count = setup.flags->Number("slow", 0);
  setup.flags->RejectUnknown();

  DeliveryTotal total;
  std::vector<std::unique_ptr<Subscriber<SequenceLedger>>> subscribers;
  for (uint64_t i = 0; i < subscriber_count; ++i) {
    subscribers.push_back(std::make_unique<Subscriber<SequenceLedger>>(
        &ring, setup.receivers, i, frame, SequenceLedger(options.publishers), &total));
    subscribers.back()->Open(opening);
    subscribers.back()->Start();
  }
  // Subscribers that never read: what they do to the others is the question. The server may close them.
  std::vector<std::unique_ptr<QuietClient>> slow;
  for (uint64_t i = 0; i < slow_count; ++i) {
    slow.push_back(std::make_unique<QuietClient>(&ring, setup.target, subscriber_count + i));
    slow.back()->Open(opening);
  }
  Flow flow(setup, options, shape, &ring);
  const uint64_t messages = options.messages_each * options.publishers;
  const uint64_t goal = messages * subscriber_count;
  Progress progress(setup, "delivery", goal);
  const auto delivered = [&](size_t publisher) {
    uint64_t least = ~uint64_t{0};
    for (const auto& subscriber : subscribers) {
      least = std::min(least, subscriber->ledger().NextOf(publisher));
    }
    return least;
  };
  flow.Run(
      &progress, delivered, [&] { return total.messages >= goal; },
      [&] { return total.messages; });
  Barrier(&ring, subscribers, setup.stall_ns);

  DeliveryCounts counts;
  for (const auto& subscriber : subscribers) counts.Add(subscriber->ledger().Close(flow.Sent()));
  JsonLine line;
  line.Add("scenario", "fanout");
  line.Add("subs", subscriber_count);
  line.Add("slow", slow_count);
  AddRates(&line, shape, options, messages, total.messages, flow.watch());
  const int status = ReportCounts(&line, counts, total.bad_frames);
  line.Print();
  return status;
}

int RunQueue(Setup& setup) {
  const MessageShape shape(setup.Shape(128));
  const MessageShape received(setup.ReceivedShape(128));
  const uint64_t members = setup.flags->Number("members", 8);
  const FlowOptions options(setup, setup.flags->Number("pubs", 1), 1);
  Ring ring(setup.RingFor(options.publishers + members));
  setup.flags->RejectUnknown();

  DeliveryTotal total;
  GroupLedger group(options.publishers, options.messages_each);
  std::vector<std::unique_ptr<Subscriber<GroupLedger::Member>>> subscribers;
  for (uint64_t i = 0; i < members; ++i) {
    subscribers.push_back(std::make_unique<Subscriber<GroupLedger::Member>>(
        &ring, setup.receivers, i, received.DeliveredFrame("1"),
        GroupLedger::Member(&group, options.publishers), &total));
    subscribers.back()->Open("SUB " + received.SubjectAt(0) + " workers 1\r\n");
    subscribers.back()->Start();
  }
  Flow flow(setup, options, shape, &ring);
  const uint64_t goal = options.messages_each * options.publishers;
  Progress progress(setup, "delivery", goal);
  flow.Run(
      &progress, [&](size_t i) { return group.UniqueOf(i); },
      [&] { return total.messages >= goal; }, [&] { return total.messages; });
  Barrier(&ring, subscribers, setup.stall_ns);

  uint64_t least = ~uint64_t{0};
  uint64_t most = 0;
  for (const auto& subscriber : subscribers) {
    least = std::min(least, subscriber->ledger().received());
    most = std::max(most, subscriber->ledger().received());
  }
  JsonLine line;
  line.Add("scenario", "queue");
  line.Add("members", members);
  AddRates(&line, shape, options, goal, total.messages, flow.watch());
  line.Add("member_least", least);
  line.Add("member_most", most);
  const int status = ReportCounts(&line, group.Close(flow.Sent()), total.bad_frames);
  line.Print();
  return status;
}

}  // namespace millrace::bench
