// SPDX-License-Identifier: Apache-2.0
// Goal:   counters of any size add up right, and are read and written as the peer's.
// Method: sums within 128 bits against the compiler's own; larger ones by adding and taking away again.
#include "broker/jetstream/stream/decimal.h"

#include <gtest/gtest.h>

#include <random>

namespace millrace {
namespace {

std::string Add(std::string_view a, std::string_view b) {
  return (*Decimal::Parse(a) + *Decimal::Parse(b)).ToString();
}

std::string Print(__int128 number) {
  if (number == 0) return "0";
  const bool negative = number < 0;
  std::string text;
  for (; number != 0; number /= 10)
    text.insert(text.begin(), static_cast<char>('0' + std::abs(static_cast<int>(number % 10))));
  return negative ? "-" + text : text;
}

TEST(Decimal, ReadsWhatGoReads) {
  for (const auto& [text, value] : {std::pair{"1", "1"}, {"+1", "1"}, {"-1", "-1"}, {"-0", "0"}, {"+000", "0"},
                                    {"007", "7"}, {"12345678901234567890123", "12345678901234567890123"}}) {
    ASSERT_TRUE(Decimal::Parse(text)) << text;
    EXPECT_EQ(Decimal::Parse(text)->ToString(), value);
  }
  for (const char* text : {"", "+", "-", "--1", "1.0", "1e3", " 1", "1 ", "0x1", "1_0", "one"})
    EXPECT_FALSE(Decimal::Parse(text)) << text;
}

TEST(Decimal, CarriesAndBorrowsAcrossAllDigits) {
  EXPECT_EQ(Add("99999999999999999999999999999999999999999999", "1"), "100000000000000000000000000000000000000000000");
  EXPECT_EQ(Add("100000000000000000000000000000000000000000000", "-1"), "99999999999999999999999999999999999999999999");
  EXPECT_EQ(Add("5", "-5"), "0");
  EXPECT_EQ(Add("-5", "3"), "-2");
  EXPECT_EQ(Add("3", "-5"), "-2");
}

TEST(Decimal, AgreesWithTheCompiler) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto number = [&random] {
      const __int128 wide = static_cast<__int128>(static_cast<int64_t>(random())) * static_cast<int64_t>(random() | 1);
      return wide >> (random() % 120);
    };
    const __int128 a = number() / 4;
    const __int128 b = number() / 4;
    ASSERT_EQ(Add(Print(a), Print(b)), Print(a + b));
    ASSERT_EQ((*Decimal::Parse(Print(a)) - *Decimal::Parse(Print(b))).ToString(), Print(a - b));
  }
}

}  // namespace
}  // namespace millrace
