// SPDX-License-Identifier: Apache-2.0
// Goal: header blocks are read and edited as the peer does it, and no block, however broken, is read past its end.
// Method: tables of blocks; a plain line splitter as twin over random well-formed blocks; edits checked by reading
//         back.
#include "proto/headers.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr std::string_view kSample =
    "NATS/1.0\r\nNats-Msg-Id:  42 \r\nEmpty:\r\nnats-msg-id: lower\r\nNats-Msg-Id: second\r\n\r\n";

TEST(HeadersTest, FindTakesTheFirstFieldOfExactlyThisKey) {
  EXPECT_EQ(FindHeader(kSample, "Nats-Msg-Id"), "42 ");
  EXPECT_EQ(FindHeader(kSample, "nats-msg-id"), "lower");
  EXPECT_EQ(FindHeader(kSample, "Empty"), "");
  EXPECT_EQ(FindHeader(kSample, "Nats-Msg"), std::nullopt);
  EXPECT_EQ(FindHeader(kSample, "Msg-Id"), std::nullopt);
  EXPECT_EQ(FindHeader(kSample, "second"), std::nullopt);
  EXPECT_EQ(FindHeader(kSample, ""), std::nullopt);
  EXPECT_EQ(FindHeader("", "A"), std::nullopt);
  EXPECT_EQ(FindHeader("NATS/1.0\r\nA: 1", "A"), "1");
  EXPECT_EQ(FindHeader("NATS/1.0\r\nA:", "A"), "");
  EXPECT_EQ(FindHeader("NATS/1.0\r\nA", "A"), std::nullopt);
  EXPECT_EQ(FindHeader("A: 1\r\n", "A"), std::nullopt) << "the first line is the version";
  EXPECT_EQ(FindHeader("NATS/1.0\nA: 1\r\n", "A"), std::nullopt);
  EXPECT_EQ(FindHeader("NATS/1.0\r\nB: A: 1\r\nA: 2\r\n\r\n", "A"), "2");
}

TEST(HeadersTest, StatusLinesAreRead) {
  const auto status = FindHeaderStatus("NATS/1.0 503 No Responders\r\n\r\n");
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code, 503);
  EXPECT_EQ(status->text, "No Responders");
  EXPECT_EQ(FindHeaderStatus("NATS/1.0 100\r\n\r\n")->code, 100);
  EXPECT_EQ(FindHeaderStatus("NATS/1.0\r\n\r\n"), std::nullopt);
  EXPECT_EQ(FindHeaderStatus("NATS/1.0503\r\n\r\n"), std::nullopt);
  EXPECT_EQ(FindHeaderStatus("NATS/1.0 abc\r\n\r\n"), std::nullopt);
  EXPECT_EQ(FindHeaderStatus("HTTP/1.0 200\r\n\r\n"), std::nullopt);
  EXPECT_EQ(FindHeaderStatus("NATS/1.0 503"), std::nullopt);
}

TEST(HeadersTest, WellFormedBlocksAreToldFromOthers) {
  EXPECT_TRUE(IsWellFormedHeader("NATS/1.0\r\n\r\n"));
  EXPECT_TRUE(IsWellFormedHeader("NATS/1.0 503\r\n\r\n"));
  EXPECT_TRUE(IsWellFormedHeader(kSample));
  for (const std::string_view block :
       {"", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0\r\nA: 1\r\n", "NATS/1.0\r\n: 1\r\n\r\n",
        "NATS/1.0\r\nA 1\r\n\r\n", "NATS/1.0\r\nA b: 1\r\n\r\n", "NATS/1.0\r\nA: 1\r\n\r\nx",
        "NATS/1.0x\r\n\r\n", "NATS/1.0\r\nA: 1\n2\r\n\r\n", "HTTP/1.0\r\n\r\n"}) {
    EXPECT_FALSE(IsWellFormedHeader(block)) << Escaped(block);
  }
}

TEST(HeadersTest, AddingBeginsABlockAndKeepsTheEmptyLineLast) {
  std::string block;
  AddHeader(&block, "A", "1");
  EXPECT_EQ(block, "NATS/1.0\r\nA: 1\r\n\r\n");
  AddHeader(&block, "A", "2\r\nEvil: 3");
  EXPECT_EQ(block, "NATS/1.0\r\nA: 1\r\nA: 2  Evil: 3\r\n\r\n");
}

TEST(HeadersTest, SettingReplacesTheFirstValue) {
  std::string block(kSample);
  SetHeader(&block, "Nats-Msg-Id", "x");
  EXPECT_EQ(FindHeader(block, "Nats-Msg-Id"), "x");
  EXPECT_EQ(block.substr(0, 26), "NATS/1.0\r\nNats-Msg-Id: x\r\n");
  SetHeader(&block, "New", "y");
  EXPECT_EQ(FindHeader(block, "New"), "y");
  EXPECT_TRUE(IsWellFormedHeader(block));
}

TEST(HeadersTest, RemovingTheLastFieldRemovesTheBlock) {
  std::string block(kSample);
  RemoveHeader(&block, "Nats-Msg-Id");
  EXPECT_EQ(block, "NATS/1.0\r\nEmpty:\r\nnats-msg-id: lower\r\n\r\n");
  RemoveHeadersWithPrefix(&block, "nats-");
  EXPECT_EQ(block, "NATS/1.0\r\nEmpty:\r\n\r\n");
  RemoveHeader(&block, "Emp");
  EXPECT_EQ(block, "NATS/1.0\r\nEmpty:\r\n\r\n");
  RemoveHeader(&block, "Empty");
  EXPECT_EQ(block, "");
}

TEST(HeadersTest, RemovingTheStatusKeepsFields) {
  std::string block = "NATS/1.0 503 No Responders\r\nA: 1\r\n\r\n";
  RemoveHeaderStatus(&block);
  EXPECT_EQ(block, "NATS/1.0\r\nA: 1\r\n\r\n");
  RemoveHeaderStatus(&block);
  EXPECT_EQ(block, "NATS/1.0\r\nA: 1\r\n\r\n");
  block = "NATS/1.0 503\r\n\r\n";
  RemoveHeaderStatus(&block);
  EXPECT_EQ(block, "");
}

TEST(HeadersTest, RandomBlocksReadBackAsWritten) {
  SeededRandom random(3);
  for (int round = 0; round < 100'000; ++round) {
    std::string block;
    std::vector<std::pair<std::string, std::string>> fields;
    const size_t count = 1 + random.Below(6);
    for (size_t i = 0; i < count; ++i) {
      std::string key(1 + random.Below(3), 'a');
      for (char& c : key) c = static_cast<char>('a' + random.Below(3));
      std::string value(random.Below(6), 'v');
      for (char& c : value) c = "abc: -"[random.Below(6)];
      AddHeader(&block, key, value);
      value.erase(0, value.find_first_not_of(' '));
      if (value.find_first_not_of(' ') == std::string::npos) value.clear();
      fields.emplace_back(key, value);
    }
    ASSERT_TRUE(IsWellFormedHeader(block)) << Escaped(block);
    size_t at = 0;
    ForEachHeader(block, [&](const HeaderField& field) {
      ASSERT_LT(at, fields.size());
      ASSERT_EQ(field.key, fields[at].first);
      ASSERT_EQ(field.value, fields[at].second);
      ++at;
    });
    ASSERT_EQ(at, fields.size());
    const std::string key = fields[random.Below(fields.size())].first;
    for (const auto& [name, value] : fields) {
      if (name != key) continue;
      ASSERT_EQ(FindHeader(block, key), value) << Escaped(block);
      break;
    }
    RemoveHeader(&block, key);
    ASSERT_EQ(FindHeader(block, key), std::nullopt);
    std::erase_if(fields, [&](const auto& field) { return field.first == key; });
    ASSERT_EQ(block.empty(), fields.empty());
  }
}

TEST(HeadersTest, BrokenBlocksAreReadWithinTheirBounds) {
  SeededRandom random(4);
  for (int round = 0; round < 100'000; ++round) {
    std::string text(kSample.substr(0, random.Below(kSample.size() + 1)));
    for (size_t i = random.Below(6); i > 0 && !text.empty(); --i) {
      text[random.Below(text.size())] = "\r\n: NA\0z"[random.Below(8)];
    }
    const std::unique_ptr<char[]> copy(new char[text.size()]);  // ends where the heap block ends
    std::memcpy(copy.get(), text.data(), text.size());
    const std::string_view block(copy.get(), text.size());
    size_t bytes = 0;
    ForEachHeader(block, [&](const HeaderField& f) { bytes += f.key.size() + f.value.size(); });
    ASSERT_LE(bytes, block.size());
    (void)FindHeader(block, "Nats-Msg-Id");
    (void)FindHeader(block, "N");
    (void)FindHeaderStatus(block);
    (void)IsWellFormedHeader(block);
    std::string edited(block);
    SetHeader(&edited, "N", "1");
    RemoveHeaderStatus(&edited);
    RemoveHeader(&edited, "N");
    RemoveHeadersWithPrefix(&edited, "Nats-");
  }
}

}  // namespace
}  // namespace millrace
