// SPDX-License-Identifier: Apache-2.0
// Goal: an object's members are read as Go reads them. Method: tables. Go's error texts and the cursor are proved by
// tests/jetstream/parse_test.cc, CONNECT by tests/session/json_test.cc.
#include "broker/json/reader.h"

#include <gtest/gtest.h>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::string Printed(JsonMembers* members) {
  std::string text;
  while (members->Next()) {
    const JsonValue& value = members->value();
    int64_t number = 0;
    text += members->key() + "=";
    switch (value.kind) {
      case JsonKind::kString:
        text += "'" + value.string + "'";
        break;
      case JsonKind::kNumber:
        text += value.AsInteger(&number) ? std::to_string(number) : "(" + std::string(value.raw) + ")";
        break;
      default:
        text += value.raw;
    }
    text += ";";
  }
  EXPECT_FALSE(members->Next());
  return text;
}

TEST(JsonMembers, AreThoseOfTheTopObjectInOrderAndNoneOfAnInvalidText) {
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
      {R"({"a":1,)", JsonStatus::kInvalid, ""},
      {R"({"a":1,})", JsonStatus::kInvalid, ""},
      {R"({"a" 1})", JsonStatus::kInvalid, ""},
      {R"({a:1})", JsonStatus::kInvalid, ""},
      {"{\"a\":\"\n\"}", JsonStatus::kInvalid, ""},
      {R"({"a":01})", JsonStatus::kInvalid, ""},
      {R"({"a":tru})", JsonStatus::kInvalid, ""},
      {"", JsonStatus::kInvalid, ""},
      {"\xEF\xBB\xBF{}", JsonStatus::kInvalid, ""},
  };
  for (const Case& c : cases) {
    JsonMembers members(c.text);
    EXPECT_EQ(members.status(), c.status) << Escaped(c.text);
    EXPECT_EQ(Escaped(Printed(&members)), Escaped(c.members)) << Escaped(c.text);
  }
}

TEST(JsonMembers, NestingIsBoundedAsInGo) {
  constexpr int kDepthMax = 10'000;
  for (const std::string_view pair : {"[]", "{}"}) {
    for (const int depth : {10, kDepthMax, kDepthMax + 1, 1'000'000}) {
      std::string text;
      for (int i = 0; i < depth; ++i) text += pair == "[]" ? "[" : R"({"a":)";
      text += "1";
      for (int i = 0; i < depth; ++i) text += pair[1];
      EXPECT_EQ(JsonMembers(text).status() != JsonStatus::kInvalid, depth <= kDepthMax) << pair << depth;
    }
  }
}

}  // namespace
}  // namespace millrace
