// SPDX-License-Identifier: Apache-2.0
// Compressed messages of a WebSocket client: no bytes break the inflater or pass the bound, and none leave anything
// behind for the next message.
#include "broker/websocket/deflate.h"
#include "tests/fuzz/fuzz_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  static Inflater inflater;
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  std::string whole, cut, fresh_out;
  const InflateStatus status = inflater.Inflate(input, 100'000, &whole);
  FUZZ_REQUIRE(whole.size() <= 100'000);
  inflater.Inflate(input, whole.size() / 2, &cut);
  FUZZ_REQUIRE(cut == std::string_view(whole).substr(0, whole.size() / 2));
  Inflater fresh;
  FUZZ_REQUIRE(fresh.Inflate(input, 100'000, &fresh_out) == status && fresh_out == whole);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {std::string("\xf2\x48\xcd\xc9\xc9\x07\x00", 7),
          std::string("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11),
          std::string("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8)};
}
