// SPDX-License-Identifier: Apache-2.0
// Goal: subject transforms, schedules and the rules of consumers are the peer's.
// Method: golden/{transform,schedule,consumer}.jsonl hold what the peer's own functions answered (peer/run.sh).
#include <gtest/gtest.h>

#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/api/schedule.h"
#include "proto/subject_transform.h"
#include "tests/jetstream/golden.h"

namespace millrace {
namespace {

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(SubjectTransform, MappingsAreRefusedWithThePeersTexts) {
  for (const nlohmann::json& line : ReadGolden("transform")) {
    if (Text(line, "op") != "mapping") continue;
    EXPECT_EQ(ErrorOf(ValidateMapping(Text(line, "src"), Text(line, "dest"))), Text(line, "error")) << line.dump();
  }
}

TEST(SubjectTransform, SubjectsBecomeWhatThePeerMakesOfThem) {
  const std::vector<nlohmann::json> lines = ReadGolden("transform");
  ASSERT_GT(lines.size(), 500u);
  for (const nlohmann::json& line : lines) {
    const std::string destination = Text(line, "dest");
    if (Text(line, "op") != "transform" || destination.find("random") != std::string::npos) continue;
    const TransformKind kind = line.value("strict", false) ? TransformKind::kReversible : TransformKind::kAny;
    const absl::StatusOr<SubjectTransform> transform =
        SubjectTransform::Compile(Text(line, "src"), destination, kind);
    ASSERT_EQ(ErrorOf(transform.status()), Text(line, "error")) << line.dump();
    if (!transform.ok() || !line.contains("out")) continue;
    for (size_t i = 0; i < line["subjects"].size(); ++i) {
      const std::string wanted = line["out"][i];
      const std::optional<std::string> got = transform->Match(line["subjects"][i].get<std::string>());
      EXPECT_EQ(got.value_or("!"), wanted[0] == '!' ? "!" : wanted) << line["subjects"][i] << " in " << line.dump();
    }
    if (kind == TransformKind::kReversible) {
      const absl::StatusOr<SubjectTransform> back = transform->Reverse();
      EXPECT_EQ(back.ok() ? back->source() + " -> " + back->destination() : "", Text(line, "reverse")) << line.dump();
    }
  }
}

TEST(SubjectTransform, RandomStaysBelowItsBound) {
  const absl::StatusOr<SubjectTransform> transform = SubjectTransform::Compile("foo.*", "bar.{{random(3)}}");
  ASSERT_TRUE(transform.ok());
  EXPECT_EQ(transform->Apply("foo.x", 0), "bar.0");
  for (uint32_t random = 1; random != 0; random *= 7) {
    const std::string subject = transform->Apply("foo.x", random);
    EXPECT_TRUE(subject == "bar.0" || subject == "bar.1" || subject == "bar.2") << subject;
    if (random > 4'000'000'000) break;
  }
}

TEST(Schedule, FiresWhenThePeerFires) {
  const std::vector<nlohmann::json> lines = ReadGolden("schedule");
  ASSERT_GT(lines.size(), 1000u);
  for (const nlohmann::json& line : lines) {
    const std::string name = Text(line, "zone"), pattern = Text(line, "text");
    std::optional<absl::TimeZone> zone;
    std::string got;
    if (!name.empty() && !(zone = LoadScheduleTimeZone(name))) {
      got = "no zone";
    } else {
      const std::optional<ScheduledTime> next = NextSchedule(pattern, zone ? &*zone : nullptr, line["ts"], 0);
      got = !next ? "invalid" : std::to_string(next->next_ns) + (next->repeats ? " true" : " false");
      if (pattern.empty()) got = Text(line, "json");  // no schedule: the time does not matter
    }
    EXPECT_EQ(got, Text(line, "json")) << line.dump();
  }
}

TEST(Schedule, SkipsWhatWasMissed) {
  const int64_t last_ns = 1'900'000'000 * kNsPerSecond, now_ns = last_ns + 3600 * kNsPerSecond + 600'000'000;
  EXPECT_EQ(NextSchedule("@every 10s", nullptr, last_ns, now_ns)->next_ns, last_ns + 3611 * kNsPerSecond);
  EXPECT_EQ(NextSchedule("*/10 * * * * *", nullptr, last_ns, now_ns)->next_ns, last_ns + 3610 * kNsPerSecond);
  EXPECT_EQ(NextSchedule("@at 2026-01-01T00:00:00Z", nullptr, last_ns, now_ns)->next_ns,
            *ParseGoTime("2026-01-01T00:00:00Z", nullptr));
}

TEST(Schedule, FieldsThatNameNothingAreRefusedAtOnce) {
  for (const char* pattern : {", * * * * *", "* , * * * *", "* * , * * *", "* * * * , *", ", , , , , ,"})
    EXPECT_FALSE(NextSchedule(pattern, nullptr, 0, 0)) << pattern;
}

struct Limits {
  ServerLimits server;
  JetStreamAccountLimits account{};
};

Limits LimitsOf(const nlohmann::json& line) {
  Limits limits;
  limits.account.max_ack_pending = 0;
  if (const std::string text = Text(line, "limits"); !text.empty()) {
    const nlohmann::json json = nlohmann::json::parse(text);
    limits.server.max_ack_pending = json.value("max_ack_pending", 0);
    limits.server.max_request_batch = json.value("max_request_batch", 0);
  }
  if (const std::string text = Text(line, "account"); !text.empty())
    limits.account.max_ack_pending = nlohmann::json::parse(text).value("max_ack_pending", 0);
  return limits;
}

TEST(ConsumerCheck, DefaultsAndRefusalsAreThePeers) {
  const std::vector<nlohmann::json> lines = ReadGolden("consumer");
  ASSERT_GT(lines.size(), 500u);
  for (const nlohmann::json& line : lines) {
    ConsumerConfig config;
    StreamConfig stream;
    ASSERT_EQ(ParseJson(Text(line, "text"), &config), "");
    ASSERT_EQ(ParseJson(Text(line, "stream"), &stream), "");
    const Limits limits = LimitsOf(line);
    std::optional<ApiError> error =
        SetConsumerDefaults(&config, stream, limits.server, &limits.account, line.value("pedantic", false));
    if (!error) error = CheckConsumerConfig(config, stream, limits.server, &limits.account);
    EXPECT_EQ(error ? PrintJson(*error) : PrintJson(config), Text(line, "json")) << line.dump();
  }
}

}  // namespace
}  // namespace millrace
