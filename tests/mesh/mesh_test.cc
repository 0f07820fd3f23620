// SPDX-License-Identifier: Apache-2.0
// Goal: mail between participants keeps its order through full rings, positions tell what was consumed, and nobody
// falls asleep on work or on a wish that has come true.
// Method: all participants on one thread; deques as the twin of every pair; then the sleep rules one by one.
#include "broker/mesh/mesh.h"

#include <deque>
#include <map>

#include "broker/mesh/shared_payload.h"
#include "tests/mesh/records.h"

namespace millrace {
namespace {

constexpr uint32_t kRingBytes = 4096;

void NoWake(uint32_t) {}

void Send(MeshPort& port, uint32_t target, size_t body_bytes, uint64_t number) {
  FillBody(port.Append(target, MailKind::kMessage, body_bytes), body_bytes, number);
}

uint64_t Drain(MeshPort& port) {
  return port.Drain([](uint32_t, const MailHeader&, const char*) {});
}

TEST(Mesh, EveryPairKeepsItsOrderThroughOverflow) {
  constexpr uint32_t kShards = 3;
  Mesh mesh(kShards, kRingBytes);
  SeededRandom random(2);
  struct Pair {
    std::deque<std::pair<size_t, uint64_t>> sent;  // body bytes, number; what has not been drained
    uint64_t appended = 0;
    uint64_t consumed = 0;
    // As of the consumer's last Ship: what may be acknowledged, and what must be, for no answer overflows.
    uint64_t may_acknowledge = 0;
    uint64_t must_acknowledge = 0;
    uint64_t must_see = 0;  // as of the producer's last Drain
    // What had newly been consumed at a Ship, and how many records the consumer had sent back by then.
    std::deque<std::pair<uint64_t, uint64_t>> answers;
  };
  std::map<std::pair<uint32_t, uint32_t>, Pair> pairs;
  uint64_t numbers = 0;
  uint64_t overflow_max = 0;
  const size_t steps = Rounds(1'000'000);
  const auto ship = [&](uint32_t who) {
    mesh.port(who).Ship(NoWake);
    for (uint32_t from = 0; from < mesh.participants(); ++from) {
      if (from == who) continue;
      Pair& pair = pairs[{from, who}];
      if (pair.may_acknowledge < pair.consumed)
        pair.answers.emplace_back(pair.consumed, pairs[{who, from}].appended);
      pair.may_acknowledge = pair.consumed;
      if (mesh.port(who).overflow_bytes(from) == 0) pair.must_acknowledge = pair.consumed;
    }
  };
  const auto drain = [&](uint32_t to) {
    for (uint32_t target = 0; target < mesh.participants(); ++target) {
      if (target != to) pairs[{to, target}].must_see = pairs[{to, target}].must_acknowledge;
    }
    mesh.port(to).Drain([&](uint32_t from, const MailHeader& header, const char* body) {
      Pair& pair = pairs[{from, to}];
      ASSERT_FALSE(pair.sent.empty());
      ASSERT_GE(header.bytes, sizeof header + pair.sent.front().first);
      ASSERT_TRUE(BodyIs(body, pair.sent.front().first, pair.sent.front().second));
      pair.sent.pop_front();
      ++pair.consumed;
    });
  };
  for (size_t step = 0; step < steps; ++step) {
    const auto who = static_cast<uint32_t>(random.Below(mesh.participants()));
    const uint64_t draw = random.Below(16);
    if (draw < 13) {
      const auto target = static_cast<uint32_t>((who + 1 + random.Below(kShards)) % mesh.participants());
      Pair& pair = pairs[{who, target}];
      if (mesh.port(who).overflow_bytes(target) > 100'000) continue;
      const size_t body_bytes = DrawBodyBytes(&random, kRingBytes / 2 - sizeof(MailHeader));
      Send(mesh.port(who), target, body_bytes, numbers);
      pair.sent.emplace_back(body_bytes, numbers++);
      ASSERT_EQ(mesh.port(who).position(target), ++pair.appended);
      overflow_max = std::max(overflow_max, mesh.port(who).overflow_bytes(target));
    } else if (draw < 15) {
      ship(who);
    } else {
      drain(who);
      for (uint32_t target = 0; target < mesh.participants(); ++target) {
        if (target == who) continue;
        Pair& pair = pairs[{who, target}];
        ASSERT_TRUE(mesh.port(who).Consumed(target, pair.must_see));
        ASSERT_FALSE(mesh.port(who).Consumed(target, pair.may_acknowledge + 1));
        for (; !pair.answers.empty() && mesh.port(who).Consumed(target, pair.answers.front().first);
             pair.answers.pop_front()) {
          ASSERT_GE((pairs[{target, who}].consumed), pair.answers.front().second) << "an answer came after all";
        }
      }
    }
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(overflow_max, 10'000u) << "the overflow was hardly used";
  for (uint32_t round = 0; round < 1000; ++round) {
    for (uint32_t who = 0; who < mesh.participants(); ++who) ship(who);
    for (uint32_t who = 0; who < mesh.participants(); ++who) drain(who);
  }
  for (const auto& [key, pair] : pairs) {
    EXPECT_TRUE(pair.sent.empty()) << key.first << " to " << key.second;
    EXPECT_EQ(mesh.port(key.first).overflow_bytes(key.second), 0u);
    EXPECT_TRUE(mesh.port(key.first).Consumed(key.second, pair.appended));
  }
  for (uint32_t who = 0; who < mesh.participants(); ++who) EXPECT_FALSE(mesh.port(who).AnyOverflowAbove(0));
}

TEST(Mesh, OverflowIsCountedAndDrains) {
  Mesh mesh(1, kRingBytes);
  MeshPort& port = mesh.port(0);
  for (uint64_t i = 0; i < 100; ++i) Send(port, 1, 1000, i);
  EXPECT_GT(port.overflow_bytes(1), 90'000u);
  EXPECT_TRUE(port.AnyOverflowAbove(90'000));
  EXPECT_FALSE(port.AnyOverflowAbove(port.overflow_bytes(1)));
  EXPECT_EQ(port.position(1), 100u);
  uint64_t next = 0;
  for (int turn = 0; turn < 100 && next < 100; ++turn) {
    port.Ship(NoWake);
    mesh.port(1).Drain([&](uint32_t, const MailHeader&, const char* body) { EXPECT_TRUE(BodyIs(body, 1000, next++)); });
    mesh.port(1).Ship(NoWake);
  }
  EXPECT_EQ(next, 100u);
  EXPECT_EQ(port.overflow_bytes(1), 0u);
  Drain(port);
  EXPECT_TRUE(port.Consumed(1, 100));
}

// Two that answer each other while both rings are full: acknowledgements wait, room does not.
TEST(Mesh, OverflowBothWaysComesToAnEnd) {
  Mesh mesh(2, kRingBytes);
  MeshPort& a = mesh.port(0);
  MeshPort& b = mesh.port(1);
  for (uint64_t i = 0; i < 200; ++i) {
    Send(a, 1, 1000, i);
    Send(b, 0, 1000, i);
  }
  a.Ship(NoWake);
  b.Ship(NoWake);
  bool asleep_a = false;
  bool asleep_b = false;
  const auto turn = [](MeshPort& port, bool* asleep, bool* other) {
    if (*asleep) return;
    Drain(port);
    port.Ship([other](uint32_t) { *other = false; });
    *asleep = port.TrySleep();
  };
  for (int i = 0; i < 1000 && !(asleep_a && asleep_b); ++i) {
    turn(a, &asleep_a, &asleep_b);
    turn(b, &asleep_b, &asleep_a);
  }
  EXPECT_EQ(a.overflow_bytes(1), 0u);
  EXPECT_EQ(b.overflow_bytes(0), 0u);
  a.Awake();
  Drain(a);
  EXPECT_TRUE(a.Consumed(1, 200));
}

TEST(Mesh, NothingLeavesBeforeTheShip) {
  Mesh mesh(2, kRingBytes);
  Send(mesh.port(0), 1, 16, 1);
  EXPECT_FALSE(mesh.port(1).HasMail());
  mesh.port(0).Ship(NoWake);
  EXPECT_TRUE(mesh.port(1).HasMail());
  EXPECT_EQ(Drain(mesh.port(1)), 1u);
  EXPECT_EQ(Drain(mesh.port(0)), 0u);
  EXPECT_FALSE(mesh.port(0).Consumed(1, 1)) << "it has not shipped its answers yet";
  mesh.port(1).Ship(NoWake);
  EXPECT_FALSE(mesh.port(0).Consumed(1, 1)) << "we have not drained its answers yet";
  EXPECT_EQ(Drain(mesh.port(0)), 0u);
  EXPECT_TRUE(mesh.port(0).Consumed(1, 1));
  EXPECT_TRUE(mesh.port(0).Consumed(1, 0));
}

TEST(Mesh, ADrainBeginsWithAnotherSenderEachTime) {
  Mesh mesh(3, kRingBytes);
  std::vector<uint32_t> first;
  for (int turn = 0; turn < 4; ++turn) {
    for (const uint32_t from : {0u, 1u, 3u}) {
      Send(mesh.port(from), 2, 8, 0);
      mesh.port(from).Ship(NoWake);
    }
    std::vector<uint32_t> order;
    mesh.port(2).Drain([&](uint32_t from, const MailHeader&, const char*) { order.push_back(from); });
    ASSERT_EQ(order.size(), 3u);
    first.push_back(order[0]);
  }
  EXPECT_EQ(first, (std::vector<uint32_t>{0, 1, 3, 3}));
}

// ---- sleep ---------------------------------------------------------------------------------------------------------

class Sleep : public testing::Test {
 protected:
  Sleep() : mesh_(2, kRingBytes), a_(mesh_.port(0)), b_(mesh_.port(1)) {}
  void Ship(MeshPort& port) {
    port.Ship([this](uint32_t target) { woken_.push_back(target); });
  }

  Mesh mesh_;
  MeshPort& a_;
  MeshPort& b_;
  std::vector<uint32_t> woken_;
};

TEST_F(Sleep, NobodyIsWokenWhoDoesNotSleep) {
  Send(a_, 1, 8, 0);
  Ship(a_);
  EXPECT_TRUE(woken_.empty());
}

TEST_F(Sleep, MailWakesASleeperOnce) {
  ASSERT_TRUE(b_.TrySleep());
  Send(a_, 1, 8, 0);
  Ship(a_);
  Send(a_, 1, 8, 1);
  Ship(a_);
  EXPECT_EQ(woken_, (std::vector<uint32_t>{1}));
  b_.Awake();
  EXPECT_EQ(Drain(b_), 2u);
  ASSERT_TRUE(b_.TrySleep());
  Send(a_, 1, 8, 2);
  Ship(a_);
  EXPECT_EQ(woken_, (std::vector<uint32_t>{1, 1}));
}

TEST_F(Sleep, AShipWithNothingToSayWakesNobody) {
  ASSERT_TRUE(b_.TrySleep());
  Ship(a_);
  EXPECT_TRUE(woken_.empty());
}

TEST_F(Sleep, MailThatIsThereForbidsSleep) {
  Send(a_, 1, 8, 0);
  Ship(a_);
  EXPECT_FALSE(b_.TrySleep());
  Send(a_, 1, 8, 1);
  Ship(a_);
  EXPECT_TRUE(woken_.empty()) << "the refused sleep was not taken back";
  EXPECT_EQ(Drain(b_), 2u);
  EXPECT_TRUE(b_.TrySleep());
}

TEST_F(Sleep, OneWhoWaitsForConsumptionIsWokenByItAndNotSooner) {
  for (uint64_t i = 0; i < 2; ++i) Send(a_, 1, 8, i);
  Ship(a_);
  Send(a_, 1, 8, 2);
  a_.WakeAt(1, a_.position(1));
  Ship(a_);
  ASSERT_TRUE(a_.TrySleep());
  Ship(b_);
  EXPECT_TRUE(woken_.empty()) << "b has consumed nothing";
  EXPECT_EQ(Drain(b_), 3u);
  EXPECT_TRUE(woken_.empty());
  Ship(b_);
  EXPECT_EQ(woken_, (std::vector<uint32_t>{0}));
}

TEST_F(Sleep, ConsumptionOfLessThanThePositionWakesNobody) {
  Send(a_, 1, 8, 0);
  Ship(a_);
  Send(a_, 1, 8, 1);
  Ship(a_);
  a_.WakeAt(1, 3);
  ASSERT_TRUE(a_.TrySleep());
  EXPECT_EQ(Drain(b_), 2u);
  Ship(b_);
  EXPECT_TRUE(woken_.empty());
}

TEST_F(Sleep, TheEarliestWishCounts) {
  for (uint64_t i = 0; i < 3; ++i) Send(a_, 1, 8, i);
  Ship(a_);
  a_.WakeAt(1, 3);
  a_.WakeAt(1, 1);
  a_.WakeAt(1, 2);
  ASSERT_TRUE(a_.TrySleep());
  Drain(b_);
  Ship(b_);
  EXPECT_EQ(woken_, (std::vector<uint32_t>{0}));
}

TEST_F(Sleep, AWishThatHasComeTrueForbidsSleep) {
  Send(a_, 1, 8, 0);
  Ship(a_);
  Drain(b_);
  Ship(b_);
  a_.WakeAt(1, a_.position(1));
  EXPECT_FALSE(a_.TrySleep());
}

TEST_F(Sleep, AwakeForgetsTheWishes) {
  Send(a_, 1, 8, 0);
  Ship(a_);
  a_.WakeAt(1, a_.position(1));
  ASSERT_TRUE(a_.TrySleep());
  a_.Awake();
  ASSERT_TRUE(a_.TrySleep());
  Drain(b_);
  Ship(b_);
  EXPECT_TRUE(woken_.empty()) << "nobody waits any more";
  EXPECT_FALSE(b_.HasMail());
}

TEST_F(Sleep, WithOverflowTheConsumersProgressWakesTheProducer) {
  for (uint64_t i = 0; i < 20; ++i) Send(a_, 1, 1000, i);
  Ship(a_);
  ASSERT_GT(a_.overflow_bytes(1), 0u);
  ASSERT_TRUE(a_.TrySleep());
  Drain(b_);
  Ship(b_);
  EXPECT_EQ(woken_, (std::vector<uint32_t>{0}));
}

TEST_F(Sleep, WithOverflowAndRoomInTheRingTheProducerDoesNotSleep) {
  for (uint64_t i = 0; i < 20; ++i) Send(a_, 1, 1000, i);
  Ship(a_);
  ASSERT_GT(a_.overflow_bytes(1), 0u);
  Drain(b_);  // everything that was in the ring: b has nothing more to consume, so it will never wake a
  Ship(b_);
  EXPECT_FALSE(a_.TrySleep());
  uint64_t records = 0;
  for (int turn = 0; turn < 20 && a_.overflow_bytes(1) > 0; ++turn) {
    Ship(a_);
    records += Drain(b_);
    Ship(b_);
    EXPECT_TRUE(a_.overflow_bytes(1) == 0 || !a_.TrySleep());
  }
  EXPECT_GT(records, 0u);
  EXPECT_EQ(a_.overflow_bytes(1), 0u);
}

TEST_F(Sleep, MailThatHasNotBeenShippedForbidsSleep) {
  Send(a_, 1, 8, 0);
  EXPECT_FALSE(a_.TrySleep());
  Ship(a_);
  EXPECT_TRUE(a_.TrySleep());
}

// ---- shared payloads and parcels -----------------------------------------------------------------------------------

TEST(SharedPayload, GoesHomeAndIsFreedWithItsLastReference) {
  Mesh mesh(3, kRingBytes);
  const std::string payload(100'000, 'x');
  SharedPayload* shared = SharedPayload::Create(0, payload);
  for (const uint32_t target : {1u, 2u}) {
    ++shared->references;
    std::memcpy(mesh.port(0).Append(target, MailKind::kMessage, sizeof shared), &shared, sizeof shared);
  }
  mesh.port(0).Ship(NoWake);
  for (const uint32_t who : {1u, 2u}) {
    SharedPayload* foreign = nullptr;
    mesh.port(who).Drain(
        [&](uint32_t, const MailHeader&, const char* body) { std::memcpy(&foreign, body, sizeof foreign); });
    ASSERT_EQ(foreign, shared);
    EXPECT_EQ(foreign->view(), payload);
    EXPECT_EQ(foreign->owner, 0u);
    std::memcpy(mesh.port(who).Append(foreign->owner, MailKind::kPayloadHome, sizeof foreign), &foreign,
                sizeof foreign);
    mesh.port(who).Ship(NoWake);
  }
  uint64_t released = 0;
  mesh.port(0).Drain([&](uint32_t, const MailHeader& header, const char* body) {
    ASSERT_EQ(header.kind, MailKind::kPayloadHome);
    SharedPayload* home = nullptr;
    std::memcpy(&home, body, sizeof home);
    EXPECT_EQ(home->references, 2 - released);
    SharedPayload::Release(home);  // the sanitizer's leak check sees to the rest
    ++released;
  });
  EXPECT_EQ(released, 2u);
}

TEST(Parcel, ArrivesAsTheSameObject) {
  struct Note final : Parcel {
    explicit Note(bool* gone) : Parcel(static_cast<Type>(7)), gone_(gone) {}
    ~Note() override { *gone_ = true; }
    bool* gone_;
  };
  Mesh mesh(1, kRingBytes);
  bool gone = false;
  mesh.port(0).SendParcel(mesh.control(), std::make_unique<Note>(&gone));
  mesh.port(0).Ship(NoWake);
  EXPECT_FALSE(gone);
  mesh.port(1).Drain([](uint32_t from, const MailHeader& header, const char* body) {
    EXPECT_EQ(from, 0u);
    ASSERT_EQ(header.kind, MailKind::kParcel);
    Parcel* raw = nullptr;
    std::memcpy(&raw, body, sizeof raw);
    const std::unique_ptr<Parcel> parcel(raw);
    EXPECT_EQ(static_cast<int>(parcel->type), 7);
  });
  EXPECT_TRUE(gone);
}

}  // namespace
}  // namespace millrace
