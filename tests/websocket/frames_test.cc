// SPDX-License-Identifier: Apache-2.0
// Frames: what a client may send, in any split; the texts of what it may not; what the server sends.
#include "broker/websocket/frames.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

// A frame as a client sends it.
std::string ClientFrame(uint8_t first_byte, std::string_view payload, bool masked = true,
                        const std::array<uint8_t, 4>& mask = {0x37, 0xfa, 0x21, 0x3d}) {
  std::array<char, 10> head;
  const size_t size = WriteFrameHead({.payload_bytes = payload.size()}, &head);
  std::string frame(head.data(), size);
  frame[0] = static_cast<char>(first_byte);
  if (!masked) return frame.append(payload);
  frame[1] = static_cast<char>(frame[1] | 0x80);
  for (const uint8_t byte : mask) frame += static_cast<char>(byte);
  for (size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ static_cast<char>(mask[i & 3]));
  return frame;
}

// All that a parser says, pieces of one message put together: "data [compressed] bytes", "control opcode bytes".
std::vector<std::string> Read(FrameParser* parser, const std::vector<std::string_view>& pieces) {
  std::vector<std::string> events;
  std::string message;
  for (std::string_view in : pieces) {
    for (;;) {
      const FrameParser::Status status = parser->Next(&in);
      if (status == FrameParser::Status::kNeedMore) {
        EXPECT_TRUE(in.empty());
        break;
      }
      if (status == FrameParser::Status::kError) {
        events.push_back("error " + parser->error());
        return events;
      }
      if (status == FrameParser::Status::kControl) {
        events.push_back("control " + std::to_string(static_cast<int>(parser->opcode())) + " " +
                         std::string(parser->control()));
        continue;
      }
      const size_t before = message.size();
      parser->AppendData(&message);
      EXPECT_EQ(message.size() - before, parser->data_bytes());
      if (!parser->message_ends()) continue;
      events.push_back((parser->compressed() ? "compressed " : "data ") + message);
      message.clear();
    }
  }
  return events;
}

std::vector<std::string> ReadWhole(std::string_view bytes, FrameParser::Rules rules = {}) {
  FrameParser parser(rules);
  return Read(&parser, {bytes});
}

using Events = std::vector<std::string>;

TEST(FrameParser, ReadsMessagesInOneFrameOrInSeveral) {
  EXPECT_EQ(ReadWhole(ClientFrame(0x82, "PING\r\n")), Events{"data PING\r\n"});
  EXPECT_EQ(ReadWhole(ClientFrame(0x02, "PI") + ClientFrame(0x00, "N") + ClientFrame(0x80, "G\r\n")),
            Events{"data PING\r\n"});
  EXPECT_EQ(ReadWhole(ClientFrame(0x82, "")), Events{"data "});
  EXPECT_EQ(ReadWhole(ClientFrame(0x82, "PING\r\n", false), {.masked = false}), Events{"data PING\r\n"});
}

TEST(FrameParser, TakesControlFramesBetweenFragments) {
  EXPECT_EQ(ReadWhole(ClientFrame(0x02, "PI") + ClientFrame(0x89, "beat") + ClientFrame(0x8a, "") +
                      ClientFrame(0x80, "NG\r\n")),
            (Events{"control 9 beat", "control 10 ", "data PING\r\n"}));
}

TEST(FrameParser, KnowsACompressedMessageByItsFirstFrame) {
  EXPECT_EQ(ReadWhole(ClientFrame(0x42, "a") + ClientFrame(0x89, "") + ClientFrame(0x80, "b") + ClientFrame(0x82, "c"),
                      {.compression = true}),
            (Events{"control 9 ", "compressed ab", "data c"}));
}

TEST(FrameParser, ReadsLengthsOfAnyWidth) {
  for (const size_t size : {125, 126, 127, 65535, 65536, 70000}) {
    const std::string payload(size, 'x');
    EXPECT_EQ(ReadWhole(ClientFrame(0x82, payload)), Events{"data " + payload}) << size;
  }
}

TEST(FrameParser, RefusesWithThePeersTexts) {
  const struct {
    std::string bytes, error;
    FrameParser::Rules rules = {};
  } cases[] = {
      {"\xa2", "RSV2 and RSV3 must be clear"},
      {"\x92", "RSV2 and RSV3 must be clear"},
      {"\xc2", "compressed frame received without negotiated permessage-deflate"},
      {"\x82\x01", "mask bit missing"},
      {"\x89\xfe", "control frame length bigger than maximum allowed of 125 bytes"},
      {"\x09\x80", "control frame does not have final bit set"},
      {"\xc9\x80", "control frame must not be compressed", {.compression = true}},
      {ClientFrame(0x02, "a") + "\x82\x80", "new message started before final frame for previous message was received"},
      {"\x80\x80", "invalid continuation frame"},
      {ClientFrame(0x42, "a") + "\xc0\x80", "invalid continuation frame", {.compression = true}},
      {"\x83\x80", "unknown opcode 3"},
      {"\x8b\x80", "unknown opcode 11"},
      {"\x8f\x80", "unknown opcode 15"},
      {"\x82\xff\x80" + std::string(11, '\0'), "invalid 64-bit payload length"},
  };
  for (const auto& test : cases) {
    FrameParser parser(test.rules);
    EXPECT_EQ(Read(&parser, {test.bytes}), Events{"error " + test.error}) << Escaped(test.bytes);
    std::string_view more = "more";
    EXPECT_EQ(parser.Next(&more), FrameParser::Status::kError) << "an error is final";
  }
}

TEST(FrameParser, ReadsEverySplitOfAShortStream) {
  const std::string stream = ClientFrame(0x02, "PUB a 2") + ClientFrame(0x89, "beat") + ClientFrame(0x00, "") +
                             ClientFrame(0x80, "\r\nhi\r\n") + ClientFrame(0x88, "\x03\xe8");
  const Events expected = {"control 9 beat", "data PUB a 2\r\nhi\r\n", "control 8 \x03\xe8"};
  const std::string_view all = stream;
  for (size_t first = 0; first <= all.size(); ++first) {
    for (size_t second = first; second <= all.size(); ++second) {
      FrameParser parser({});
      EXPECT_EQ(Read(&parser, {all.substr(0, first), all.substr(first, second - first), all.substr(second)}), expected)
          << first << " " << second;
    }
  }
}

// The twin writes frames of what it has drawn and knows what has to come out.
TEST(FrameParser, ReadsRandomFragments) {
  SeededRandom random(20261201);
  for (size_t round = Rounds(100'000); round > 0; --round) {
    const FrameParser::Rules rules = {.compression = random.OneIn(2), .masked = !random.OneIn(8)};
    std::string stream;
    Events expected;
    for (uint64_t messages = 1 + random.Below(3); messages > 0; --messages) {
      const bool compressed = rules.compression && random.OneIn(2);
      std::string message;
      const uint64_t fragments = 1 + random.Below(4);
      for (uint64_t i = 0; i < fragments; ++i) {
        std::string payload(random.OneIn(16) ? random.Below(400) : random.Below(20), '\0');
        for (char& byte : payload) byte = static_cast<char>(random.Next());
        std::array<uint8_t, 4> mask;
        for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random.Next());
        const uint8_t first_byte = static_cast<uint8_t>((i == 0 ? 2 - random.Below(2) : 0) |
                                                        (i + 1 == fragments ? 0x80 : 0) |
                                                        (i == 0 && compressed ? 0x40 : 0));
        stream += ClientFrame(first_byte, payload, rules.masked, mask);
        message += payload;
        if (i + 1 < fragments && random.OneIn(3)) {
          const std::string beat(random.Below(126), 'b');
          stream += ClientFrame(0x89, beat, rules.masked, mask);
          expected.push_back("control 9 " + beat);
        }
      }
      expected.push_back((compressed ? "compressed " : "data ") + message);
    }
    std::vector<std::string_view> pieces;
    for (std::string_view rest = stream; !rest.empty(); rest.remove_prefix(pieces.back().size()))
      pieces.push_back(rest.substr(0, 1 + random.Below(random.OneIn(2) ? 3 : 200)));
    FrameParser parser(rules);
    ASSERT_EQ(Read(&parser, pieces), expected) << Escaped(stream);
  }
}

// Bytes of no sense give the same in one piece and byte by byte.
TEST(FrameParser, SaysTheSameOfGarbageInAnySplit) {
  SeededRandom random(7);
  for (size_t round = Rounds(100'000); round > 0; --round) {
    std::string stream(1 + random.Below(24), '\0');
    for (char& byte : stream) byte = static_cast<char>(random.OneIn(2) ? random.Next() : 0x80 | random.Below(12));
    const FrameParser::Rules rules = {.compression = random.OneIn(2), .masked = random.OneIn(2)};
    std::vector<std::string_view> pieces;
    for (size_t i = 0; i < stream.size(); ++i) pieces.push_back(std::string_view(stream).substr(i, 1));
    FrameParser parser(rules);
    ASSERT_EQ(Read(&parser, pieces), ReadWhole(stream, rules)) << Escaped(stream);
  }
}

TEST(UnmaskBytes, IsXorByteByByte) {
  const std::array<uint8_t, 4> mask = {1, 0x80, 0xff, 0x3c};
  for (size_t at = 0; at < 4; ++at) {
    for (size_t size = 0; size < 40; ++size) {
      std::string bytes(size, 'm'), expected = bytes;
      for (size_t i = 0; i < size; ++i)
        expected[i] = static_cast<char>(expected[i] ^ static_cast<char>(mask[(at + i) & 3]));
      UnmaskBytes(mask, at, bytes.data(), bytes.size());
      EXPECT_EQ(bytes, expected) << at << " " << size;
    }
  }
}

TEST(FrameWriter, WritesHeads) {
  const auto head = [](const FrameHead& of) {
    std::array<char, 10> out;
    const size_t size = WriteFrameHead(of, &out);
    return std::string(out.data(), size);
  };
  EXPECT_EQ(head({.payload_bytes = 125}), "\x82\x7d");
  EXPECT_EQ(head({.payload_bytes = 126}), std::string("\x82\x7e\x00\x7e", 4));
  EXPECT_EQ(head({.payload_bytes = 65535}), "\x82\x7e\xff\xff");
  EXPECT_EQ(head({.payload_bytes = 65536}), std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
  EXPECT_EQ(head({.final = false, .compressed = true, .payload_bytes = 1}), "\x42\x01");
  EXPECT_EQ(head({.opcode = FrameOpcode::kContinuation, .payload_bytes = 1}), "\x80\x01");
  EXPECT_EQ(ControlFrame(FrameOpcode::kPong, "beat"), "\x8a\x04" "beat");
}

TEST(Close, PayloadsAreCutToFit) {
  EXPECT_EQ(ClosePayload(1000, "Client Closed"), "\x03\xe8" "Client Closed");
  EXPECT_EQ(ClosePayload(1002, std::string(123, 'x')).size(), 125u);
  EXPECT_EQ(ClosePayload(1002, std::string(124, 'x')), "\x03\xea" + std::string(120, 'x') + "...");
}

TEST(Close, IsAnsweredAsThePeerDoes) {
  EXPECT_EQ(AnswerClose("").payload, "");
  EXPECT_EQ(AnswerClose("").error, "");
  EXPECT_EQ(AnswerClose("\x03\xe8" "bye").payload, "\x03\xe8" "bye");
  EXPECT_EQ(AnswerClose("\x03\xe8" "bye").error, "");
  EXPECT_EQ(AnswerClose("\x03\xe8\xff").payload, "\x03\xef" "invalid utf8 body in close frame");
  EXPECT_EQ(AnswerClose("\x03\xe8" "gr\xc3\xbc\xc3\x9f").payload, "\x03\xe8" "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(AnswerClose("\x03\xe8" "ok\xff").payload, "\x03\xef" "invalid utf8 body in close frame");
  EXPECT_EQ(AnswerClose("\x03").error, "close frame payload cannot be 1 byte");
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535}) {
    const std::string text = "invalid close status code " + std::to_string(code);
    const CloseAnswer answer = AnswerClose(ClosePayload(static_cast<uint16_t>(code), ""));
    EXPECT_EQ(answer.error, text);
    EXPECT_EQ(answer.payload, ClosePayload(1002, text));
  }
  for (const int code : {1000, 1003, 1007, 1014, 3000, 4999})
    EXPECT_EQ(AnswerClose(ClosePayload(static_cast<uint16_t>(code), "")).error, "") << code;
}

TEST(Close, CodesAreThePeersTable) {
  EXPECT_EQ(CloseCodeOf(ClosedReason::kClientClosed), CloseCode::kNormal);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kAuthenticationTimeout), CloseCode::kPolicyViolation);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kMaxSubscriptionsExceeded), CloseCode::kPolicyViolation);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kTlsHandshakeError), CloseCode::kTlsHandshake);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kParseError), CloseCode::kProtocolError);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kMaxPayloadExceeded), CloseCode::kMessageTooBig);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kServerShutdown), CloseCode::kGoingAway);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kStaleConnection), CloseCode::kGoingAway);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kKicked), CloseCode::kInternalError);
  EXPECT_EQ(CloseCodeOf(ClosedReason::kNoRespondersRequiresHeaders), CloseCode::kInternalError);
}

}  // namespace
}  // namespace millrace
