// SPDX-License-Identifier: Apache-2.0
// Goal:   counters add up, also those of other streams, and a value that is none is found out (ADR-49).
// Method: header blocks and bodies as the peer stores them.
#include "broker/jetstream/stream/counter.h"

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

// The name of the value is read in any case, and no other name is.
TEST(Counter, OnlyTheMemberValCounts) {
  for (const char* body : {"{\"val\":\"4\"}", "{\"VaL\":\"4\"}", "{\"vAl\":\"4\"}", "{\"va\":\"9\",\"val\":\"4\"}",
                           "{\"val\":\"4\",\"vale\":\"9\"}", "{\"val\":\"4\",\"wal\":\"9\"}",
                           "{\"val\":\"4\",\"vam\":\"9\"}", "{\"val\":\"4\",\"vak\":\"9\"}",
                           "{\"val\":\"4\",\"\":\"9\"}",
                           "{\"val\":\"4\",\"val\":null}"}) {
    EXPECT_EQ(ReadCounterValue(body), "4") << body;
  }
  for (const char* body : {"{}", "null", "{\"va\":\"9\"}", "{\"value\":\"9\"}", "{\"val\":null}", "{\"other\":1}"})
    EXPECT_EQ(ReadCounterValue(body), "") << body;
  // A value that is no number counts as nothing.
  EXPECT_EQ(ApplyIncrement({true, {}, "{\"val\":\"x\"}"}, "c", "2", {}, "", "")->value, "2");
}

TEST(Counter, SourcesAreComparedByStreamAndSubject) {
  const auto sum = [](std::string_view sources, std::string_view source) {
    const std::string header = "NATS/1.0\r\nNats-Counter-Sources: " + std::string(sources) + "\r\n\r\n";
    const auto result = ApplyIncrement({true, header, "{\"val\":\"100\"}"}, "own", "1", source, "NATS/1.0\r\n\r\n",
                                       "{\"val\":\"7\"}");
    return result ? result->value : "broken";
  };
  const std::string_view known = R"({"A":{"own":"5","a.b":"6"}})";
  EXPECT_EQ(sum(known, "A 1"), "102");            // without a subject of its own it is the message's
  EXPECT_EQ(sum(known, "A 1 > >"), "102");
  EXPECT_EQ(sum(known, "A 1 > > a.b"), "101");
  EXPECT_EQ(sum(known, "A 1 > > a.b x"), "101");  // the identity of the stream behind it
  EXPECT_EQ(sum(known, "A 1 > > a.c"), "107");
  EXPECT_EQ(sum(known, "B 1 > > a.b"), "107");
  EXPECT_EQ(sum(known, "AA 1 > > a.b"), "107");
  for (const std::string_view none : {"{}", "null", R"({"A":null})", R"({"A":{"own":null}})"})
    EXPECT_EQ(sum(none, "A 1"), "107") << none;
  for (const std::string_view broken : {"x", "[]", R"({"A":"own"})", R"({"A":{"own":5}})", R"({"A":{"own":"5"},"B":1})",
                                        R"({"B":1,"A":{"own":"5"}})"}) {
    EXPECT_EQ(sum(broken, "A 1"), "broken") << broken;
  }
  // The counter elsewhere went down, and its value is kept as a number is printed.
  const auto down = ApplyIncrement({true, "NATS/1.0\r\nNats-Counter-Sources: {\"A\":{\"own\":\"9\"}}\r\n\r\n",
                                    "{\"val\":\"9\"}"},
                                   "own", "1", "A 2", "NATS/1.0\r\n\r\n", "{\"val\":\"+007\"}");
  ASSERT_TRUE(down);
  EXPECT_EQ(down->value, "7");
  EXPECT_EQ(down->header,
            "NATS/1.0\r\nNats-Incr: -2\r\nNats-Counter-Sources: {\"A\":{\"own\":\"7\"}}\r\n\r\n");
}

}  // namespace
}  // namespace millrace
