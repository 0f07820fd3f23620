// SPDX-License-Identifier: Apache-2.0
// Any bytes as JSON: reading stays inside, only a valid text has members, and strings that were read are written so
// that they read back.
#include <utility>

#include "broker/json/reader.h"
#include "broker/json/writer.h"
#include "tests/fuzz/fuzz_driver.h"

namespace millrace {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

Members ReadStrings(std::string_view text) {
  Members read;
  JsonMembers members(text);
  while (members.Next()) {
    const JsonValue& value = members.value();
    FUZZ_REQUIRE(!value.raw.empty());
    FUZZ_REQUIRE(value.raw.data() >= text.data());
    FUZZ_REQUIRE(value.raw.data() + value.raw.size() <= text.data() + text.size());
    const bool is_string = value.kind == JsonKind::kString;
    FUZZ_REQUIRE(is_string == (value.raw.front() == '"'));
    FUZZ_REQUIRE(is_string || value.string.empty());
    if (is_string) read.emplace_back(members.key(), value.string);
  }
  return read;
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (size_t at = 0; at < size;) {  // a stream of values
    const JsonScan scan = ScanJson(text, at);
    if (scan.kind == JsonScan::Kind::kBlank) break;
    FUZZ_REQUIRE(scan.begin >= at && scan.end > scan.begin && scan.end <= size);
    FUZZ_REQUIRE((scan.kind == JsonScan::Kind::kSyntaxError) == !scan.error.empty());
    at = scan.end;
  }
  const JsonScan scan = ScanJson(text, 0);
  const JsonStatus status = JsonMembers(text).status();
  const bool whole = scan.kind == JsonScan::Kind::kValue && CheckNothingFollows(text, scan.end).empty();
  FUZZ_REQUIRE(whole == (status != JsonStatus::kInvalid));
  const Members members = ReadStrings(text);
  FUZZ_REQUIRE(members.empty() || status == JsonStatus::kObject);
  JsonWriter json(size % 2 == 0 ? JsonLayout::kCompact : JsonLayout::kIndent2);
  json.BeginObject();
  for (const auto& [key, value] : members) json.Put(key, value);
  json.EndObject();
  FUZZ_REQUIRE(JsonMembers(json.text()).status() == JsonStatus::kObject);
  FUZZ_REQUIRE(ReadStrings(json.text()) == members);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {R"({"verbose":false,"pedantic":false,"user":"a","protocol":1,"name":"\u00e9\ud83d\ude00\ud83d"})",
          R"({"a":{"b":[1,-2.5e+3,null]},"c":[{}],"d":"<&>\"\\\/\b\f\n\r\t"})", "null", " [true, false] {} \"x\" 0",
          "{\"a\":\"\xff\xc3\xa9\xe2\x82\"}"};
}
