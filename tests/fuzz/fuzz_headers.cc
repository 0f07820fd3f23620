// SPDX-License-Identifier: Apache-2.0
// Any bytes as a header block: reading stays inside, and edits do what they say to blocks that are well formed.
#include "proto/headers.h"

#include "tests/fuzz/fuzz_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  const std::string_view block(reinterpret_cast<const char*>(bytes), size);
  const bool well_formed = IsWellFormedHeader(block);
  const auto status = FindHeaderStatus(block);
  if (status) FUZZ_REQUIRE(status->code >= 0 && status->code <= 999'999'999);
  std::string rebuilt(block.substr(0, HeaderVersionBytes(block)));
  bool values_are_plain = true;
  size_t count = 0;
  std::string key;
  ForEachHeader(block, [&](const HeaderField& field) {
    FUZZ_REQUIRE(field.key.data() >= block.data());
    FUZZ_REQUIRE(field.value.data() + field.value.size() <= block.data() + block.size());
    if (++count == 1) {
      key = field.key;
      if (well_formed) FUZZ_REQUIRE(FindHeader(block, key) == field.value);
    }
    values_are_plain = values_are_plain && field.value.find_first_of("\r\n") == std::string_view::npos;
  });
  if (!well_formed) {
    std::string edited(block);
    SetHeader(&edited, "Key", "1");
    RemoveHeader(&edited, "Key");
    RemoveHeadersWithPrefix(&edited, "K");
    RemoveHeaderStatus(&edited);
    return 0;
  }
  FUZZ_REQUIRE(values_are_plain);
  std::string edited(block);
  AddHeader(&edited, "Added", "x\ny");
  FUZZ_REQUIRE(IsWellFormedHeader(edited));
  SetHeader(&edited, "Added", "z");
  FUZZ_REQUIRE(FindHeader(edited, "Added") == "z");
  FUZZ_REQUIRE(IsWellFormedHeader(edited));
  if (count > 0) {
    RemoveHeader(&edited, key);
    FUZZ_REQUIRE(!FindHeader(edited, key));
    FUZZ_REQUIRE(edited.empty() || IsWellFormedHeader(edited));
  }
  RemoveHeaderStatus(&edited);
  FUZZ_REQUIRE(!FindHeaderStatus(edited));
  RemoveHeadersWithPrefix(&edited, "");
  FUZZ_REQUIRE(edited.empty());
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {"NATS/1.0\r\n\r\n", "NATS/1.0 503 No Responders\r\nNats-Subject: a.b\r\n\r\n",
          "NATS/1.0\r\nNats-Msg-Id: 1\r\nKey: value\r\nKey: other\r\nEmpty:\r\n\r\n",
          "NATS/1.0\r\nA:1\r\nAA: 22\r\nAAA:  333\r\n\r\n"};
}
