// SPDX-License-Identifier: Apache-2.0
// Goal: SpscRing hands over each published record once, whole and in order, wherever it stands in the ring, and refuses
// a record only when there is no room for it.
// Method: a deque beside the ring, a million seeded steps of both ends on one thread; then the edges one by one.
#include "broker/mesh/ring.h"

#include <deque>

#include "tests/mesh/records.h"

namespace millrace {
namespace {

constexpr uint32_t kRingBytes = 4096;

uint32_t Aligned(size_t body_bytes) {
  return static_cast<uint32_t>((sizeof(MailHeader) + body_bytes + kMailAlignment - 1) & ~size_t{kMailAlignment - 1});
}

bool Put(SpscRing* ring, size_t body_bytes, uint64_t number) {
  const uint32_t bytes = Aligned(body_bytes);
  char* place = ring->Reserve(bytes);
  if (place == nullptr) return false;
  *reinterpret_cast<MailHeader*>(place) = MailHeader{bytes, MailKind::kMessage, {}};
  FillBody(place + sizeof(MailHeader), body_bytes, number);
  return true;
}

TEST(Ring, GivesWhatADequeGives) {
  struct Record {
    size_t body_bytes;
    uint64_t number;
  };
  SpscRing ring(kRingBytes);
  SeededRandom random(1);
  std::deque<Record> published;
  std::deque<Record> written;
  uint64_t head = 0;  // the twin's account of the ring: bytes taken and given, padding included
  uint64_t tail = 0;
  std::deque<uint64_t> ends;  // where each record that is in the ring ends
  uint64_t numbers = 0;
  uint64_t drained = 0;
  uint64_t refused = 0;
  const size_t steps = Rounds(1'000'000);
  for (size_t step = 0; step < steps; ++step) {
    const uint64_t draw = random.Below(10);
    if (draw < 7) {
      const size_t body_bytes = DrawBodyBytes(&random, ring.record_bytes_max() - sizeof(MailHeader));
      const uint32_t bytes = Aligned(body_bytes);
      const uint64_t to_end = kRingBytes - tail % kRingBytes;
      const uint64_t need = bytes <= to_end ? bytes : to_end + bytes;
      const bool fits = tail + need - head <= kRingBytes;
      ASSERT_EQ(Put(&ring, body_bytes, numbers), fits) << "step " << step;
      if (!fits) {
        ++refused;
        continue;
      }
      tail += need;
      ends.push_back(tail);
      written.push_back({body_bytes, numbers++});
      ASSERT_TRUE(ring.Unpublished());
    } else if (draw < 9) {
      ASSERT_EQ(ring.Unpublished(), !written.empty());
      ring.Publish();
      ASSERT_FALSE(ring.Unpublished());
      for (const Record& record : written) published.push_back(record);
      written.clear();
    } else {
      ASSERT_EQ(ring.HasMail(), !published.empty());
      const size_t due = published.size();
      const uint64_t count = ring.Drain([&](const MailHeader& header, const char* body) {
        ASSERT_FALSE(published.empty());
        ASSERT_EQ(header.bytes, Aligned(published.front().body_bytes));
        ASSERT_TRUE(BodyIs(body, published.front().body_bytes, published.front().number)) << "step " << step;
        published.pop_front();
        head = ends.front();
        ends.pop_front();
      });
      drained += due;
      ASSERT_EQ(count, due);
      ASSERT_TRUE(published.empty());
      ASSERT_FALSE(ring.HasMail());
      ring.Acknowledge(ring.consumer_records());
      ASSERT_EQ(ring.consumed(), drained);
    }
  }
  EXPECT_GT(drained, steps / 10);
  EXPECT_GT(refused, steps / 100) << "the ring was never full";
}

TEST(Ring, TheLargestRecordFitsIntoAnEmptyRingWhereverItsTailStands) {
  for (uint32_t at = 0; at < kRingBytes; at += kMailAlignment) {
    SpscRing ring(kRingBytes);
    uint64_t number = 0;
    for (uint32_t moved = 0; moved < at; moved += kMailAlignment) {
      char* place = ring.Reserve(kMailAlignment);
      ASSERT_NE(place, nullptr);
      *reinterpret_cast<MailHeader*>(place) = MailHeader{kMailAlignment, MailKind::kStall, {}};
      ring.Publish();
      ring.Drain([](const MailHeader&, const char*) {});
    }
    ASSERT_TRUE(Put(&ring, ring.record_bytes_max() - sizeof(MailHeader), ++number)) << "tail at " << at;
    ring.Publish();
    size_t seen = 0;
    ring.Drain([&](const MailHeader& header, const char* body) {
      ++seen;
      EXPECT_EQ(header.bytes, ring.record_bytes_max());
      EXPECT_TRUE(BodyIs(body, ring.record_bytes_max() - sizeof(MailHeader), number));
    });
    ASSERT_EQ(seen, 1u);
  }
}

TEST(Ring, NothingIsSeenBeforeItIsPublished) {
  SpscRing ring(kRingBytes);
  const auto drain = [&ring] { return ring.Drain([](const MailHeader&, const char*) {}); };
  ASSERT_TRUE(Put(&ring, 8, 1));
  EXPECT_FALSE(ring.HasMail());
  EXPECT_EQ(drain(), 0u);
  ring.Publish();
  ASSERT_TRUE(Put(&ring, 8, 2));
  EXPECT_TRUE(ring.HasMail());
  EXPECT_EQ(drain(), 1u);
  EXPECT_EQ(ring.consumed(), 0u) << "drained, not acknowledged";
  ring.Acknowledge(ring.consumer_records());
  EXPECT_EQ(ring.consumed(), 1u);
  ring.Publish();
  EXPECT_EQ(drain(), 1u);
  ring.Acknowledge(ring.consumer_records());
  EXPECT_EQ(ring.consumed(), 2u);
}

TEST(Ring, ARecordThatIsPublishedDuringADrainWaitsForTheNext) {
  SpscRing ring(kRingBytes);
  ASSERT_TRUE(Put(&ring, 8, 1));
  ring.Publish();
  EXPECT_EQ(ring.Drain([&ring](const MailHeader&, const char*) {
    ASSERT_TRUE(Put(&ring, 8, 2));
    ring.Publish();
  }),
            1u);
  EXPECT_TRUE(ring.HasMail());
}

TEST(Ring, TheProducerIsWaitedForOnlyWhenItsWishHasComeTrue) {
  SpscRing ring(kRingBytes);
  const auto consume = [&ring](uint64_t number) {
    ASSERT_TRUE(Put(&ring, 8, number));
    ring.Publish();
    ring.Drain([](const MailHeader&, const char*) {});
  };
  consume(1);
  EXPECT_FALSE(ring.ProducerWaits());
  ring.NotifyAt(2);
  EXPECT_FALSE(ring.ProducerWaits());
  consume(2);
  EXPECT_TRUE(ring.ProducerWaits());
  consume(3);
  EXPECT_TRUE(ring.ProducerWaits());
  ring.NotifyAt(0);
  EXPECT_FALSE(ring.ProducerWaits());
}

}  // namespace
}  // namespace millrace
