// SPDX-License-Identifier: Apache-2.0
// connect: storms of short connections; the latency is from connect() to the first PONG.
// idle:    many connections that do nothing; the caller looks at the server's memory meanwhile.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/load/client.h"
#include "bench/load/scenario.h"

namespace millrace::bench {
namespace {

struct Storm {
  Ring* ring;
  Target target;
  SocketAddress address;
  std::string hello;  // CONNECT and PING
  uint64_t connections;
  uint64_t started = 0;
  uint64_t finished = 0;
  Histogram latency;
};

// One connection at a time: closed → connecting → greeted (INFO read) → ponged → closing → the next one.
class StormSlot : public Endpoint {
 public:
  explicit StormSlot(Storm* storm) : storm_(storm) {}

  void Next() {
    if (storm_->started == storm_->connections) return;
    fd_ = NewSocket(storm_->target, storm_->started++);
    text_.clear();
    greeted_ = false;
    started_ns_ = NowNs();
    storm_->ring->Connect(this, fd_, storm_->address.get(), storm_->address.length);
  }

  void OnConnected(int result) override {
    if (result < 0) Fail(std::string("connect: ") + std::strerror(-result));
    storm_->ring->ArmRecv(this, fd_);
  }

  void OnBytes(const char* data, size_t bytes) override {
    text_.append(data, bytes);
    if (text_.find("-ERR") != std::string::npos) Fail("the server says: " + text_);
    if (!greeted_ && text_.find("\r\n") != std::string::npos) {
      greeted_ = true;
      storm_->ring->Send(this, fd_, storm_->hello.data(), storm_->hello.size());
    }
    if (closing_ || text_.find("PONG\r\n") == std::string::npos) return;
    storm_->latency.Record(NowNs() - started_ns_);
    // The armed recv holds the socket: only its end of stream may close it.
    closing_ = true;
    shutdown(fd_, SHUT_RDWR);
  }

  void OnSent(int result) override {
    if (result < 0) Fail(std::string("send: ") + std::strerror(-result));
  }

  void OnClosed(int error) override {
    if (!closing_) Fail("the server closed a connection before its PONG");
    closing_ = false;
    close(fd_);
    ++storm_->finished;
    Next();
  }

 private:
  Storm* const storm_;
  int fd_ = -1;
  bool greeted_ = false;
  bool closing_ = false;
  uint64_t started_ns_ = 0;
  std::string text_;
};

}  // namespace

int RunConnect(Setup& setup) {
  Flags& flags = *setup.flags;
  const uint64_t connections = flags.Number("conns", 10'000);
  const uint64_t parallel = flags.Number("parallel", 64);
  Ring ring(setup.RingFor(65));
  flags.RejectUnknown();

  auto storm = std::make_unique<Storm>(Storm{&ring, setup.target, SocketAddress(setup.target),
                                             ConnectLine(setup.target) + "PING\r\n", connections,
                                             0, 0, {}});
  std::vector<std::unique_ptr<StormSlot>> slots;
  Progress progress(setup, "connection", connections);
  Stopwatch watch(setup.server_pid);
  watch.Start();
  for (uint64_t i = 0; i < parallel; ++i) {
    slots.push_back(std::make_unique<StormSlot>(storm.get()));
    slots.back()->Next();
  }
  bool alive = true;
  while (alive && storm->finished < connections) {
    ring.RunOnce(kTurnWaitNs);
    alive = progress.Tick(storm->finished);
  }
  watch.Stop();
  progress.Finish();

  JsonLine line;
  line.Add("scenario", "connect");
  line.Add("conns", storm->finished);
  line.Add("parallel", parallel);
  line.Add("conns_per_s", static_cast<double>(storm->finished) / watch.wall_s());
  line.Add(watch);
  line.AddLatency(storm->latency);
  line.Add("lost", connections - storm->finished);
  line.Print();
  return alive ? kExitClean : kExitIncorrect;
}

int RunIdle(Setup& setup) {
  Flags& flags = *setup.flags;
  const uint64_t connections = flags.Number("conns", 1000);
  const double seconds = flags.Real("seconds", 0);
  const double settle_s = flags.Real("settle-s", 0);
  const bool subscribe = flags.Bool("subscribe");
  Ring ring(setup.RingFor(65));
  flags.RejectUnknown();

  Progress progress(setup, "connection", connections);
  Stopwatch opening(setup.server_pid);
  opening.Start();
  std::vector<std::unique_ptr<QuietClient>> clients;
  for (uint64_t i = 0; i < connections; ++i) {
    clients.push_back(std::make_unique<QuietClient>(&ring, setup.target, i));
    clients.back()->Open(subscribe ? "SUB idle." + std::to_string(i) + " 1\r\n" : std::string());
    clients.back()->Start();
    progress.Tick(i);
  }
  opening.Stop();
  progress.Finish();
  // Servers ping a new client once, a second or two after it came: that is not idle yet.
  const uint64_t settled_ns = NowNs() + static_cast<uint64_t>(settle_s * 1e9);
  while (NowNs() < settled_ns) ring.RunOnce(std::min(kTurnWaitNs, settled_ns - std::min(settled_ns, NowNs())));
  JsonLine ready;
  ready.Add("scenario", "idle");
  ready.Add("ready", connections);
  ready.Add("open_s", opening.wall_s());
  ready.Print();

  // Held until the caller lets go: the server's pings are answered meanwhile.
  Stopwatch watch(setup.server_pid);
  watch.Start();
  const auto until = seconds > 0 ? NowNs() + static_cast<uint64_t>(seconds * 1e9) : ~uint64_t{0};
  while (NowNs() < until) {
    ring.RunOnce(kTurnWaitNs);
    if (seconds > 0) continue;
    pollfd input{0, POLLIN, 0};
    char discard[256];
    if (poll(&input, 1, 0) > 0 && read(0, discard, sizeof discard) <= 0) break;
  }
  watch.Stop();

  JsonLine line;
  line.Add("scenario", "idle");
  line.Add("conns", connections);
  line.Add("open_s", opening.wall_s());
  line.Add(watch);
  line.Print();
  return kExitClean;
}

}  // namespace millrace::bench
