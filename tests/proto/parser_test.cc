// SPDX-License-Identifier: Apache-2.0
// Goal: the parser takes and refuses what nats-server 2.15.2 does, at the same byte, however the stream is cut.
// Method: a table of lines that peer_lines.py checks against the real server; every cut of every sample; a naive twin
// beside it over a million random commands.
#include "proto/parser.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/proto/parser_feed.h"

namespace millrace {
namespace {

constexpr size_t kWhole = SIZE_MAX / 2;

FeedResult FeedWhole(std::string_view stream, const ParserLimits& limits = {}) {
  return FeedParser(stream, limits, [](size_t) { return kWhole; });
}

std::string Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{' && i + 1 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '9') {
      const size_t star = text.find('*', i);
      out.append(std::stoul(std::string(text.substr(i + 1, star - i - 1))), text[star + 1]);
      i = star + 2;
    } else if (text[i] == '\\') {
      ++i;
      if (text[i] == 'x') {
        out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
        i += 2;
      } else {
        out.push_back(text[i] == 'r' ? '\r' : text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : '\\');
      }
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

struct Line {
  std::string expectation;
  size_t place = 0;
  std::string bytes;
};

std::vector<Line> ReadLines() {
  std::ifstream file(MR_TEST_SOURCE_DIR "/lines.txt");
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text[0] == '#') continue;
    const size_t a = text.find(' ');
    const size_t b = text.find(' ', a + 1);
    Line line;
    line.expectation = text.substr(0, a);
    line.place = std::stoul(text.substr(a + 1, b - a - 1));
    std::string rest = text.substr(b + 1);
    if (line.expectation.back() == '!') {
      line.expectation.pop_back();
      rest.resize(rest.rfind('|'));
    }
    line.bytes = Unescaped(rest);
    lines.push_back(line);
  }
  return lines;
}

std::string Outcome(ProtocolError error) {
  switch (error) {
    case ProtocolError::kNone:
      return "open";
    case ProtocolError::kUnknownOperation:
      return "unknown";
    case ProtocolError::kControlLineTooLong:
      return "line";
    case ProtocolError::kPayloadTooLarge:
      return "payload";
    default:
      return ErrorText(error).empty() ? "silent" : "other";
  }
}

TEST(ParserTest, EveryLineOfTheTableComesOutAsThePeerHasIt) {
  const std::vector<Line> lines = ReadLines();
  ASSERT_GT(lines.size(), 80u);
  for (const Line& line : lines) {
    SCOPED_TRACE(Escaped(line.bytes).substr(0, 100));
    const FeedResult result = FeedWhole(line.bytes);
    EXPECT_EQ(result.breach, "");
    EXPECT_EQ(Outcome(result.error), line.expectation);
    if (line.expectation == "open") {
      EXPECT_EQ(result.commands.size(), line.place);
    } else if (line.expectation != "line") {
      EXPECT_EQ(result.error_at, line.place);
    }
    EXPECT_EQ(Difference(result, FeedNaive(line.bytes, {})), "");
  }
}

TEST(ParserTest, ByteByByteTheErrorComesWithTheByteThatCausesIt) {
  for (const Line& line : ReadLines()) {
    if (line.bytes.size() > 20000) continue;
    SCOPED_TRACE(Escaped(line.bytes).substr(0, 100));
    const FeedResult result = FeedParser(line.bytes, {}, [](size_t) { return 1; });
    EXPECT_EQ(Difference(result, FeedWhole(line.bytes)), "");
    if (result.error != ProtocolError::kNone) {
      EXPECT_EQ(result.bytes_given, result.error_at + 1);
    }
  }
}

TEST(ParserTest, SplitAtEveryByteGivesTheSameCommands) {
  std::string stream =
      "CONNECT {\"verbose\":false}\r\nPING\r\nSUB foo.* 1\r\nSUB bar workers 22\r\nPUB foo.a 5\r\nhello\r\n"
      "pub\tfoo.b  _INBOX.abcdefghijklmnopqrstuv.12345678 11\nhello world\r\nUNSUB 1 5\r\nUNSUB 22\n"
      "HPUB foo.c 22 24\r\nNATS/1.0\r\nKey: val\r\n\r\nhi\r\nHPUB foo.d reply.e 12 12\r\nNATS/1.0\r\n\r\n\r\n"
      "PUB empty 0\r\n\r\n+OK\r\nPONG\r\n-ERR 'x'\r\nPUB " + std::string(100, 's') + " " +
      std::string(90, 'r') + " 3\r\nabc\r\nINFO {}\r\n";
  const FeedResult whole = FeedWhole(stream);
  ASSERT_EQ(whole.error, ProtocolError::kNone);
  ASSERT_EQ(whole.commands.size(), 16u);
  for (size_t first = 1; first < stream.size(); ++first) {
    const FeedResult two = FeedParser(stream, {}, [&](size_t i) { return i == 0 ? first : kWhole; });
    ASSERT_EQ(Difference(whole, two), "") << "cut at " << first;
  }
  for (size_t step = 1; step < 80; ++step) {
    const FeedResult even = FeedParser(stream, {}, [&](size_t) { return step; });
    ASSERT_EQ(Difference(whole, even), "") << "pieces of " << step;
  }
  for (size_t first = 1; first < stream.size(); first += 3) {
    for (size_t second = 1; first + second < stream.size(); second += 5) {
      const FeedResult three = FeedParser(
          stream, {}, [&](size_t i) { return i == 0 ? first : i == 1 ? second : kWhole; });
      ASSERT_EQ(Difference(whole, three), "") << "cuts " << first << " and " << second;
    }
  }
}

TEST(ParserTest, FieldsAreViewsIntoTheInput) {
  const std::string input = "HPUB a.b re.ply 12 17\r\nNATS/1.0\r\n\r\nhello\r\nPING\r\n";
  Parser parser;
  Command command;
  ASSERT_EQ(parser.Next(input, &command), Parser::Status::kCommand);
  EXPECT_EQ(command.verb, Verb::kHpub);
  EXPECT_EQ(command.args, "a.b re.ply 12 17");
  EXPECT_EQ(command.subject, "a.b");
  EXPECT_EQ(command.reply, "re.ply");
  EXPECT_EQ(command.header_bytes, 12u);
  EXPECT_EQ(command.payload, "NATS/1.0\r\n\r\nhello");
  EXPECT_EQ(command.payload.data(), input.data() + 23);
  EXPECT_EQ(parser.consumed(), input.size() - 6);
}

TEST(ParserTest, ReplyIsEmptyAfterAPubWithoutOne) {
  Parser parser;
  Command command;
  ASSERT_EQ(parser.Next("PUB a r 1\r\nx\r\n", &command), Parser::Status::kCommand);
  ASSERT_EQ(parser.Next("PUB a 1\r\nx\r\n", &command), Parser::Status::kCommand);
  EXPECT_EQ(command.reply, "");
  EXPECT_EQ(command.header_bytes, 0u);
}

TEST(ParserTest, BytesNeededIsKnownOnceTheControlLineIsComplete) {
  const std::string head = "PUB foo 1000\r\n";
  Parser parser;
  Command command;
  ASSERT_EQ(parser.Next(head.substr(0, 13), &command), Parser::Status::kNeedMore);
  EXPECT_EQ(parser.bytes_needed(), 0u);
  ASSERT_EQ(parser.Next(head, &command), Parser::Status::kNeedMore);
  EXPECT_EQ(parser.bytes_needed(), head.size() + 1002);
}

TEST(ParserTest, HeadersThatWereNotAnnouncedCloseSilently) {
  ParserLimits limits;
  limits.headers = false;
  const FeedResult result = FeedWhole("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", limits);
  EXPECT_EQ(result.error, ProtocolError::kHeadersNotSupported);
  EXPECT_EQ(result.error_at, 15u);
  EXPECT_EQ(ErrorText(result.error), "");
}

TEST(ParserTest, WhileAuthenticationIsPendingAnyFirstByteButOfConnectIsAViolation) {
  ParserLimits limits;
  limits.connect_first = true;
  for (const std::string_view input : {"Z", "P", "PUB foo 2\r\nhi\r\n", "I", "\n"}) {
    const FeedResult result = FeedWhole(input, limits);
    EXPECT_EQ(result.error, ProtocolError::kAuthorizationViolation) << input;
    EXPECT_EQ(result.error_at, 0u);
  }
  EXPECT_EQ(FeedWhole("CX", limits).error, ProtocolError::kUnknownOperation);
  EXPECT_EQ(FeedWhole("connect {}\r\n", limits).commands.size(), 1u);
}

TEST(ParserTest, PayloadLimitsHoldAndCanBeLifted) {
  ParserLimits limits;
  limits.payload_bytes_max = 4;
  EXPECT_EQ(FeedWhole("PUB a 4\r\nabcd\r\n", limits).commands.size(), 1u);
  EXPECT_EQ(FeedWhole("PUB a 5\r\n", limits).error, ProtocolError::kPayloadTooLarge);
  limits.payload_bytes_max = 0;
  EXPECT_EQ(FeedWhole("PUB a 0\r\n\r\n", limits).commands.size(), 1u);
  EXPECT_EQ(FeedWhole("PUB a 1\r\n", limits).error, ProtocolError::kPayloadTooLarge);
  limits.payload_bytes_max = kPayloadUnlimited;
  EXPECT_EQ(FeedWhole("PUB a 999999999\r\n", limits).error, ProtocolError::kNone);
}

TEST(ParserTest, ALongLineInSinglesCostsLinearTime) {
  // Scanning again from the start at each byte would be 2 * 10^9 steps here; this stays instant.
  ParserLimits limits;
  limits.control_line_bytes_max = 65536;
  std::string line = "SUB ";
  line.append(60000, 'a');
  line.append(" 1\r\n");
  Parser parser(limits);
  Command command;
  for (size_t n = 1; n < line.size(); ++n) {
    ASSERT_EQ(parser.Next(std::string_view(line).substr(0, n), &command), Parser::Status::kNeedMore);
  }
  ASSERT_EQ(parser.Next(line, &command), Parser::Status::kCommand);
  EXPECT_EQ(command.sid, "1");
}

TEST(ParserTest, AMillionRandomCommandsComeOutAsTheNaiveTwinHasThem) {
  SeededRandom random(20260725);
  size_t commands = 0;
  size_t errors = 0;
  for (size_t compared = 0; compared < Rounds(1'000'000); ++errors) {
    std::string stream;
    const size_t count = 1 + random.Below(12);
    for (size_t i = 0; i < count; ++i) stream += RandomCommand(&random);
    if (random.OneIn(3)) Mutate(&stream, &random);
    ParserLimits limits;
    if (random.OneIn(4)) limits.control_line_bytes_max = static_cast<uint32_t>(random.Below(200));
    if (random.OneIn(8)) limits.payload_bytes_max = static_cast<int64_t>(random.Below(300));
    if (random.OneIn(16)) limits.headers = false;
    const size_t piece = random.OneIn(2) ? kWhole : 1 + random.Below(100);
    const FeedResult fast = FeedParser(stream, limits, [&](size_t) {
      return piece == kWhole ? kWhole : 1 + random.Below(piece);
    });
    const FeedResult naive = FeedNaive(stream, limits);
    ASSERT_EQ(Difference(fast, naive), "") << Escaped(stream);
    compared += 1 + naive.commands.size();
    commands += naive.commands.size();
  }
  EXPECT_GT(commands, errors / 2);
}

}  // namespace
}  // namespace millrace
