// SPDX-License-Identifier: Apache-2.0
// Goal: CONNECT's JSON is read as Go reads it: what is refused, what odd strings become, which of two keys counts.
// Method: 2,000 texts with what Go's decoder made of them (peer_json.go wrote peer_json.txt);
//         cuts of the same texts must never be read past their end. The reader itself: tests/json/reader_test.cc.
#include "broker/session/connect_options.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

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

std::string Joined(std::initializer_list<std::string_view> parts) {
  std::string all;
  for (const std::string_view part : parts) all += part;
  return all;
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
  EXPECT_EQ(Joined({c.nkey, c.jwt.view(), c.sig.view(), c.auth_token.view(), c.user, c.pass.view(), c.account, o.name,
                    o.lang, o.version}),
            "abcdefghij");
}

TEST(ParseConnect, KeysFoldAsInGo) {
  ConnectOptions o;
  // Long s and the Kelvin sign are the letters s and k to it.
  ASSERT_TRUE(ParseConnect("{\"u\u017fer\":\"a\",\"PAS\u017f\":\"b\",\"n\u212aey\":\"c\",\"VERBO\u017fE\":false}", &o));
  EXPECT_EQ(Joined({o.credentials().user, o.credentials().pass.view(), o.credentials().nkey}), "abc");
  EXPECT_FALSE(o.verbose);
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

}  // namespace
}  // namespace millrace
