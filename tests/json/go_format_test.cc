// SPDX-License-Identifier: Apache-2.0
// Goal: numbers, times and texts look as Go prints them. Method: tables of pairs taken from Go.
#include "broker/json/go_format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>

#include "broker/json/writer.h"

namespace millrace {
namespace {

TEST(GoFormat, UptimeCountsYearsDaysHoursMinutesSeconds) {
  constexpr int64_t kS = 1'000'000'000;
  EXPECT_EQ(FormatUptime(0), "0s");
  EXPECT_EQ(FormatUptime(59 * kS + 999'999'999), "59s");
  EXPECT_EQ(FormatUptime(60 * kS), "1m0s");
  EXPECT_EQ(FormatUptime(3'661 * kS), "1h1m1s");
  EXPECT_EQ(FormatUptime((26 * 3'600 + 3 * 60 + 4) * kS), "1d2h3m4s");
  EXPECT_EQ(FormatUptime((365 * 24 * 3'600 + 5) * kS), "1y0d0h0m5s");
}

TEST(GoFormat, DurationUsesTheLargestUnitBelowOne) {
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(1), "1ns");
  EXPECT_EQ(FormatDuration(1'100), "1.1µs");
  EXPECT_EQ(FormatDuration(728'000), "728µs");
  EXPECT_EQ(FormatDuration(2'558'329), "2.558329ms");
  EXPECT_EQ(FormatDuration(2'200'000), "2.2ms");
  EXPECT_EQ(FormatDuration(3'300'000'000), "3.3s");
  EXPECT_EQ(FormatDuration(245'000'000'000), "4m5s");
  EXPECT_EQ(FormatDuration(245'001'000'000), "4m5.001s");
  EXPECT_EQ(FormatDuration(int64_t{18'367} * 1'000'000'000 + 1), "5h6m7.000000001s");
  EXPECT_EQ(FormatDuration(480'000'000'001), "8m0.000000001s");
  EXPECT_EQ(FormatDuration(INT64_MAX), "2562047h47m16.854775807s");
  EXPECT_EQ(FormatDuration(INT64_MIN), "-2562047h47m16.854775808s");
}

std::string Rfc3339(int64_t wall_ns) {
  std::string out;
  AppendRfc3339Nano(wall_ns, &out);
  return out;
}

TEST(GoFormat, TimeTrimsItsFraction) {
  EXPECT_EQ(Rfc3339(0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(Rfc3339(1), "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(Rfc3339(1'000'000'000), "1970-01-01T00:00:01Z");
  EXPECT_EQ(Rfc3339(int64_t{951'782'400} * 1'000'000'000), "2000-02-29T00:00:00Z");
  EXPECT_EQ(Rfc3339(int64_t{1'795'473'524} * 1'000'000'000 + 301'900'000),
            "2026-11-23T22:38:44.3019Z");
}

TEST(GoFormat, TimeAgreesWithTheLibraryOnRandomSeconds) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 100'000; ++i) {
    const auto seconds = static_cast<time_t>(random() % 8'000'000'000ULL) - 2'000'000'000;
    if (seconds == 0) continue;
    tm parts = {};
    gmtime_r(&seconds, &parts);
    char expected[40];
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
    ASSERT_EQ(Rfc3339(int64_t{seconds} * 1'000'000'000), expected);
  }
}

TEST(GoFormat, LocalTimeShowsItsOffset) {
  const char* before = std::getenv("TZ");
  const std::string saved = before == nullptr ? "" : before;
  const auto local = [](const char* zone, int64_t wall_ns) {
    setenv("TZ", zone, 1);
    tzset();
    std::string out;
    AppendRfc3339NanoLocal(wall_ns, &out);
    return out;
  };
  const int64_t when = int64_t{1'795'473'524} * 1'000'000'000 + 500'000'000;
  EXPECT_EQ(local("XXX-1", when), "2026-11-23T23:38:44.5+01:00");
  EXPECT_EQ(local("XXX3:30", when), "2026-11-23T19:08:44.5-03:30");
  EXPECT_EQ(local("UTC0", when), "2026-11-23T22:38:44.5Z");
  EXPECT_EQ(local("XXX-1", 0), "0001-01-01T00:00:00Z");
  if (before == nullptr) {
    unsetenv("TZ");
  } else {
    setenv("TZ", saved.c_str(), 1);
  }
  tzset();
}

TEST(GoFormat, FloatsAreTheShortestThatReadBack) {
  const std::pair<double, const char*> table[] = {
      {0, "0"},         {2, "2"},           {0.5, "0.5"},     {1.0 / 6, "0.16666666666666666"},
      {0.8, "0.8"},     {100, "100"},       {-3.25, "-3.25"}, {1e20, "100000000000000000000"},
      {1e21, "1e+21"},  {1e-6, "0.000001"}, {1e-7, "1e-7"},   {1.5e-9, "1.5e-9"},
      {1e-10, "1e-10"}, {1e300, "1e+300"},
  };
  for (const auto& [value, expected] : table) {
    std::string out;
    AppendGoFloat(value, &out);
    EXPECT_EQ(out, expected);
  }
}

std::string Escaped(std::string_view text) {
  std::string out;
  AppendGoJsonString(text, &out);
  return out;
}

TEST(GoFormat, JsonTextEscapesMarkupSeparatorsAndBadBytes) {
  EXPECT_EQ(Escaped("a<b>&c"), R"("a\u003cb\u003e\u0026c")");
  EXPECT_EQ(Escaped("\"\\/"), R"("\"\\/")");
  EXPECT_EQ(Escaped("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(Escaped(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(Escaped("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\\u2028\\u2029\xe2\x80\xaa\"");
  EXPECT_EQ(Escaped("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
  EXPECT_EQ(Escaped("\xff"), R"("\ufffd")");
  EXPECT_EQ(Escaped("\xc3"), R"("\ufffd")");
  EXPECT_EQ(Escaped("a\xe2\x80"), R"("a\ufffd\ufffd")");
  EXPECT_EQ(Escaped("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");  // a surrogate
  EXPECT_EQ(Escaped("\xc0\xaf"), R"("\ufffd\ufffd")");            // overlong
}

TEST(GoFormat, JsonTextReadsBackForRandomBytes) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    const size_t length = random() % 12;
    for (size_t k = 0; k < length; ++k)
      text += static_cast<char>(random() % 4 == 0 ? random() : 0x20 + random() % 0x60);
    const std::string quoted = Escaped(text);
    const auto parsed = nlohmann::json::parse(quoted, nullptr, false);
    ASSERT_TRUE(parsed.is_string()) << quoted;
    // Well-formed text comes back as it was; the twin's own opinion says which text is well formed.
    if (nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore) ==
        nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
      ASSERT_EQ(parsed.get<std::string>(), text);
    }
  }
}

TEST(JsonWriterTest, LayoutsAreThoseOfMarshalAndMarshalIndent) {
  const auto page = [](JsonLayout layout) {
    JsonWriter out(layout);
    out.BeginObject();
    out.Put("a", "b");
    out.Key("e"), out.Strings({});
    out.Key("o");
    out.BeginObject();
    out.EndObject();
    out.Key("l");
    out.BeginArray();
    out.Int(-1);
    out.BeginObject();
    out.PutBool("t", true);
    out.OptInt("none", 0);
    out.EndObject();
    out.Null();
    out.EndArray();
    out.EndObject();
    return out.text();
  };
  EXPECT_EQ(page(JsonLayout::kCompact), R"({"a":"b","e":[],"o":{},"l":[-1,{"t":true},null]})");
  EXPECT_EQ(
      page(JsonLayout::kIndent2),
      "{\n  \"a\": \"b\",\n  \"e\": [],\n  \"o\": {},\n  \"l\": [\n    -1,\n    {\n      \"t\": "
      "true\n    },\n    null\n  ]\n}");
}

}  // namespace
}  // namespace millrace
