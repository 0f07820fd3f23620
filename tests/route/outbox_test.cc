// SPDX-License-Identifier: Apache-2.0
// Goal: an outbox gives its bytes back in order, whatever is appended while part of them is being sent.
// Method: a string beside each of two outboxes that share a pool; a million seeded steps, parts of sends included.
#include "broker/route/outbox.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::string Text(SeededRandom* random, size_t bytes) {
  std::string text(bytes, '\0');
  const uint64_t start = random->Next();
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(start + i);
  return text;
}

struct Twins {
  explicit Twins(ChunkPool& pool) : outbox(pool) {}

  void Step(SeededRandom* random) {
    switch (random->Below(16)) {
      case 0: {  // any length
        const std::string text = Text(random, random->Below(random->OneIn(20) ? 200'000 : 3000));
        outbox.Append(text);
        expected += text;
        break;
      }
      case 1:
      case 2:
        if (in_flight.empty()) {
          Gather(random);
        } else {
          Sent(random);
        }
        break;
      case 3:
        if (random->OneIn(3000) && in_flight.empty()) {
          outbox.Clear();
          expected.clear();
        }
        break;
      default: {  // reserve more than is used, as an encoder does
        const size_t room =
            1 + random->Below(random->OneIn(50) ? outbox.contiguous_bytes_max() : random->OneIn(5) ? 4000 : 200);
        const std::string text = Text(random, random->Below(room + 1));
        char* at = outbox.Reserve(room);
        std::memset(at, '#', room);
        text.copy(at, text.size());
        outbox.Commit(at + text.size());
        expected += text;
      }
    }
    ASSERT_EQ(outbox.pending_bytes(), expected.size());
    ASSERT_EQ(outbox.empty(), expected.empty());
  }

  void Gather(SeededRandom* random) {
    const auto parts_max = static_cast<uint32_t>(1 + random->Below(8));
    const uint64_t bytes_max = 1 + random->Below(random->OneIn(3) ? 200'000 : 5000);
    in_flight.resize(parts_max);
    in_flight.resize(outbox.Gather(in_flight.data(), parts_max, bytes_max));
    in_flight_bytes = 0;
    for (const iovec& part : in_flight) in_flight_bytes += part.iov_len;
    ASSERT_LE(in_flight_bytes, bytes_max);
    ASSERT_EQ(in_flight.empty(), expected.empty());
    ASSERT_TRUE(in_flight.size() == parts_max || in_flight_bytes == std::min<uint64_t>(bytes_max, expected.size()));
  }

  // The kernel reads the parts only now: they must have stayed what they were.
  void Sent(SeededRandom* random) {
    size_t at = 0;
    for (const iovec& part : in_flight) {
      ASSERT_TRUE(expected.compare(at, part.iov_len, static_cast<const char*>(part.iov_base), part.iov_len) == 0);
      at += part.iov_len;
    }
    const uint64_t bytes = random->OneIn(4) ? random->Below(in_flight_bytes + 1) : in_flight_bytes;
    outbox.Sent(bytes);
    expected.erase(0, bytes);
    in_flight.clear();
  }

  Outbox outbox;
  std::string expected;
  std::vector<iovec> in_flight;
  uint64_t in_flight_bytes = 0;
};

TEST(Outbox, GivesBackWhatAStringHolds) {
  for (const uint32_t chunk_bytes : {16'384u, 65'536u}) {
    ChunkPool pool(chunk_bytes);
    Twins twins[] = {Twins(pool), Twins(pool)};
    SeededRandom random(chunk_bytes);
    const size_t steps = Rounds(300'000);
    for (size_t step = 0; step < steps; ++step) {
      Twins& twin = twins[random.Below(2)];
      twin.Step(&random);
      if (random.OneIn(50)) twin.outbox.Invariant();
      if (testing::Test::HasFatalFailure()) FAIL() << "step " << step;
    }
  }
}

TEST(ChunkPool, GivesWhatCameBackLastAndIsStillWarm) {
  ChunkPool pool(16'384);
  for (const bool large : {false, true}) {
    Chunk* first = pool.Acquire(100, large);
    Chunk* second = pool.Acquire(100, large);
    EXPECT_NE(first, second);
    pool.Release(first);
    pool.Release(second);
    EXPECT_EQ(pool.Acquire(100, large), second);
    EXPECT_EQ(pool.Acquire(100, large), first);
    pool.Release(first);
    pool.Release(second);
  }
}

bool IsMapped(const void* page) {
  unsigned char resident = 0;
  return mincore(const_cast<void*>(page), 1, &resident) == 0;
}

TEST(ChunkPool, TrimFreesWhatNobodyHasWantedAndForgetsIt) {
  constexpr size_t kSmall = 100, kLarge = 20, kLargeKept = 8;
  ChunkPool pool(16'384);
  std::vector<Chunk*> chunks[2];
  const auto acquire = [&] {
    for (const bool large : {false, true}) {
      for (size_t i = 0; i < (large ? kLarge : kSmall); ++i) {
        Chunk* chunk = pool.Acquire(100, large);
        std::memset(chunk->data, static_cast<int>(i), chunk->capacity);
        chunks[large].push_back(chunk);
      }
      const std::set<Chunk*> different(chunks[large].begin(), chunks[large].end());
      EXPECT_EQ(different.size(), large ? kLarge : kSmall);
    }
  };
  const auto release = [&] {
    for (std::vector<Chunk*>& all : chunks) {
      for (Chunk* chunk : all) pool.Release(chunk);
    }
  };
  const auto mapped = [&chunks] {
    return static_cast<size_t>(std::count_if(chunks[1].begin(), chunks[1].end(), IsMapped));
  };
  acquire();
  EXPECT_FALSE(pool.NeedsTrim());
  release();
  EXPECT_TRUE(pool.NeedsTrim());
  EXPECT_TRUE(pool.Trim()) << "since the last call all of them were wanted";
  EXPECT_EQ(mapped(), kLarge);
  // Half of the large ones are wanted once more.
  std::vector<Chunk*> wanted;
  for (size_t i = 0; i < kLarge / 2; ++i) wanted.push_back(pool.Acquire(100, true));
  for (Chunk* chunk : wanted) pool.Release(chunk);
  EXPECT_TRUE(pool.Trim());
  EXPECT_EQ(mapped(), kLarge - kLarge / 2);
  EXPECT_FALSE(pool.Trim());
  EXPECT_EQ(mapped(), kLargeKept);
  for (std::vector<Chunk*>& all : chunks) all.clear();
  acquire();
  release();
}

TEST(Outbox, AnEmptyOneGathersNothing) {
  ChunkPool pool(16'384);
  Outbox outbox(pool);
  iovec parts[2];
  EXPECT_EQ(outbox.Gather(parts, 2, 1000), 0u);
  outbox.Append("abc");
  outbox.Sent(3);
  EXPECT_EQ(outbox.Gather(parts, 2, 1000), 0u);
  outbox.Append("def");
  outbox.Clear();
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.Gather(parts, 2, 1000), 0u);
}

TEST(Outbox, WhatIsWrittenBehindASendInFlightGoesWithTheNext) {
  ChunkPool pool(16'384);
  Outbox outbox(pool);
  outbox.Append("first");
  iovec parts[4];
  ASSERT_EQ(outbox.Gather(parts, 4, 1000), 1u);
  outbox.Append("second");
  EXPECT_EQ(parts[0].iov_len, 5u);
  outbox.Sent(5);
  ASSERT_EQ(outbox.Gather(parts, 4, 1000), 1u);
  EXPECT_EQ(std::string(static_cast<char*>(parts[0].iov_base), parts[0].iov_len), "second");
}

TEST(Outbox, SmallTrafficTakesASmallChunkAndBusyTrafficALargeOne) {
  ChunkPool pool(65'536);
  Outbox outbox(pool);
  iovec parts[8];
  for (int i = 0; i < 40; ++i) outbox.Append(std::string(100, 'x'));
  EXPECT_EQ(outbox.Gather(parts, 8, 1 << 20), 1u) << "4,000 bytes lie in one small chunk";
  outbox.Append(std::string(60'000, 'y'));
  EXPECT_EQ(outbox.Gather(parts, 8, 1 << 20), 2u) << "what follows goes to a large one";
  outbox.Sent(outbox.pending_bytes());
  outbox.Append(std::string(60'000, 'z'));
  EXPECT_EQ(outbox.Gather(parts, 8, 1 << 20), 1u) << "a busy connection starts with a large one";
}

}  // namespace
}  // namespace millrace
