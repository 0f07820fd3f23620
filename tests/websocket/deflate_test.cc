// SPDX-License-Identifier: Apache-2.0
// permessage-deflate: what is deflated inflates again, messages know nothing of each other, and a bomb stays small.
#include "broker/websocket/deflate.h"

#include <gtest/gtest.h>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

std::string Deflated(Deflater* deflater, std::string_view plain) {
  std::string out;
  deflater->Append(plain, &out);
  deflater->End(&out);
  return out;
}

TEST(Deflate, IsReadAsTheRfcHasIt) {
  // RFC 7692, 7.2.3: "Hello" in one block, in two, without compression, and with a block that is the last.
  Inflater inflater;
  for (const std::string& message :
       {std::string("\xf2\x48\xcd\xc9\xc9\x07\x00", 7), std::string("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11),
        std::string("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8),
        std::string("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13)}) {
    std::string out = "before ";
    EXPECT_EQ(inflater.Inflate(message, 5, &out), InflateStatus::kDone) << Escaped(message);
    EXPECT_EQ(out, "before Hello");
  }
}

TEST(Deflate, MessagesKnowNothingOfEachOther) {
  Deflater deflater;
  const std::string plain = "MSG orders.created 1 11\r\nhello world\r\n";
  const std::string first = Deflated(&deflater, plain);
  EXPECT_EQ(Deflated(&deflater, plain), first);
  Inflater inflater;
  for (int i = 0; i < 2; ++i) {
    std::string out;
    EXPECT_EQ(inflater.Inflate(first, 1000, &out), InflateStatus::kDone);
    EXPECT_EQ(out, plain);
  }
}

TEST(Deflate, TakesPiecesAsOneMessage) {
  SeededRandom random(11);
  Deflater deflater;
  Inflater inflater;
  for (size_t round = Rounds(2'000); round > 0; --round) {
    std::string plain(random.OneIn(20) ? random.Below(300'000) : random.Below(3'000), '\0');
    const uint64_t letters = 1 + random.Below(256);
    for (char& byte : plain) byte = static_cast<char>(random.Below(letters));
    std::string compressed;
    for (std::string_view rest = plain; !rest.empty();) {
      const std::string_view piece = rest.substr(0, 1 + random.Below(20'000));
      deflater.Append(piece, &compressed);
      rest.remove_prefix(piece.size());
    }
    deflater.End(&compressed);
    std::string out;
    ASSERT_EQ(inflater.Inflate(compressed, plain.size(), &out), InflateStatus::kDone);
    ASSERT_EQ(out, plain);
    if (plain.empty()) continue;
    out.clear();
    ASSERT_EQ(inflater.Inflate(compressed, plain.size() - 1, &out), InflateStatus::kTooLarge);
    ASSERT_EQ(out, std::string_view(plain).substr(0, plain.size() - 1));
  }
}

TEST(Deflate, ABombStaysSmall) {
  Deflater deflater;
  std::string bomb;
  const std::string zeros(1 << 20, '\0');
  for (int i = 0; i < 64; ++i) deflater.Append(zeros, &bomb);
  deflater.End(&bomb);
  EXPECT_LT(bomb.size(), size_t{1} << 19);
  Inflater inflater;
  std::string out;
  EXPECT_EQ(inflater.Inflate(bomb, 100'000, &out), InflateStatus::kTooLarge);
  EXPECT_EQ(out.size(), 100'000u);
  EXPECT_LT(out.capacity(), 300'000u);
}

TEST(Deflate, WhatIsBrokenIsSaidSo) {
  Inflater inflater;
  std::string out;
  EXPECT_EQ(inflater.Inflate("\xff\xff\xff", 1000, &out), InflateStatus::kBroken);
  EXPECT_EQ(inflater.Inflate(std::string_view("\x00\x20\x00\xdf\xff" "ab", 7), 1000, &out), InflateStatus::kBroken);
  SeededRandom random(13);
  Deflater deflater;
  const std::string good = Deflated(&deflater, "MSG orders.created 1 11\r\nhello world\r\n");
  for (size_t round = Rounds(100'000); round > 0; --round) {
    std::string bad = good;
    for (uint64_t changes = 1 + random.Below(3); changes > 0; --changes)
      bad[random.Below(bad.size())] = static_cast<char>(random.Next());
    out.clear();
    inflater.Inflate(bad, 200, &out);
    ASSERT_LE(out.size(), 200u);
  }
  out.clear();
  EXPECT_EQ(inflater.Inflate(good, 200, &out), InflateStatus::kDone) << "what came before has left nothing";
}

TEST(Deflate, KeepsAsMuchAsThePeer) {
  EXPECT_EQ(CompressedBytesMax(0), 8u << 20);
  EXPECT_EQ(CompressedBytesMax(1000), 8000u);
  EXPECT_EQ(CompressedBytesMax(8 << 20), 64u << 20);
  EXPECT_EQ(CompressedBytesMax((8 << 20) + 1), 64u << 20);
  EXPECT_EQ(CompressedBytesMax(~uint64_t{0}), 64u << 20);
}

}  // namespace
}  // namespace millrace
