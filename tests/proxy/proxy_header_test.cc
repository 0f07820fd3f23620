// SPDX-License-Identifier: Apache-2.0
// PROXY headers of both versions, in any split, and the peer's words for those that are none.
#include "broker/proxy/proxy_header.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

// What the parser makes of `bytes`, with what it left: "done HOST PORT|rest", "local|rest", "none HELD|rest",
// "error E", "more".
std::string Read(std::string_view bytes, size_t first_bytes) {
  ProxyHeaderParser parser;
  std::string_view in = bytes.substr(0, first_bytes), behind = bytes.substr(in.size());
  ProxyHeaderParser::Status status = parser.Next(&in);
  while (status == ProxyHeaderParser::Status::kNeedMore && !behind.empty()) {
    EXPECT_TRUE(in.empty());
    in = behind.substr(0, first_bytes == 0 ? 1 : first_bytes);
    behind.remove_prefix(in.size());
    status = parser.Next(&in);
  }
  const std::string rest = "|" + std::string(in) + std::string(behind);
  switch (status) {
    case ProxyHeaderParser::Status::kNeedMore:
      return "more";
    case ProxyHeaderParser::Status::kNone:
      return "none " + std::string(parser.held()) + rest;
    case ProxyHeaderParser::Status::kError:
      return "error " + parser.error();
    case ProxyHeaderParser::Status::kDone:
      break;
  }
  if (!parser.source()) return "local" + rest;
  return "done " + parser.source()->host + " " + std::to_string(parser.source()->port) + rest;
}

std::string Read(std::string_view bytes) { return Read(bytes, bytes.size()); }

std::string Binary(uint8_t version_command, uint8_t family, std::string_view body, int length = -1) {
  std::string header("\r\n\r\n\0\r\nQUIT\n", 12);
  const size_t size = length < 0 ? body.size() : static_cast<size_t>(length);
  for (const size_t byte : {size_t{version_command}, size_t{family}, size >> 8, size & 0xff})
    header += static_cast<char>(byte);
  return header.append(body);
}

const std::string kInet = std::string("\xc0\x00\x02\x01\xc6\x33\x64\x01\xd9\x03\x10\x7e", 12);
const std::string kInet6 = std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16) + std::string(16, '\1') +
                           std::string("\x00\x50\x10\x7e", 4);

TEST(ProxyHeader, ReadsLines) {
  EXPECT_EQ(Read("PROXY TCP4 192.0.2.1 198.51.100.1 55555 4222\r\nPING\r\n"), "done 192.0.2.1 55555|PING\r\n");
  EXPECT_EQ(Read("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "done 2001:db8::1 1|");
  EXPECT_EQ(Read("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "done 192.0.2.1 1|");
  EXPECT_EQ(Read("PROXY UNKNOWN\r\nPING\r\n"), "local|PING\r\n");
  EXPECT_EQ(Read("PROXY UNKNOWN whatever it says\r\n"), "local|");
  EXPECT_EQ(Read("PROXY  TCP4\t1.2.3.4  5.6.7.8 1 2 \r\n"), "done 1.2.3.4 1|");
}

TEST(ProxyHeader, ReadsBinaryHeaders) {
  EXPECT_EQ(Read(Binary(0x21, 0x11, kInet) + "PING\r\n"), "done 192.0.2.1 55555|PING\r\n");
  EXPECT_EQ(Read(Binary(0x21, 0x21, kInet6) + "PING\r\n"), "done 2001:db8::1 80|PING\r\n");
  EXPECT_EQ(Read(Binary(0x21, 0x11, kInet + std::string(5000, 'x')) + "PING\r\n"), "done 192.0.2.1 55555|PING\r\n");
  EXPECT_EQ(Read(Binary(0x20, 0x00, "") + "PING\r\n"), "local|PING\r\n");
  EXPECT_EQ(Read(Binary(0x20, 0x11, std::string(65535, 'x')) + "PING\r\n"), "local|PING\r\n");
  EXPECT_EQ(Read(Binary(0x21, 0x01, "skipped") + "PING\r\n"), "local|PING\r\n");
  EXPECT_EQ(Read(Binary(0x21, 0x11, kInet.substr(0, 11), 12)), "more");
}

TEST(ProxyHeader, LeavesClientsWithoutOne) {
  EXPECT_EQ(Read("PING\r\nPING\r\n"), "none PING\r\n|PING\r\n");
  EXPECT_EQ(Read("CONNECT {}\r\n"), "none CONNEC|T {}\r\n");
  EXPECT_EQ(Read("PROXY"), "more");
  EXPECT_EQ(Read("PING"), "more");
}

TEST(ProxyHeader, RefusesWithThePeersTexts) {
  const std::string invalid = "error invalid PROXY protocol header: ";
  const std::string unsupported = "error unsupported PROXY protocol feature: ";
  EXPECT_EQ(Read("PROXY \r\n"), invalid + "invalid v1 format");
  EXPECT_EQ(Read("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"), invalid + "invalid v1 format");
  EXPECT_EQ(Read("PROXY TCP4 1.2.3.400 5.6.7.8 1 2\r\n"), invalid + "invalid address");
  EXPECT_EQ(Read("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n"), invalid + "invalid address");
  EXPECT_EQ(Read(std::string_view("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n", 34)), invalid + "invalid address");
  EXPECT_EQ(Read("PROXY TCP4 1.2.3.4 5.6.7.8 x 2\r\n"),
            "error invalid source port: strconv.ParseUint: parsing \"x\": invalid syntax");
  EXPECT_EQ(Read("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"),
            "error invalid dest port: strconv.ParseUint: parsing \"65536\": value out of range");
  EXPECT_EQ(Read("PROXY TCP4 1.2.3.4 5.6.7.8 \x01 2\r\n"),
            "error invalid source port: strconv.ParseUint: parsing \"\\x01\": invalid syntax");
  EXPECT_EQ(Read("PROXY TCP4 ::1 ::2 1 2\r\n"), invalid + "TCP4 with IPv6 address");
  EXPECT_EQ(Read("PROXY TCP6 1.2.3.4 ::2 1 2\r\n"), invalid + "TCP6 with IPv4 address");
  EXPECT_EQ(Read("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"), invalid + "invalid protocol UDP4");
  EXPECT_EQ(Read("PROXY " + std::string(101, 'x')), invalid + "v1 line too long");
  EXPECT_EQ(Read("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n"), "local|");
  EXPECT_EQ(Read("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n"), invalid + "v1 line too long");
  EXPECT_EQ(Read(std::string_view("\r\n\r\n\0\r\nQUIX\n", 12)), invalid + "invalid signature");
  EXPECT_EQ(Read(Binary(0x11, 0x11, kInet)), invalid + "invalid version 0x10");
  EXPECT_EQ(Read(Binary(0x22, 0x11, kInet)), "error unknown PROXY protocol command: 0x02");
  EXPECT_EQ(Read(Binary(0x21, 0x12, kInet)), unsupported + "only STREAM protocol supported");
  EXPECT_EQ(Read(Binary(0x21, 0x31, kInet)), unsupported + "unsupported address family 0x30");
  EXPECT_EQ(Read(Binary(0x21, 0x11, "", 11)), "error IPv4 address data too short: 11 bytes");
  EXPECT_EQ(Read(Binary(0x21, 0x21, "", 35)), "error IPv6 address data too short: 35 bytes");
}

TEST(ProxyHeader, SaysTheSameInEverySplit) {
  for (const std::string& stream :
       {std::string("PROXY TCP4 192.0.2.1 198.51.100.1 55555 4222\r\nPING\r\n"),
        std::string("PROXY UNKNOWN\r\nPING\r\n"),
        std::string("PING\r\nPING\r\n"), Binary(0x21, 0x11, kInet + "extension") + "PING\r\n",
        Binary(0x21, 0x21, kInet6) + "PING\r\n", Binary(0x20, 0x00, "local") + "PING\r\n"}) {
    for (size_t first = 0; first <= stream.size(); ++first)
      EXPECT_EQ(Read(stream, first), Read(stream)) << Escaped(stream) << first;
  }
}

TEST(ProxyHeader, SaysTheSameOfGarbageInAnySplit) {
  SeededRandom random(41);
  const std::vector<std::string> seeds = {"PROXY TCP4 192.0.2.1 198.51.100.1 55555 4222\r\nPING\r\n",
                                          Binary(0x21, 0x11, kInet + "extension") + "PING\r\n",
                                          Binary(0x21, 0x21, kInet6) + "PING\r\n"};
  for (size_t round = Rounds(100'000); round > 0; --round) {
    std::string stream = seeds[random.Below(seeds.size())];
    for (uint64_t changes = random.Below(4); changes > 0; --changes)
      stream[random.Below(stream.size())] = static_cast<char>(random.Next());
    ASSERT_EQ(Read(stream, 1 + random.Below(20)), Read(stream)) << Escaped(stream);
  }
}

TEST(AddressText, IsAsGoPrintsIt) {
  EXPECT_EQ(AddressText(std::string(16, '\0')), "::");
  EXPECT_EQ(AddressText(std::string(15, '\0') + '\1'), "::1");
  EXPECT_EQ(AddressText(std::string("\0\1\0\0\0\2\0\0\0\0\0\3\0\0\0\0", 16)), "1:0:2::3:0:0");
  EXPECT_EQ(AddressText(std::string("\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0", 16)), "1::2:0:0:0");
  EXPECT_EQ(AddressText(std::string("\0\1\0\0\0\1\0\1\0\1\0\1\0\1\0\1", 16)), "1:0:1:1:1:1:1:1");
  EXPECT_EQ(AddressText(std::string("\0\1\0\1\0\1\0\1\0\1\0\1\0\0\0\0", 16)), "1:1:1:1:1:1::");
  EXPECT_EQ(AddressText(std::string("\0\0\0\0\0\0\0\0\0\0\0\0\1\2\3\4", 16)), "::102:304");
}

}  // namespace
}  // namespace millrace
