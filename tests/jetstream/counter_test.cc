// SPDX-License-Identifier: Apache-2.0
// Goal:   counters add up, also those of other streams, and a value that is none is found out (ADR-49).
// Method: header blocks and bodies as the peer stores them.
#include "broker/jetstream/counter.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Counter, BeginsAtNothingAndAddsUp) {
  const std::string header = "NATS/1.0\r\nNats-Incr: +5\r\n\r\n";
  auto first = ApplyIncrement({}, "c", "+5", {}, header, "");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->body, "{\"val\":\"5\"}");
  EXPECT_EQ(first->header, header);
  auto next = ApplyIncrement({true, first->header, first->body}, "c", "-7", {}, header, "");
  ASSERT_TRUE(next);
  EXPECT_EQ(next->value, "-2");
}

TEST(Counter, TakesTheDifferenceOfACounterElsewhere) {
  const auto sourced = [](std::string_view value) { return "{\"val\":\"" + std::string(value) + "\"}"; };
  const std::string header = "NATS/1.0\r\nNats-Incr: 3\r\nNats-Stream-Source: A 1 > > c.a\r\n\r\n";
  auto one = ApplyIncrement({}, "c", "3", "A 1 > > c.a", header, sourced("10"));
  ASSERT_TRUE(one);
  EXPECT_EQ(one->body, "{\"val\":\"10\"}");
  EXPECT_EQ(one->header, "NATS/1.0\r\nNats-Incr: 10\r\nNats-Stream-Source: A 1 > > c.a\r\n"
                         "Nats-Counter-Sources: {\"A\":{\"c.a\":\"10\"}}\r\n\r\n");
  auto two = ApplyIncrement({true, one->header, one->body}, "c", "1", "B 1", "NATS/1.0\r\nNats-Incr: 1\r\n\r\n",
                            sourced("-4"));
  ASSERT_TRUE(two);
  EXPECT_EQ(two->body, "{\"val\":\"6\"}");
  EXPECT_EQ(two->header,
            "NATS/1.0\r\nNats-Incr: -4\r\nNats-Counter-Sources: {\"A\":{\"c.a\":\"10\"},\"B\":{\"c\":\"-4\"}}\r\n\r\n");
  auto three = ApplyIncrement({true, two->header, two->body}, "c", "2", "A 2 > > c.a", header, sourced("12"));
  ASSERT_TRUE(three);
  EXPECT_EQ(three->body, "{\"val\":\"8\"}");
}

TEST(Counter, AValueThatIsNoneBreaksIt) {
  for (const char* body : {"", "x", "{", "[]", "{\"val\":1}"}) {
    EXPECT_FALSE(ApplyIncrement({true, {}, body}, "c", "1", {}, "", "")) << body;
    EXPECT_FALSE(ApplyIncrement({}, "c", "1", "A 1", "", body)) << body;
  }
  const std::string_view sources = "NATS/1.0\r\nNats-Counter-Sources: {\"A\":1}\r\n\r\n";
  EXPECT_FALSE(ApplyIncrement({true, sources, "{\"val\":\"1\"}"}, "c", "1", {}, "", ""));
  EXPECT_EQ(ApplyIncrement({true, {}, "{\"VAL\":\"4\",\"more\":[1]}"}, "c", "1", {}, "", "")->value, "5");
}

}  // namespace
}  // namespace millrace
