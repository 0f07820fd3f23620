// SPDX-License-Identifier: Apache-2.0
// Goal: query parameters are read and refused as the peer does it. Method: tables of pairs taken from the peer.
#include "broker/monitor/parameters.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace millrace {
namespace {

std::string ErrorOf(const absl::Status& status) { return std::string(status.message()); }

TEST(Parameters, AreRefusedInThePeersWords) {
  EXPECT_EQ(ErrorOf(DecodeInt("limit", "a").status()),
            "Error decoding int for 'limit': strconv.Atoi: parsing \"a\": invalid syntax");
  EXPECT_EQ(
      ErrorOf(DecodeInt("limit", "99999999999999999999").status()),
      "Error decoding int for 'limit': strconv.Atoi: parsing \"99999999999999999999\": value out "
      "of range");
  EXPECT_EQ(ErrorOf(DecodeInt("offset", " 5").status()),
            "Error decoding int for 'offset': strconv.Atoi: parsing \" 5\": invalid syntax");
  EXPECT_EQ(ErrorOf(DecodeUint64("cid", "-1").status()),
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax");
  EXPECT_EQ(ErrorOf(DecodeBool("subs", "z").status()),
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"z\": invalid syntax");
  for (const char* bad : {"0x10", "1_0", "1.5", "+", "-", "+-1", "--1", "1 "})
    EXPECT_FALSE(DecodeInt("n", bad).ok()) << bad;
  EXPECT_EQ(*DecodeInt("n", ""), 0);
  EXPECT_EQ(*DecodeInt("n", "+5"), 5);
  EXPECT_EQ(*DecodeInt("n", "-5"), -5);
  EXPECT_EQ(*DecodeUint64("n", "18446744073709551615"), UINT64_MAX);
  EXPECT_FALSE(DecodeUint64("n", "+1").ok());
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
    EXPECT_TRUE(*DecodeBool("b", yes));
  for (const char* no : {"", "0", "f", "F", "false", "FALSE", "False"})
    EXPECT_FALSE(*DecodeBool("b", no));
  EXPECT_FALSE(DecodeBool("b", "yes").ok());
}

}  // namespace
}  // namespace millrace
