// SPDX-License-Identifier: Apache-2.0
// Goal:   answers leave in the order in which they were queued, none before what it confirms is durable, and what a
//         call is handed stays as it is until the call returns, whatever is queued meanwhile.
// Method: a deque of strings as the twin; answers of all sizes, queued before, between and within releases.
#include "broker/jetstream/base/reply_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

struct Twin {
  Lsn lsn;
  std::string to;
  std::string payload;
};

TEST(ReplyQueue, IsADequeThatMayGrowWhileItIsRead) {
  SeededRandom random(7);
  ReplyQueue queue;
  std::deque<Twin> twins;
  Lsn lsn = 0;
  const auto push = [&] {
    static constexpr size_t kSizes[] = {0, 1, 40, 3000, 65'536 - 40, 200'000};
    lsn += random.Below(3);
    Twin twin{lsn, std::string(random.Below(30), 't'),
              std::string(kSizes[random.Below(10) < 8 ? random.Below(3) : random.Below(std::size(kSizes))], 'p')};
    if (!twin.payload.empty()) twin.payload[twin.payload.size() / 2] = static_cast<char>('a' + random.Below(26));
    queue.Push(twin.lsn, static_cast<AccountId>(twins.size()), twin.to, twin.payload, 3);
    twins.push_back(std::move(twin));
  };
  for (int round = 0; round < 3000; ++round) {
    for (uint64_t i = random.Below(20); i > 0; --i) push();
    const Lsn durable = lsn - std::min<Lsn>(lsn, random.Below(12));
    queue.Release(durable, [&](AccountId, std::string_view to, std::string_view payload, uint32_t header_bytes) {
      const Twin twin = twins.front();
      ASSERT_LE(twin.lsn, durable);
      twins.pop_front();
      for (uint64_t i = random.OneIn(3) ? random.Below(3) : 0; i > 0; --i) push();
      EXPECT_EQ(to, twin.to);
      ASSERT_EQ(payload, twin.payload);
      EXPECT_EQ(header_bytes, 3u);
    });
    ASSERT_EQ(queue.size(), twins.size());
    ASSERT_EQ(queue.empty(), twins.empty());
    if (!twins.empty()) {
      ASSERT_GT(twins.front().lsn, durable);
    }
  }
}

}  // namespace
}  // namespace millrace
