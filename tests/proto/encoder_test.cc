// SPDX-License-Identifier: Apache-2.0
// Goal: every byte the encoder writes is what printf would write, and not one byte more is touched.
// Method: snprintf beside it over a million random arguments, with guard bytes behind the output.
#include "proto/encoder.h"

#include <gtest/gtest.h>

#include <cinttypes>
#include <vector>

#include "proto/quoted.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::string RandomText(SeededRandom* random, size_t bytes_max) {
  std::string text(random->Below(bytes_max + 1), 'x');
  for (char& c : text) c = static_cast<char>('!' + random->Below(90));
  return text;
}

uint64_t RandomNumber(SeededRandom* random) { return random->Next() >> random->Below(64); }

TEST(EncoderTest, DecimalIsWhatPrintfWrites) {
  SeededRandom random(1);
  char out[kDecimalBytesMax + 1];
  char expected[32];
  std::vector<uint64_t> numbers = {0, 9, 10, 99, 100, UINT64_MAX};
  for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
    numbers.insert(numbers.end(), {power - 1, power, power + 1, power * 10 - 1});
  }
  for (size_t i = Rounds(1'000'000); i > 0; --i) numbers.push_back(RandomNumber(&random));
  for (const uint64_t number : numbers) {
    std::memset(out, '#', sizeof out);
    const char* const end = AppendDecimal(out, number);
    std::snprintf(expected, sizeof expected, "%" PRIu64, number);
    ASSERT_EQ(std::string_view(out, static_cast<size_t>(end - out)), expected);
    ASSERT_EQ(*end, '#');
  }
}

TEST(EncoderTest, AMillionMessageHeadersAreWhatPrintfWrites) {
  SeededRandom random(2);
  for (size_t i = Rounds(1'000'000); i > 0; --i) {
    const std::string subject = RandomText(&random, random.OneIn(10) ? 200 : 40);
    const std::string sid = RandomText(&random, 6);
    const std::string reply = random.OneIn(2) ? "" : RandomText(&random, 60);
    const uint64_t header_bytes = RandomNumber(&random);
    const uint64_t total_bytes = RandomNumber(&random);
    const bool has_header = random.OneIn(2);
    const size_t room = MsgHeaderBytesMax(subject, sid, reply);
    std::string out(room, '#');
    char* const end =
        has_header
            ? AppendHmsgHeader(out.data(), subject, sid, reply, header_bytes, total_bytes)
            : AppendMsgHeader(out.data(), subject, sid, reply, total_bytes);
    const size_t written = static_cast<size_t>(end - out.data());
    ASSERT_LE(written, room);
    char expected[400];
    const char* const blank = reply.empty() ? "" : " ";
    if (has_header) {
      std::snprintf(expected, sizeof expected, "HMSG %s %s %s%s%" PRIu64 " %" PRIu64 "\r\n",
                    subject.c_str(), sid.c_str(), reply.c_str(), blank, header_bytes, total_bytes);
    } else {
      std::snprintf(expected, sizeof expected, "MSG %s %s %s%s%" PRIu64 "\r\n", subject.c_str(),
                    sid.c_str(), reply.c_str(), blank, total_bytes);
    }
    ASSERT_EQ(out.substr(0, written), expected);
    ASSERT_EQ(out.find_first_not_of('#', written), std::string::npos);
  }
}

TEST(EncoderTest, ErrorsAreQuoted) {
  std::string out = "+OK\r\n";
  AppendErr(&out, "Stale Connection");
  EXPECT_EQ(out, "+OK\r\n-ERR 'Stale Connection'\r\n");
}

TEST(EncoderTest, NoRespondersIsAMessageOfHeaderOnly) {
  std::string out;
  AppendNoResponders(&out, "_INBOX.a", "7", "help");
  EXPECT_EQ(out, "HMSG _INBOX.a 7 36 36\r\nNATS/1.0 503\r\nNats-Subject: help\r\n\r\n\r\n");
}

TEST(EncoderTest, QuotingIsThatOfThePeer) {
  const auto quoted = [](std::string_view text) {
    std::string out;
    AppendQuoted(&out, text);
    return out;
  };
  EXPECT_EQ(quoted("foo.>"), "\"foo.>\"");
  EXPECT_EQ(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(quoted("gr\xc3\xbcn"), "\"gr\xc3\xbcn\"");
  EXPECT_EQ(quoted("\x80\xff"), "\"\\x80\\xff\"");
  EXPECT_EQ(quoted(std::string_view("\0\x01\a\b\t\n\v\f\r\x1b\x7f", 11)),
            "\"\\x00\\x01\\a\\b\\t\\n\\v\\f\\r\\x1b\\x7f\"");
  EXPECT_EQ(quoted("\xc2\x85\xc2\xa0\xc2\xad\xe2\x80\xa8\xf0\x9f\x98\x80"),
            "\"\\u0085\\u00a0\\u00ad\\u2028\xf0\x9f\x98\x80\"");
}

}  // namespace
}  // namespace millrace
