// SPDX-License-Identifier: Apache-2.0
// Goal:   nobody can tell whether a stream is at rest.
// Method: two engines get the same seeded requests and messages at the same times. In one streams never rest, in the
//         other one they do at the end of every turn in which they may. Every answer has to be the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/jetstream/engine/pages.h"
#include "tests/jetstream/engine_harness.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

JetStreamEngineOptions Resting(size_t awake_max, Nanos rest_after) {
  JetStreamEngineOptions options;
  options.streams.awake_max = awake_max;
  options.streams.rest_after = rest_after;
  return options;
}

std::string Create(EngineHarness& js, const std::string& name, const std::string& more = "") {
  return js.Request("$JS.API.STREAM.CREATE." + name, "{\"name\":\"" + name + "\"" + more + "}");
}

// What the requests are made of.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  struct Step {
    std::string subject;
    std::string body;
    std::string header;
    Nanos passes{0};
  };
  Step Next() {
    Step step;
    if (random_.OneIn(6)) step.passes = std::chrono::milliseconds(random_.Below(random_.OneIn(10) ? 400'000 : 900));
    const std::string name = Name();
    const std::string consumer = "c" + std::to_string(random_.Below(2));
    switch (random_.Below(24)) {
      case 0:
      case 1:
      case 2:
        step.subject = "$JS.API.STREAM.CREATE." + name;
        step.body = Config(name);
        break;
      case 3:
        step.subject = "$JS.API.STREAM.UPDATE." + name;
        step.body = Config(name);
        break;
      case 4:
        if (!random_.OneIn(3)) break;
        step.subject = "$JS.API.STREAM.DELETE." + name;
        break;
      case 5:
        step.subject = "$JS.API.STREAM.PURGE." + name;
        if (random_.OneIn(2)) step.body = R"({"keep":1})";
        break;
      case 6:
        step.subject = "$JS.API.STREAM.LIST";
        break;
      case 7:
        step.subject = "$JS.API.STREAM.NAMES";
        if (random_.OneIn(2)) step.body = R"({"subject":")" + name + R"(.a"})";
        break;
      case 8:
        step.subject = "$JS.API.STREAM.MSG.GET." + name;
        step.body = R"({"last_by_subj":")" + name + R"(.a"})";
        break;
      case 9:
        step.subject = "$JS.API.STREAM.MSG.DELETE." + name;
        step.body = "{\"seq\":" + std::to_string(1 + random_.Below(9)) + "}";
        break;
      case 10:
        step.subject = "$JS.API.DIRECT.GET." + name + "." + name + ".a";
        break;
      case 11:
        step.subject = "$JS.API.CONSUMER.CREATE." + name + "." + consumer;
        step.body = R"({"stream_name":")" + name + R"(","config":{"name":")" + consumer +
                    R"(","durable_name":")" + consumer + R"(","ack_policy":"explicit"}})";
        break;
      case 12:
        step.subject = "$JS.API.CONSUMER.DELETE." + name + "." + consumer;
        break;
      case 13:
        step.subject = "$JS.API.CONSUMER.MSG.NEXT." + name + "." + consumer;
        step.body = R"({"batch":1,"no_wait":true})";
        break;
      case 14:
        step.subject = "$JS.API.CONSUMER.LIST." + name;
        break;
      case 15:
        step.subject = "$JS.API.INFO";
        break;
      case 16:
      case 17:
        step.subject = "$JS.API.STREAM.INFO." + name;
        if (random_.OneIn(2)) step.body = R"({"subjects_filter":">","deleted_details":true})";
        break;
      default:
        step.subject = name + (random_.OneIn(2) ? ".a" : ".b");
        step.body = std::string(random_.Below(40), 'x');
        step.header = MessageHeader();
    }
    if (step.subject.empty()) step.subject = "$JS.API.STREAM.INFO." + name;
    return step;
  }

 private:
  std::string Name() { return "S" + std::to_string(random_.Below(5)); }
  std::string MessageHeader() {
    const auto line = [](const std::string& text) { return "NATS/1.0\r\n" + text + "\r\n\r\n"; };
    switch (random_.Below(9)) {
      case 0:
      case 1:
        return line("Nats-Msg-Id: " + std::to_string(random_.Below(6)));
      case 2:
        return line("Nats-Expected-Last-Msg-Id: " + std::to_string(random_.Below(6)));
      case 3:
        return line("Nats-Expected-Last-Sequence: " + std::to_string(random_.Below(6)));
      case 4:
        return line("Nats-Rollup: sub");
      case 5:
        return line("Nats-TTL: 1s");
      default:
        return "";
    }
  }
  std::string Config(const std::string& name) {
    std::string text = "{\"name\":\"" + name + "\"";
    if (random_.OneIn(8)) {
      text += R"(,"mirror":{"name":")" + Name() + "\"}";
    } else {
      text += ",\"subjects\":[\"" + name + ".*\"" + (random_.OneIn(4) ? ",\"more." + name + "\"" : "") + "]";
      if (random_.OneIn(12)) text += R"(,"sources":[{"name":")" + Name() + "\"}]";
    }
    if (random_.OneIn(3)) text += R"(,"storage":"memory")";
    if (random_.OneIn(3)) text += R"(,"max_age":500000000)";
    if (random_.OneIn(4)) text += R"(,"max_msgs_per_subject":2)";
    if (random_.OneIn(4)) text += R"(,"allow_direct":true)";
    if (random_.OneIn(5)) text += R"(,"allow_rollup_hdrs":true)";
    if (random_.OneIn(5)) text += R"(,"retention":"interest")";
    if (random_.OneIn(6)) text += R"(,"allow_msg_ttl":true)";
    if (random_.OneIn(6)) text += R"(,"description":"one of its own")";
    if (random_.OneIn(9)) text += R"(,"first_seq":7)";
    return text + "}";
  }

  SeededRandom random_;
};

TEST(Rest, AStreamAtRestTakesManyMessagesInARow) {
  EngineHarness js(Resting(0, Nanos{0}));
  Create(js, "S", ",\"subjects\":[\"s\"]");
  js.Settle();
  ASSERT_EQ(js.engine().streams().resting(), 1u);
  ASSERT_TRUE(js.PublishRun("s", {"one", "two", "three"}));
  js.Settle();
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S", ""), HasSubstr("\"messages\":3"));
}

TEST(Rest, NobodyCanTell) {
  const size_t rounds = Rounds(60);
  size_t rested = 0;
  for (uint64_t seed = 1; seed <= rounds; ++seed) {
    EngineHarness awake;
    EngineHarness resting(Resting(0, Nanos{0}));
    Dice dice(seed);
    for (int i = 0; i < 300; ++i) {
      const Dice::Step step = dice.Next();
      if (step.passes > Nanos{0}) {
        awake.Advance(step.passes);
        resting.Advance(step.passes);
      }
      const std::string wanted = awake.Request(step.subject, step.body, step.header);
      ASSERT_EQ(resting.Request(step.subject, step.body, step.header), wanted)
          << "seed " << seed << ", step " << i << ": " << step.subject << " " << step.body << " "
          << Escaped(step.header);
      ASSERT_EQ(resting.engine().streams().size(), awake.engine().streams().size());
      rested += resting.engine().streams().resting();
    }
    ASSERT_EQ(awake.engine().streams().resting(), 0u);
  }
  EXPECT_GT(rested, rounds * 300 / 2);  // it was worth the name
}

TEST(Rest, OnlyWhatIsTooManyAndUnused) {
  EngineHarness js(Resting(3, std::chrono::seconds(10)));
  const StreamTable& streams = js.engine().streams();
  for (int i = 0; i < 10; ++i) {
    const std::string n = std::to_string(i);
    EXPECT_THAT(Create(js, "S" + n, ",\"subjects\":[\"s." + n + "\"]"), HasSubstr("\"did_create\":true"));
  }
  EXPECT_EQ(streams.resting(), 0u);
  js.Advance(std::chrono::seconds(6));
  for (int i = 0; i < 5; ++i) js.Request("s." + std::to_string(i), "used");
  js.Advance(std::chrono::seconds(5));
  EXPECT_EQ(streams.resting(), 5u);
  EXPECT_EQ(streams.shapes(), 1u);
  EXPECT_EQ(js.store().resting.size(), 5u);
  js.Advance(std::chrono::seconds(10));
  EXPECT_EQ(streams.resting(), 7u);
  js.Advance(std::chrono::minutes(1));
  EXPECT_EQ(streams.resting(), 7u);  // the last three may stay
  EXPECT_EQ(streams.size(), 10u);
  EXPECT_EQ(js.engine().Usage(js.engine().accounts()[kGlobalAccount]).total.streams, 10);
  EXPECT_EQ(js.Request("s.9", "x"), "{\"stream\":\"S9\",\"seq\":1}");
  // Subjects of streams at rest are taken.
  EXPECT_THAT(Create(js, "T", ",\"subjects\":[\"s.>\"]"), HasSubstr("subjects overlap with an existing stream"));
  // Each look at all of them leaves as many at rest as there were.
  const size_t before = streams.resting();
  JszSnapshot jsz;
  JszOptions options;
  options.accounts = options.streams = options.config = true;
  JetStreamPages(js.engine()).FillJsz(options, &jsz);
  ASSERT_EQ(jsz.accounts.size(), 1u);
  EXPECT_EQ(jsz.accounts[0].streams.size(), 10u);
  EXPECT_EQ(jsz.messages, 6u);
  EXPECT_EQ(streams.resting(), before);
}

TEST(Rest, ConfigurationsThatAreAlikeAreKeptOnce) {
  EngineHarness js(Resting(0, Nanos{0}));
  const StreamTable& streams = js.engine().streams();
  for (int i = 0; i < 6; ++i) {
    const std::string n = std::to_string(i);
    Create(js, "S" + n, ",\"subjects\":[\"s." + n + "\"],\"max_msgs\":" + std::to_string(100 + i % 2));
  }
  EXPECT_EQ(streams.resting(), 6u);
  EXPECT_EQ(streams.shapes(), 2u);
  for (int i = 1; i < 6; i += 2) js.Request("$JS.API.STREAM.DELETE.S" + std::to_string(i), "");
  EXPECT_EQ(streams.resting(), 3u);
  EXPECT_EQ(streams.shapes(), 1u);
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.S4", ""), HasSubstr("\"subjects\":[\"s.4\"]"));
}

// A task that names all of them, or describes them for a page, is paused; streams wake, go to rest and come meanwhile.
TEST(Rest, EachStreamIsNamedOnceHoweverMuchTheyMove) {
  constexpr int kStreams = 3'000;
  EngineHarness js(Resting(100, Nanos{0}));
  std::vector<std::string> expected;
  for (int i = 0; i < kStreams; ++i) {
    const std::string name = "S" + std::to_string(i);
    Create(js, name, ",\"subjects\":[\"" + name + (i % 10 == 0 ? ".x\"]" : ".y\"]"));
    if (i % 10 == 0) expected.push_back(name);
  }
  std::sort(expected.begin(), expected.end());
  JetStream& engine = js.engine();
  ASSERT_GT(engine.streams().resting(), 2'000u);
  for (uint64_t seed = 1; seed <= Rounds(3); ++seed) {
    SeededRandom random(seed);
    std::vector<std::string> names;
    JszSnapshot jsz;
    bool ended = false;
    int turns = 0;
    engine.RunLong(JetStream::kNoStream, [&] {
      names = engine.streams().Names(kGlobalAccount, "*.x", &engine.tasks());
      JszOptions options;
      options.accounts = options.streams = true;
      JetStreamPages(engine).FillJsz(options, &jsz);
      ended = true;
    });
    for (; !ended && turns < 10'000; ++turns) {
      for (int i = 0; i < 30; ++i) {
        const std::string name = "S" + std::to_string(random.Below(kStreams));
        if (random.OneIn(2)) engine.streams().Find(kGlobalAccount, name);
        Stream* awake = engine.streams().FindAwake(kGlobalAccount, name);
        if (awake != nullptr && random.OneIn(2)) engine.streams().TryRest(awake);
      }
      js.Turn();
    }
    EXPECT_GT(turns, 10) << seed;
    EXPECT_EQ(names, expected) << seed;
    ASSERT_EQ(jsz.accounts.size(), 1u);
    EXPECT_EQ(jsz.accounts[0].streams.size(), static_cast<size_t>(kStreams)) << seed;
  }
}

// A message to a stream at rest is stored in the turn in which it comes, and the stream's end finds it either way.
TEST(Rest, StreamsAtRestEnd) {
  for (const bool stop : {true, false}) {
    EngineHarness js(Resting(0, Nanos{0}));
    Create(js, "S", ",\"subjects\":[\"s\"]");
    ASSERT_EQ(js.engine().streams().resting(), 1u);
    if (!stop) continue;
    js.engine().StartStop();
    js.Settle();
    EXPECT_EQ(js.Request("s", "x"), "no responders");
    EXPECT_TRUE(js.engine().stopped());
  }
}

}  // namespace
}  // namespace millrace
