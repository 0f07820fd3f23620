// SPDX-License-Identifier: Apache-2.0
// Goal: the language of configuration files is read as the peer reads it.
// Method: tables of text and canonical JSON, error texts and digests taken from nats-server 2.15.2;
// seeded damage to good texts must never do worse than an error.
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_format.h"
#include "broker/config/language/parser.h"
#include "broker/config/language/text.h"
#include "tests/config/support.h"

namespace millrace::config {
namespace {

std::string JsonOf(std::string_view text) {
  const auto document = ParseText(text);
  return document.ok() ? CanonicalJson(document->root) : "error: " + Message(document.status());
}

TEST(Language, TextsBecomeTheTreesOfThePeer) {
  const struct {
    std::string_view text;
    std::string_view json;
  } kRows[] = {
      {"", "{}"},
      {"a: 1", R"({"a":1})"},
      {"a = 1; b 2, c: 3", R"({"a":1,"b":2,"c":3})"},
      {"{\"a\": 1}", R"({"a":1})"},
      {"a {b: 1, c {d: x}}", R"({"a":{"b":1,"c":{"d":"x"}}})"},
      {"a [1, 2, ]\n", R"({"a":[1,2]})"},
      {"a: 8k\nb: 8kb\nc: 8MB\nd: -1g", R"({"a":8000,"b":8192,"c":8388608,"d":-1000000000})"},
      {"a: 1kbb\nb: 1kk", R"({"b":"1kk"})"},
      {"a: 1.5\nb: -0.5", R"({"a":1.5,"b":-0.5})"},
      {"a: 2m\nb: 5s\nc: 1.2.3.4:80", R"({"a":2000000,"b":"5s","c":"1.2.3.4:80"})"},
      {"a: 2016-05-04T18:53:41Z", R"({"a":"2016-05-04T18:53:41Z"})"},
      {"a: on\nb: 'on'\nc: FALSE", R"({"a":true,"b":"on","c":false})"},
      {"a: \"x\\x41\\t\\\"\"\nb: 'x\\t'", R"({"a":"xA\t\"","b":"x\\t"})"},
      {"a: (\nx)y\n)\nb: 1", R"({"a":"\nx)y\n","b":1})"},
      {"a: 1\nb: $a", R"({"a":1,"b":1})"},
      {"a: 1\nb {a: 2, c {d: $a}}", R"({"a":1,"b":{"a":2,"c":{"d":2}}})"},
      {"a: $2a$10$abc", R"({"a":"$2a$10$abc"})"},
      {"a: 1\na: 2", R"({"a":2})"},
      {"a: <&>", R"({"a":"\u003c\u0026\u003e"})"},
      {"m {a: }", R"({"a":{}})"},
      {"a:\n1", "error: Parse error on line 2: 'Expected value but found new line'"},
      {"a: $nope", "error: variable reference for 'nope' on line 1 can not be found"},
      {"a: [1", "error: Parse error on line 1: 'Expected an array value terminator \",\" or an "
                "array terminator \"]\", but got 'EOF' instead.'"},
      {"a: {b", "error: Parse error on line 1: 'Unexpected EOF processing map key.'"},
      {"a", "error: config is invalid (:1:1)"},
      {"a: 99999999999999999999", "error: integer '99999999999999999999' is out of the range"},
      {"a: 2016-02-30T00:00:00Z",
       "error: expected Zulu formatted DateTime, but got '2016-02-30T00:00:00Z'"},
      {"include nope.conf",
       "error: error parsing include file 'nope.conf', open nope.conf: no such file or directory"},
  };
  for (const auto& row : kRows) EXPECT_EQ(JsonOf(row.text), row.json) << row.text;
}

TEST(Language, DigestsAreThoseOfThePeer) {
  EXPECT_EQ(ParseText("max_payload: 1g")->digest,
            "sha256:61f769b3e93e8f458e94fcbf4887f45672f8a79ecbd0c80d5de0213401942939");
  EXPECT_EQ(ParseText("max_pending: 10e")->digest,
            "sha256:25742e97446c4f0bbbc1dbdb6c8ece78913296cba5e7e829782917599df8ef25");
  EXPECT_EQ(ParseText("cluster {name: 'a b'}")->digest,
            "sha256:edc75a723745e1ff09fbe8ec9ef6fdb7f879969413445502701c2fb820519606");
}

TEST(Language, TheEnvironmentIsReadAsValues) {
  ::setenv("MRT_NUMBER", "5k", 1);
  ::setenv("MRT_MAP", "{x: [1, 2 , y]}", 1);
  ::setenv("MRT_A", "$MRT_B", 1);
  ::setenv("MRT_B", "$MRT_A", 1);
  EXPECT_EQ(JsonOf("a: $MRT_NUMBER"), R"({"a":5000})");
  EXPECT_EQ(JsonOf("a: $MRT_MAP"), R"({"a":{"x":[1,2,"y"]}})");
  EXPECT_EQ(JsonOf("MRT_NUMBER: 1\na: $MRT_NUMBER"), R"({"MRT_NUMBER":1,"a":1})");
  EXPECT_EQ(JsonOf("a: $MRT_A"),
            "error: variable reference for 'MRT_A' on line 1 could not be parsed: variable "
            "reference for 'MRT_B' on line 1 could not be parsed: variable reference for 'MRT_A' "
            "on line 1 could not be parsed: variable reference cycle for 'MRT_A'");
}

TEST(Language, IncludesAreRelativeToTheirFileAndBounded) {
  const Scratch scratch;
  scratch.Write("deep/two.conf", "b: 2");
  scratch.Write("deep/one.conf", "include two.conf\na: 1");
  const auto document = ParseFile(scratch.Write("main.conf", "include deep/one.conf\nc: $b"));
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(CanonicalJson(document->root), R"({"a":1,"b":2,"c":2})");
  const std::string self = scratch.Write("self.conf", "include self.conf");
  EXPECT_NE(Message(ParseFile(self).status()).find("is there a cycle?"), std::string::npos);
}

TEST(Language, NestingAndSizeAreBounded) {
  const std::string deep(100'000, '[');
  EXPECT_NE(JsonOf("a: " + deep).find("nested too deep"), std::string::npos);
  EXPECT_NE(JsonOf(std::string(100'000, '{')).find("nested too deep"), std::string::npos);
  std::string bomb = "v0: [1, 1, 1, 1 ]\n";
  for (int i = 1; i < 30; ++i) {
    bomb += absl::StrFormat("v%d: [$v%d, $v%d, $v%d, $v%d]\n", i, i - 1, i - 1, i - 1, i - 1);
  }
  EXPECT_NE(JsonOf(bomb).find("more than"), std::string::npos);
}

TEST(Language, DamagedTextsAreErrorsAtWorst) {
  const std::string good =
      "port: 4222 # c\nserver_name = \"a\\x41\"\nauthorization {\n users: [ {user: a, pass: 'b'}\n"
      "{user: $X} ] // c\n}\nX: (\nb\n)\nmax: 8MB, t: 2016-05-04T18:53:41Z; f: 1.5 ip 1.2.3.4:5\n";
  const std::string alphabet = "{}[]()'\"\\$#/=:;,. \n\r\t-0k5ax\0\xff\xe2";
  std::mt19937 random(20150401);
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    for (int edits = static_cast<int>(random() % 4) + 1; edits > 0 && !text.empty(); --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = alphabet[random() % alphabet.size()]; break;
        case 1: text.erase(at, random() % 8 + 1); break;
        default: text.insert(at, 1, alphabet[random() % alphabet.size()]); break;
      }
    }
    const auto document = ParseText(text);
    EXPECT_TRUE(document.ok() || !document.status().message().empty());
  }
}

TEST(Text, DurationsReadAndPrintAsInGo) {
  const struct {
    std::string_view text;
    int64_t nanoseconds;
    std::string_view printed;
  } kRows[] = {
      {"0", 0, "0s"},
      {"1ns", 1, "1ns"},
      {"1.5us", 1500, "1.5\xC2\xB5s"},
      {"100ms", 100'000'000, "100ms"},
      {"1.5s", 1'500'000'000, "1.5s"},
      {"2m", 120'000'000'000, "2m0s"},
      {"1h2m3.5s", 3'723'500'000'000, "1h2m3.5s"},
      {"-5s", -5'000'000'000, "-5s"},
      {"100h", 360'000'000'000'000, "100h0m0s"},
  };
  for (const auto& row : kRows) {
    const auto duration = ParseDuration(row.text);
    ASSERT_TRUE(duration.ok()) << row.text;
    EXPECT_EQ(duration->count(), row.nanoseconds) << row.text;
    EXPECT_EQ(FormatDuration(*duration), row.printed);
  }
  EXPECT_EQ(Message(ParseDuration("5").status()), "time: missing unit in duration \"5\"");
  EXPECT_EQ(Message(ParseDuration("5y").status()), "time: unknown unit \"y\" in duration \"5y\"");
  EXPECT_EQ(Message(ParseDuration("5\xC3\xA9").status()), R"(time: unknown unit "\xc3\xa9" in duration "5\xc3\xa9")");
  for (std::string_view bad : {"", "x", ".s", "9999999999999h", "-"}) {
    EXPECT_EQ(Message(ParseDuration(bad).status()), "time: invalid duration " + Quoted(bad));
  }
}

}  // namespace
}  // namespace millrace::config
