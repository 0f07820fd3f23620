// SPDX-License-Identifier: Apache-2.0
// Goal: a stream says of a traced message what becomes of it, and of one that is only traced what would (C-42).
// Method: what nats-server 2.15.2 says of the same messages (tests/interop/message_traces.py).
#include <gtest/gtest.h>

#include "tests/jetstream/engine_harness.h"

namespace millrace {
namespace {

constexpr std::string_view kDest = "NATS/1.0\r\nNats-Trace-Dest: d\r\n";

class Traced {
 public:
  Traced() {
    Create(R"({"name":"ONE","subjects":["one.*"],"storage":"memory","max_msg_size":100})");
    Create(R"({"name":"NEED","subjects":["need"],"storage":"memory","retention":"interest"})");
    Create(R"({"name":"TURN","subjects":["turn.*"],"storage":"memory","subject_transform":)"
           R"({"src":"turn.*","dest":"turned.$1"}})");
  }

  // "stream>subject", "!" where nobody needs it, "=error"; "subject>>subject" of what goes to another account.
  std::string Say(std::string_view subject, bool only, std::string_view headers = "", std::string_view body = "x") {
    MessageTrace trace{.only = only};
    delivered = h.Publish(subject, body, "", std::string(kDest) + std::string(headers) + "\r\n", &trace);
    h.Settle();
    std::string said;
    for (const TraceEvent& event : trace.events) {
      if (event.kind == TraceEvent::Kind::kJetStream) said += event.name + ">" + event.to;
      if (event.kind == TraceEvent::Kind::kServiceImport) said += event.from + ">>" + event.to;
      if (event.no_interest) said += "!";
      if (!event.error.empty()) said += "=" + event.error;
    }
    return said;
  }
  uint64_t LastOf(std::string_view stream) { return h.FindStream(stream)->log().state().last_seq; }

  EngineHarness h;
  bool delivered = false;

 private:
  void Create(const std::string& config) {
    const size_t name = config.find("\":\"") + 3;
    const std::string subject = "$JS.API.STREAM.CREATE." + config.substr(name, config.find('"', name) - name);
    const std::string answer = h.Request(subject, config);
    EXPECT_EQ(answer.find("error"), std::string::npos) << answer;
  }
};

TEST(StreamTrace, WhatIsOnlyTracedIsNotStored) {
  Traced traced;
  for (const bool only : {true, false}) {
    EXPECT_EQ(traced.Say("one.1", only), "ONE>one.1");
    EXPECT_TRUE(traced.delivered);
    EXPECT_EQ(traced.LastOf("ONE"), only ? 0u : 1u);
    EXPECT_EQ(traced.Say("need", only), "NEED>need!");
    EXPECT_EQ(traced.Say("turn.1", only), "TURN>turned.1");
    EXPECT_EQ(traced.LastOf("TURN"), only ? 0u : 1u);
  }
  const std::string answer = traced.h.Request("$JS.API.STREAM.MSG.GET.ONE", R"({"seq":1})");
  // NATS/1.0, Nats-Trace-Dest: trace disabled: no consumer's client begins another one.
  EXPECT_NE(answer.find(R"("hdrs":"TkFUUy8xLjANCk5hdHMtVHJhY2UtRGVzdDogdHJhY2UgZGlzYWJsZWQNCg0K")"), std::string::npos)
      << answer;
}

TEST(StreamTrace, WhatForbidsItIsSaid) {
  Traced traced;
  const std::string large(100, 'x');
  for (const bool only : {true, false}) {
    EXPECT_EQ(traced.Say("one.1", only, "", large), "ONE>=maximum payload exceeded");
    EXPECT_EQ(traced.Say("one.1", only, "Nats-Expected-Stream: TWO\r\n"), "ONE>=expected stream does not match");
  }
  EXPECT_EQ(traced.Say("one.1", false, "Nats-Msg-Id: a\r\n"), "ONE>one.1");
  EXPECT_EQ(traced.Say("one.1", false, "Nats-Msg-Id: a\r\n"), "ONE>=msgid is duplicate");
  EXPECT_EQ(traced.LastOf("ONE"), 1u);
}

TEST(StreamTrace, AnApiRequestIsFollowedNoFurther) {
  Traced traced;
  EXPECT_EQ(traced.Say("$JS.API.STREAM.DELETE.ONE", true), "$JS.API.STREAM.DELETE.ONE>>$JS.API.STREAM.DELETE.ONE");
  EXPECT_FALSE(traced.delivered);
  EXPECT_NE(traced.h.FindStream("ONE"), nullptr);
  EXPECT_EQ(traced.Say("$JS.API.STREAM.DELETE.ONE", false, "", ""),
            "$JS.API.STREAM.DELETE.ONE>>$JS.API.STREAM.DELETE.ONE");
  EXPECT_EQ(traced.h.FindStream("ONE"), nullptr);
}

}  // namespace
}  // namespace millrace
