// SPDX-License-Identifier: Apache-2.0
// Lexer: cuts a configuration text into keys, values and brackets (rows G-01..G-12). Structure is in lexer.cc, values
// are in lexer_values.cc.
// Owner:  caller (pure).  Input: the whole text.  Output: items; the last one is kEnd or kError.
// Limits: kNestingMax levels of maps and arrays.
// The grammar is lenient and has grown by habit, so the rules follow what nats-server accepts and refuses, odd corners
// included: a key may stand on another line than its value, a lone slash is white space after a value, `]` directly
// behind a number belongs to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/config/language/text.h"
#include "proto/utf8.h"

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

inline constexpr uint32_t kEof = 0;  // a NUL byte ends the input as well

inline bool IsBlank(uint32_t c) { return c == ' ' || c == '\t'; }
inline bool IsNewline(uint32_t c) { return c == '\n' || c == '\r'; }
inline bool IsKeySeparator(uint32_t c) { return c == '=' || c == ':'; }
inline bool IsDigit(uint32_t c) { return c >= '0' && c <= '9'; }
inline bool IsSizeSuffix(uint32_t c) {
  return c < 0x80 && c != 0 && std::string_view("kKmMgGtTpPeE").find(static_cast<char>(c)) !=
                                   std::string_view::npos;
}
// Ends a number that stands bare.
inline bool EndsNumber(uint32_t c) {
  return IsNewline(c) || c == kEof || c == '}' || c == ';' || c == ',' || IsBlank(c);
}

inline std::string Show(uint32_t c) {
  if (c == '\n') return "\\n";
  if (c == kEof) return "EOF";  // the peer prints the NUL byte
  std::string text;
  AppendUtf8(c, &text);
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view input) : input_(input) {}
  std::vector<Item> Run() {
    LexTop();
    return std::move(items_);
  }

 private:
  enum class Scope : uint8_t { kTop, kMap };

  // Every Lex function returns false when the input is over or wrong; the last item says which.
  bool LexTop();
  bool LexTopEnd();
  bool LexBlock();
  bool LexKey();  // key and value outside of maps
  bool LexMap();
  bool LexMapKey(bool* included);
  bool LexMapValue(bool* closed);
  bool LexArray();
  bool LexValue();
  bool LexInclude();
  bool LexQuotedKey(uint32_t quote, Scope scope);
  bool LexSingleQuoted();
  bool LexString(bool quoted);
  bool LexEscape();
  bool LexParenthesized();
  bool LexNumber();
  bool LexNegative();
  bool LexSizeSuffix();
  bool LexFraction();
  bool LexDatetime();

  uint32_t Next() {
    if (at_ >= input_.size()) {
      width_ = 0;
      return kEof;
    }
    if (input_[at_] == '\n') {
      ++line_;
      line_start_ = at_;
    }
    const DecodedRune rune = DecodeRune(input_.substr(at_));
    width_ = rune.bytes;
    at_ += width_;
    return rune.code;
  }
  void Back() {
    at_ -= width_;
    if (at_ < input_.size() && input_[at_] == '\n') --line_;
  }
  uint32_t Peek() {
    const uint32_t c = Next();
    Back();
    return c;
  }
  void Skip() {
    start_ = at_;
    item_line_start_ = line_start_;
  }
  std::string_view Pending() const { return input_.substr(start_, at_ - start_); }

  bool Emit(ItemKind kind) { return EmitText(kind, std::string(Pending())); }
  bool EmitText(ItemKind kind, std::string text) {
    const int column =
        static_cast<int>(static_cast<int64_t>(at_) - static_cast<int64_t>(item_line_start_) -
                         static_cast<int64_t>(text.size()));
    items_.push_back({kind, std::move(text), line_, column});
    Skip();
    return true;
  }
  bool EmitString() {
    std::string text = std::move(unescaped_) + std::string(Pending());
    unescaped_.clear();
    has_escapes_ = false;
    return EmitText(ItemKind::kString, std::move(text));
  }
  bool Fail(std::string reason) {
    items_.push_back(
        {ItemKind::kError, std::move(reason), line_, static_cast<int>(at_ - line_start_)});
    return false;
  }
  // The input is over: fine between things, an error within one.
  bool End() {
    if (at_ > start_) return Fail("Unexpected EOF.");
    Emit(ItemKind::kEnd);
    return false;
  }
  // Having read c: a comment starts here? Consumes it up to its newline.
  bool SkipComment(uint32_t c) {
    if (c == '/') {
      if (Next() != '/') {
        Back();
        return false;
      }
    } else if (c != '#') {
      return false;
    }
    for (uint32_t next = Peek(); !IsNewline(next) && next != kEof; next = Peek()) Next();
    Skip();
    return true;
  }

  const std::string_view input_;
  size_t start_ = 0;  // of the pending text
  size_t at_ = 0;
  size_t width_ = 0;            // of the rune read last
  size_t line_start_ = 0;       // offset of the newline before, or 0
  size_t item_line_start_ = 0;  // the same where the pending text began
  int line_ = 1;
  int nesting_ = 0;
  bool has_escapes_ = false;
  std::string unescaped_;
  std::vector<Item> items_;
};

std::vector<Item> Lex(std::string_view input);

}  // namespace millrace::config
