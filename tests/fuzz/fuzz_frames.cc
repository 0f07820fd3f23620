// SPDX-License-Identifier: Apache-2.0
// Frames of a WebSocket client: no bytes break the parser, and what it says does not depend on the split. The first
// byte of the input draws the rules and the split.
#include "broker/websocket/frames.h"
#include "tests/fuzz/fuzz_driver.h"

namespace {

std::string Read(millrace::FrameParser::Rules rules, std::string_view bytes, size_t step) {
  using namespace millrace;
  FrameParser parser(rules);
  std::string said;
  while (!bytes.empty()) {
    std::string_view in = bytes.substr(0, step);
    bytes.remove_prefix(in.size());
    for (;;) {
      const FrameParser::Status status = parser.Next(&in);
      if (status == FrameParser::Status::kNeedMore) {
        FUZZ_REQUIRE(in.empty());
        break;
      }
      if (status == FrameParser::Status::kError) return said + "|" + parser.error();
      if (status == FrameParser::Status::kData) {
        parser.AppendData(&said);
        if (parser.message_ends()) said += parser.compressed() ? "|compressed|" : "|";
        continue;
      }
      const CloseAnswer answer = AnswerClose(parser.control());
      FUZZ_REQUIRE(answer.payload.size() <= kControlPayloadBytesMax);
      said += "|" + std::to_string(static_cast<int>(parser.opcode())) + answer.payload + "|";
    }
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const millrace::FrameParser::Rules rules = {.compression = (bytes[0] & 1) != 0, .masked = (bytes[0] & 2) != 0};
  FUZZ_REQUIRE(Read(rules, input, size) == Read(rules, input, 1 + (bytes[0] >> 2)));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {std::string("\x02\x82\x86\0\0\0\0PING\r\n", 13), std::string("\x01\x42\x02" "ab\x89\x01" "b\x80\x01" "c", 11),
          std::string("\x06\x88\x85\0\0\0\0\x03\xe8" "bye", 12)};
}
