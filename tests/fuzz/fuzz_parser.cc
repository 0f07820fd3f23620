// SPDX-License-Identifier: Apache-2.0
// Any bytes, cut anywhere: the parser agrees with itself and with its naive twin. The last byte picks limits and cuts.
#include "tests/fuzz/fuzz_driver.h"
#include "tests/proto/parser_feed.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(bytes), size - 1);
  const uint8_t knobs = bytes[size - 1];
  ParserLimits limits;
  if ((knobs & 1) != 0) limits.control_line_bytes_max = 32;
  if ((knobs & 2) != 0) limits.payload_bytes_max = 40;
  limits.headers = (knobs & 4) == 0;
  limits.connect_first = (knobs & 24) == 24;
  SeededRandom random(knobs);
  const FeedResult whole = FeedParser(stream, limits, [](size_t) { return size_t{1} << 30; });
  const FeedResult pieces = FeedParser(stream, limits, [&](size_t) {
    return 1 + random.Below(random.OneIn(3) ? 200 : 8);
  });
  const FeedResult naive = FeedNaive(stream, limits);
  FUZZ_REQUIRE(Difference(whole, naive).empty());
  FUZZ_REQUIRE(Difference(whole, pieces).empty());
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> seeds = {
      std::string("CONNECT {\"verbose\":true}\r\nPING\r\nSUB foo.* q 1\r\nPUB foo.a reply.b 5\r\nhello\r\n\0", 68),
      "HPUB foo.c _INBOX.abcdefghijklmnopqrstuv.1 22 24\r\nNATS/1.0\r\nKey: val\r\n\r\nhi\r\nUNSUB 1 5\r\nx",
      "+OK\r\n-ERR 'x'\r\nINFO {}\r\nPONG\r\npub\ta\t 0\n\r\nUNSUB 22\n@",
      "PUB " + std::string(70, 's') + " " + std::string(70, 'r') + " 3\r\nabc\r\n\x01",
      "CONNECT {}\r\n\x18"};
  millrace::SeededRandom random(99);
  for (int i = 0; i < 30; ++i) {
    std::string stream;
    for (int k = 0; k < 5; ++k) stream += millrace::RandomCommand(&random);
    seeds.push_back(stream + static_cast<char>(random.Next()));
  }
  return seeds;
}
