// SPDX-License-Identifier: Apache-2.0
// Lexer: cuts a configuration text into keys, values and brackets (rows G-01..G-12).
// Owner:  caller (pure).  Input: the whole text.  Output: items; the last one is kEnd or kError.
// Limits: kNestingMax levels of maps and arrays.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::config {

inline constexpr int kNestingMax = 500;  // ours: bounds the recursion

enum class ItemKind : uint8_t {
  kError,  // text is the reason
  kEnd,
  kKey,
  kString,
  kBool,
  kInteger,
  kFloat,
  kDatetime,
  kArrayStart,
  kArrayEnd,
  kMapStart,
  kMapEnd,
  kVariable,  // text without the dollar
  kInclude,   // text is the path as written
};

struct Item {
  ItemKind kind;
  std::string text;
  int line;
  int column;
};

std::vector<Item> Lex(std::string_view input);

}  // namespace millrace::config
