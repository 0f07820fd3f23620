// SPDX-License-Identifier: Apache-2.0
// Goal: with a real thread for every participant nothing is lost, torn or reordered, payloads go home, and no wake-up
// is missed. This is what ThreadSanitizer is run on.
// Method: streams that both ends draw from the same seed; an eventfd as the doorbell in place of a ring message.
// Waiting is always for an event; the deadline is only there to fail instead of hanging.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "broker/mesh/shared_payload.h"
#include "broker/mesh/mesh.h"
#include "tests/mesh/records.h"

namespace millrace {
namespace {

constexpr int kDeadlineMs = 60'000;

// What a blocked participant waits at.
class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { MR_CHECK(fd_ >= 0); }
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  void Ring() { MR_CHECK(eventfd_write(fd_, 1) == 0); }
  // False when nobody rang before the deadline.
  bool Wait() {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, kDeadlineMs) != 1) return false;
    eventfd_t value = 0;
    return eventfd_read(fd_, &value) == 0;
  }

 private:
  const int fd_;
};

TEST(RingThreads, AStreamArrivesWholeAndInOrder) {
  const uint64_t records = Rounds(4'000'000);
  SpscRing ring(1 << 16);
  std::thread producer([&] {
    SeededRandom random(3);
    for (uint64_t number = 0; number < records; ++number) {
      const size_t body_bytes = DrawBodyBytes(&random, 4000);
      const auto bytes = static_cast<uint32_t>((sizeof(MailHeader) + body_bytes + 15) & ~size_t{15});
      char* place = ring.Reserve(bytes);
      while (place == nullptr) {
        ring.Publish();
        std::this_thread::yield();
        place = ring.Reserve(bytes);
      }
      *reinterpret_cast<MailHeader*>(place) = MailHeader{bytes, MailKind::kMessage, {}};
      // A few bytes at both ends tell as much as all of them and leave time for races.
      FillBody(place + sizeof(MailHeader), 8, number);
      if (body_bytes > 8) place[sizeof(MailHeader) + body_bytes - 1] = static_cast<char>(number);
      if (random.OneIn(20)) ring.Publish();
    }
    ring.Publish();
  });
  SeededRandom random(3);
  uint64_t next = 0;
  while (next < records && !testing::Test::HasFailure()) {
    const uint64_t got = ring.Drain([&](const MailHeader& header, const char* body) {
      const size_t body_bytes = DrawBodyBytes(&random, 4000);
      random.OneIn(20);
      EXPECT_EQ(header.bytes, (sizeof header + body_bytes + 15) & ~size_t{15});
      EXPECT_TRUE(BodyIs(body, 8, next));
      EXPECT_TRUE(body_bytes == 8 || body[body_bytes - 1] == static_cast<char>(next));
      ++next;
    });
    if (got == 0) std::this_thread::yield();
  }
  if (testing::Test::HasFailure()) std::_Exit(1);  // the producer would wait for ever
  producer.join();
  ring.Acknowledge(ring.consumer_records());
  EXPECT_EQ(ring.consumed(), records);
}

// One participant that streams to all others and checks what they stream to it, as a shard's turn does.
class Streamer {
 public:
  Streamer(Mesh& mesh, uint32_t self, std::vector<std::unique_ptr<Doorbell>>& bells, uint64_t records)
      : port_(mesh.port(self)), bells_(bells), records_(records) {
    for (uint32_t peer = 0; peer < mesh.participants(); ++peer) {
      peers_.push_back(Peer{0, 0, SeededRandom(1000 * self + peer), SeededRandom(1000 * peer + self)});
    }
  }

  void Run() {
    port_.Adopt();
    while (!Done()) {
      if (Turn() || Done() || !port_.TrySleep()) continue;
      ok_ &= bells_[port_.self()]->Wait();
      if (!ok_) return;
      port_.Awake();
      ++sleeps_;
    }
  }

  bool ok() const { return ok_; }
  uint64_t sleeps() const { return sleeps_; }
  uint64_t payloads_out() const { return payloads_out_; }

 private:
  struct Peer {
    uint64_t sent;
    uint64_t received;
    SeededRandom out;  // sizes of what we send
    SeededRandom in;   // and of what we get
  };

  bool Done() const {
    bool done = payloads_out_ == 0 && home_.empty();
    for (uint32_t peer = 0; peer < peers_.size(); ++peer) {
      if (peer == port_.self()) continue;
      done &= peers_[peer].sent == records_ && peers_[peer].received == records_ && port_.overflow_bytes(peer) == 0;
    }
    return done;
  }

  // False when there was nothing to do.
  bool Turn() {
    bool busy = port_.Drain([this](uint32_t from, const MailHeader& header, const char* body) {
      OnMail(from, header, body);
    }) > 0;
    for (SharedPayload* shared : home_) {
      std::memcpy(port_.Append(shared->owner, MailKind::kPayloadHome, sizeof shared), &shared, sizeof shared);
    }
    home_.clear();
    for (uint32_t target = 0; target < peers_.size(); ++target) {
      if (target == port_.self() || port_.overflow_bytes(target) > 20'000) continue;
      for (int i = 0; i < 50 && peers_[target].sent < records_; ++i) {
        SendOne(target);
        busy = true;
      }
    }
    port_.Ship([this](uint32_t target) { bells_[target]->Ring(); });
    return busy;
  }

  void SendOne(uint32_t target) {
    Peer& peer = peers_[target];
    if (peer.out.OneIn(50)) {
      SharedPayload* shared = SharedPayload::Create(port_.self(), std::string(3000, static_cast<char>(peer.sent)));
      shared->references = 1;
      ++payloads_out_;
      std::memcpy(port_.Append(target, MailKind::kInterest, sizeof shared), &shared, sizeof shared);
    } else {
      const size_t body_bytes = DrawBodyBytes(&peer.out, 1500);
      FillBody(port_.Append(target, MailKind::kMessage, body_bytes), body_bytes, peer.sent);
    }
    ++peer.sent;
  }

  void OnMail(uint32_t from, const MailHeader& header, const char* body) {
    SharedPayload* shared = nullptr;
    if (header.kind == MailKind::kPayloadHome) {
      std::memcpy(&shared, body, sizeof shared);
      ok_ &= shared->owner == port_.self();
      SharedPayload::Release(shared);
      --payloads_out_;
      return;
    }
    Peer& peer = peers_[from];
    if (peer.in.OneIn(50)) {
      ok_ &= header.kind == MailKind::kInterest;
      if (!ok_) return;
      std::memcpy(&shared, body, sizeof shared);
      ok_ &= shared->view() == std::string(3000, static_cast<char>(peer.received));
      home_.push_back(shared);
    } else {
      const size_t body_bytes = DrawBodyBytes(&peer.in, 1500);
      ok_ &= header.kind == MailKind::kMessage && BodyIs(body, body_bytes, peer.received);
    }
    ++peer.received;
  }

  MeshPort& port_;
  std::vector<std::unique_ptr<Doorbell>>& bells_;
  const uint64_t records_;
  std::vector<Peer> peers_;
  std::vector<SharedPayload*> home_;
  uint64_t payloads_out_ = 0;
  uint64_t sleeps_ = 0;
  bool ok_ = true;
};

TEST(MeshThreads, AllStreamToAllThroughSmallRingsAndSleepInBetween) {
  for (const uint32_t ring_bytes : {4096u, 65536u}) {
    constexpr uint32_t kShards = 2;
    Mesh mesh(kShards, ring_bytes);
    std::vector<std::unique_ptr<Doorbell>> bells;
    std::vector<std::unique_ptr<Streamer>> streamers;
    for (uint32_t i = 0; i < mesh.participants(); ++i) bells.push_back(std::make_unique<Doorbell>());
    for (uint32_t i = 0; i < mesh.participants(); ++i) {
      streamers.push_back(std::make_unique<Streamer>(mesh, i, bells, Rounds(200'000)));
    }
    std::vector<std::thread> threads;
    for (const auto& streamer : streamers) threads.emplace_back([&streamer] { streamer->Run(); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& streamer : streamers) {
      EXPECT_TRUE(streamer->ok()) << "mail was wrong, or a wake-up was lost";
      EXPECT_EQ(streamer->payloads_out(), 0u);
      EXPECT_GT(streamer->sleeps(), 0u);
    }
  }
}

// Two participants that do nothing but pass a token; each sleeps while the other has it. `barrier`: the sender also
// sleeps until its record was consumed, as a held PONG does.
void PassToken(bool barrier, uint64_t rounds) {
  Mesh mesh(2, 4096);
  Doorbell bells[3];
  bool ok[2] = {true, true};
  const auto run = [&](uint32_t self) {
    MeshPort& port = mesh.port(self);
    port.Adopt();
    const uint32_t peer = 1 - self;
    const auto ship = [&] { port.Ship([&](uint32_t target) { bells[target].Ring(); }); };
    uint64_t received = 0;
    const auto drain = [&] {
      port.Drain([&](uint32_t, const MailHeader&, const char* body) { ok[self] &= BodyIs(body, 8, received++); });
    };
    for (uint64_t round = 0; round < rounds; ++round) {
      if (self == 0 || round > 0) {
        FillBody(port.Append(peer, MailKind::kMessage, 8), 8, self == 0 ? round : round - 1);
        ship();
        const uint64_t position = port.position(peer);
        while (barrier && !port.Consumed(peer, position)) {
          port.WakeAt(peer, position);
          if (port.TrySleep()) {
            if (!bells[self].Wait()) ok[self] = false;
            port.Awake();
          }
          drain();
          ship();
          if (!ok[self]) return;
        }
      }
      while (received <= round) {
        if (port.TrySleep()) {
          if (!bells[self].Wait()) ok[self] = false;
          port.Awake();
        }
        drain();
        ship();
        if (!ok[self]) return;
      }
    }
    if (self == 1) {
      FillBody(port.Append(peer, MailKind::kMessage, 8), 8, rounds - 1);
      ship();
    }
  };
  std::thread other([&run] { run(1); });
  run(0);
  other.join();
  EXPECT_TRUE(ok[0] && ok[1]) << "a wake-up was lost";
}

TEST(MeshThreads, NoWakeUpForMailIsLost) { PassToken(false, Rounds(100'000)); }

TEST(MeshThreads, NoWakeUpForConsumptionIsLost) { PassToken(true, Rounds(100'000)); }

}  // namespace
}  // namespace millrace
