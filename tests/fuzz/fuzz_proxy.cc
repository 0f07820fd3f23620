// SPDX-License-Identifier: Apache-2.0
// What a proxy says in front of a connection: no bytes break the parser, and byte by byte it says the same.
#include "broker/proxy/proxy_header.h"
#include "tests/fuzz/fuzz_driver.h"

namespace {

std::string Read(std::string_view bytes, size_t step) {
  using namespace millrace;
  ProxyHeaderParser parser;
  std::string_view in;
  ProxyHeaderParser::Status status = ProxyHeaderParser::Status::kNeedMore;
  while (status == ProxyHeaderParser::Status::kNeedMore && !bytes.empty()) {
    in = bytes.substr(0, step);
    bytes.remove_prefix(in.size());
    status = parser.Next(&in);
    FUZZ_REQUIRE(status != ProxyHeaderParser::Status::kNeedMore || in.empty());
  }
  const std::string source = parser.source() ? parser.source()->host + std::to_string(parser.source()->port) : "";
  const std::string rest = status == ProxyHeaderParser::Status::kError ? "" : std::string(in) + std::string(bytes);
  return std::to_string(static_cast<int>(status)) + "|" + parser.error() + "|" + source + "|" + rest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (!input.empty()) FUZZ_REQUIRE(Read(input, 1) == Read(input, input.size()));
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {"PROXY TCP4 192.0.2.1 198.51.100.1 55555 4222\r\nPING\r\n", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
          "PROXY UNKNOWN\r\n",
          std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xd9\3\x10\x7e", 28),
          std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\2xxPING\r\n", 24)};
}
