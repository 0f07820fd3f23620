// SPDX-License-Identifier: Apache-2.0
// Goal: CONNECT's JSON is read as Go reads it: what is refused, what odd strings become, which of two keys counts.
// Method: 2,000 texts with what Go's decoder made of them (peer_json.go wrote peer_json.txt);
//       tables for the reader itself;
// random cuts of the same texts must never be read past their end.
#include "proto/json_reader.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "broker/session/connect_options.h"
#include "tests/hex.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::vector<std::vector<std::string>> PeerLines() {
  std::ifstream file(std::string(MR_TEST_SOURCE_DIR) + "/peer_json.txt");
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    lines.emplace_back();
    for (std::string word; words >> word;) lines.back().push_back(word);
  }
  return lines;
}

TEST(ParseConnect, ReadsWhatThePeersDecoderReads) {
  const std::vector<std::vector<std::string>> lines = PeerLines();
  ASSERT_GT(lines.size(), 2000u);
  for (const std::vector<std::string>& line : lines) {
    const std::string text = FromHex(line[0]);
    ConnectOptions options;
    const bool ok = ParseConnect(text, &options);
    ASSERT_EQ(ok, line[1] != "-") << Escaped(text);
    if (!ok) continue;
    ASSERT_EQ(line.size(), 6u);
    EXPECT_EQ(options.verbose, line[1] == "true") << Escaped(text);
    EXPECT_EQ(options.echo, line[2] == "true") << Escaped(text);
    EXPECT_EQ(options.protocol, std::stoll(line[3])) << Escaped(text);
    EXPECT_EQ(Escaped(options.name), Escaped(FromHex(line[4].substr(1)))) << Escaped(text);
    EXPECT_EQ(Escaped(options.credentials().user), Escaped(FromHex(line[5].substr(1)))) << Escaped(text);
  }
}

TEST(ParseConnect, NeverReadsPastTheEnd) {
  const std::vector<std::vector<std::string>> lines = PeerLines();
  for (const std::vector<std::string>& line : lines) {
    const std::string text = FromHex(line[0]);
    for (size_t size = 0; size <= std::min<size_t>(text.size(), 100); ++size) {
      // A block of exactly this size, so that the sanitizer sees the first byte too many.
      const auto block = std::make_unique<char[]>(size);
      text.copy(block.get(), size);
      ConnectOptions options;
      ParseConnect({block.get(), size}, &options);
    }
  }
}

TEST(ParseConnect, EveryKeyReachesItsField) {
  ConnectOptions o;
  ASSERT_TRUE(ParseConnect(
      R"({"verbose":false,"pedantic":false,"echo":false,"tls_required":true,"headers":true,"no_responders":true,)"
      R"("new_account":true,"protocol":1,"nkey":"a","jwt":"b","sig":"c","auth_token":"d","user":"e","pass":"f",)"
      R"("account":"g","name":"h","lang":"i","version":"j"})",
      &o));
  EXPECT_FALSE(o.verbose || o.pedantic || o.echo);
  EXPECT_TRUE(o.tls_required && o.headers && o.no_responders && o.new_account);
  EXPECT_EQ(o.protocol, 1);
  const Credentials& c = o.credentials();
  EXPECT_EQ(c.nkey + c.jwt + c.sig + c.auth_token + c.user + c.pass + c.account + o.name + o.lang + o.version,
            "abcdefghij");
}

TEST(ParseConnect, ASecondOneChangesOnlyWhatItCarries) {
  ConnectOptions o;
  ASSERT_TRUE(ParseConnect(R"({"verbose":false,"name":"first","protocol":1})", &o));
  ASSERT_TRUE(ParseConnect(R"({"echo":false,"name":"second"})", &o));
  EXPECT_FALSE(o.verbose || o.echo);
  EXPECT_EQ(o.name, "second");
  EXPECT_EQ(o.protocol, 1);
}

TEST(IsJsonObject, TakesObjectsAndNull) {
  for (const std::string_view text : {"{}", "null", " {\"a\":[1,{}]} "}) EXPECT_TRUE(IsJsonObject(text)) << text;
  for (const std::string_view text : {"", "[]", "1", "\"a\"", "{", "{}x", "nul"})
    EXPECT_FALSE(IsJsonObject(text)) << text;
}

// ---- the reader ----------------------------------------------------------------------------------------------------

struct Members final : JsonMemberVisitor {
  void OnMember(const std::string& key, const JsonValue& value) override {
    int64_t number = 0;
    text += key + "=";
    switch (value.kind) {
      case JsonValue::Kind::kString:
        text += "'" + value.string + "'";
        break;
      case JsonValue::Kind::kNumber:
        text += value.AsInteger(&number) ? std::to_string(number) : "(" + std::string(value.raw) + ")";
        break;
      default:
        text += value.raw;
    }
    text += ";";
  }
  std::string text;
};

TEST(JsonReader, ReportsTheMembersOfTheTopObjectInOrder) {
  struct Case {
    std::string_view text;
    JsonStatus status;
    std::string_view members;
  };
  const Case cases[] = {
      {"{}", JsonStatus::kObject, ""},
      {R"({"a":1,"b":"x","a":true})", JsonStatus::kObject, "a=1;b='x';a=true;"},
      {R"({"a":{"b":1},"c":[1, 2]})", JsonStatus::kObject, R"(a={"b":1};c=[1, 2];)"},
      {" {\t\"a\"\r:\n null } ", JsonStatus::kObject, "a=null;"},
      {R"({"a":9223372036854775807,"b":-9223372036854775808})", JsonStatus::kObject,
       "a=9223372036854775807;b=-9223372036854775808;"},
      {R"({"a":9223372036854775808,"b":1.0,"c":1e2})", JsonStatus::kObject, "a=(9223372036854775808);b=(1.0);c=(1e2);"},
      {R"({"a":-0})", JsonStatus::kObject, "a=0;"},
      {R"({"\u0061":"\uD83D\uDE00"})", JsonStatus::kObject, "a='\xF0\x9F\x98\x80';"},
      {R"({"a":"\uD83D"})", JsonStatus::kObject, "a='\xEF\xBF\xBD';"},
      {R"({"a":"\uDE00\uD83D"})", JsonStatus::kObject, "a='\xEF\xBF\xBD\xEF\xBF\xBD';"},
      {R"({"a":"\uD83D\uD83D\uDE00"})", JsonStatus::kObject, "a='\xEF\xBF\xBD\xF0\x9F\x98\x80';"},
      {R"({"a":"\uD83Dx"})", JsonStatus::kObject, "a='\xEF\xBF\xBDx';"},
      {"{\"a\":\"\xFFx\xC3\"}", JsonStatus::kObject, "a='\xEF\xBF\xBDx\xEF\xBF\xBD';"},
      {"{\"a\":\"\xE2\x82\"}", JsonStatus::kObject, "a='\xEF\xBF\xBD\xEF\xBF\xBD';"},
      {"{\"a\":\"\xC3\xA9\"}", JsonStatus::kObject, "a='\xC3\xA9';"},
      {"null", JsonStatus::kNull, ""},
      {"[{\"a\":1}]", JsonStatus::kOther, ""},
      {"1", JsonStatus::kOther, ""},
      {R"({"a":1,)", JsonStatus::kInvalid, "a=1;"},
      {R"({"a":1,})", JsonStatus::kInvalid, "a=1;"},
      {R"({"a" 1})", JsonStatus::kInvalid, ""},
      {R"({a:1})", JsonStatus::kInvalid, ""},
      {"{\"a\":\"\n\"}", JsonStatus::kInvalid, ""},
      {R"({"a":01})", JsonStatus::kInvalid, "a=0;"},
      {R"({"a":tru})", JsonStatus::kInvalid, ""},
      {"", JsonStatus::kInvalid, ""},
      {"\xEF\xBB\xBF{}", JsonStatus::kInvalid, ""},
  };
  for (const Case& c : cases) {
    Members members;
    EXPECT_EQ(ReadJsonObject(c.text, &members), c.status) << Escaped(c.text);
    EXPECT_EQ(Escaped(members.text), Escaped(c.members)) << Escaped(c.text);
  }
}

TEST(JsonReader, NestingIsBounded) {
  for (const std::string_view pair : {"[]", "{}"}) {
    for (const int depth : {10, kJsonDepthMax - 1, kJsonDepthMax + 2, 1'000'000}) {
      std::string text;
      for (int i = 0; i < depth; ++i) text += pair == "[]" ? "[" : R"({"a":)";
      text += "1";
      for (int i = 0; i < depth; ++i) text += pair[1];
      EXPECT_EQ(ReadJsonObject(text, nullptr) != JsonStatus::kInvalid, depth < kJsonDepthMax) << pair << depth;
    }
  }
}

}  // namespace
}  // namespace millrace
