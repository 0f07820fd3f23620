// SPDX-License-Identifier: Apache-2.0
// The grammar is lenient and has grown by habit, so the rules below follow what nats-server accepts
// and refuses, odd corners included: a key may stand on another line than its value, a lone slash
// is white space after a value, `]` directly behind a number belongs to it.
#include "broker/config/lexer.h"

#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/text.h"

namespace millrace::config {
namespace {

constexpr uint32_t kEof = 0;  // a NUL byte ends the input as well

bool IsBlank(uint32_t c) { return c == ' ' || c == '\t'; }
bool IsNewline(uint32_t c) { return c == '\n' || c == '\r'; }
bool IsKeySeparator(uint32_t c) { return c == '=' || c == ':'; }
bool IsDigit(uint32_t c) { return c >= '0' && c <= '9'; }
bool IsSizeSuffix(uint32_t c) {
  return c < 0x80 && c != 0 && std::string_view("kKmMgGtTpPeE").find(static_cast<char>(c)) !=
                                   std::string_view::npos;
}
// Ends a number that stands bare.
bool EndsNumber(uint32_t c) {
  return IsNewline(c) || c == kEof || c == '}' || c == ';' || c == ',' || IsBlank(c);
}

std::string Show(uint32_t c) {
  if (c == '\n') return "\\n";
  if (c == kEof) return "EOF";  // the peer prints the NUL byte
  std::string text;
  AppendRune(c, &text);
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

bool Lexer::LexTop() {
  for (;;) {
    const uint32_t c = Next();
    if (IsSpaceRune(c)) {
      Skip();
    } else if (c == '{') {
      Skip();
      if (!LexBlock()) return false;
    } else if (SkipComment(c)) {
      continue;
    } else if (c == '/' || c == kEof) {
      return End();
    } else {
      Back();
      if (!LexKey() || !LexTopEnd()) return false;
    }
  }
}

bool Lexer::LexTopEnd() {
  for (;;) {
    const uint32_t c = Next();
    if (SkipComment(c)) return true;
    if (IsBlank(c) || c == '/') continue;
    if (IsNewline(c) || c == kEof || c == ';' || c == ',' || c == '}') {
      Skip();
      return true;
    }
    return Fail(absl::StrFormat("Expected a top-level value to end with a new line, "
                                "comment or EOF, but got '%s' instead.",
                                Show(c)));
  }
}

// A file, or part of one, wrapped in braces: its keys belong to the level around it.
bool Lexer::LexBlock() {
  enum class At : uint8_t { kKey, kAfterValue, kClose };
  At state = At::kKey;
  for (int depth = 1; depth > 0;) {
    if (depth > kNestingMax) return Fail("Blocks are nested too deep.");
    const uint32_t c = Next();
    switch (state) {
      case At::kKey:
        if (IsSpaceRune(c)) {
          Skip();
        } else if (c == '{') {
          ++depth;
          Skip();
        } else if (c == '}') {
          --depth;
          Skip();
          state = At::kClose;
        } else if (SkipComment(c)) {
          continue;
        } else if (c == '/' || c == kEof) {
          return End();
        } else {
          Back();
          if (!LexKey()) return false;
          state = At::kAfterValue;
        }
        break;
      case At::kAfterValue:
        if (SkipComment(c) || IsBlank(c) || c == '/') continue;
        if (IsNewline(c) || c == ';' || c == ',') {
          Skip();
          state = At::kKey;
        } else if (c == '}') {
          Back();
          state = At::kClose;
        } else {
          return Fail(absl::StrFormat("Expected a block-level value to end with a new line, "
                                      "comment or EOF, but got '%s' instead.",
                                      Show(c)));
        }
        break;
      case At::kClose:
        if (SkipComment(c)) {
          state = At::kKey;
        } else if (IsNewline(c) || IsBlank(c) || c == '/') {
          continue;
        } else if (c == ';' || c == ',') {
          Skip();
          state = At::kKey;
        } else if (c == '}') {
          --depth;
          Skip();
        } else {
          return Fail(absl::StrFormat(
              "Expected a block-level to end with a '}', but got '%s' instead.", Show(c)));
        }
        break;
    }
  }
  return true;
}

bool Lexer::LexQuotedKey(uint32_t quote, Scope scope) {
  Next();
  Skip();
  for (;;) {
    const uint32_t c = Peek();
    if (c == quote) {
      Emit(ItemKind::kKey);
      Next();
      Skip();
      return true;
    }
    if (c == kEof) {
      if (scope == Scope::kTop) return End();
      return Fail(quote == '"' ? "Unexpected EOF processing double quoted map key."
                               : "Unexpected EOF processing quoted map key.");
    }
    Next();
  }
}

bool Lexer::LexKey() {
  uint32_t c = Peek();
  for (; IsSpaceRune(c); c = Peek()) {
    Next();
    Skip();
  }
  if (IsKeySeparator(c)) return Fail(absl::StrFormat("Unexpected key separator '%s'", Show(c)));
  if (c == '"' || c == '\'') {
    if (!LexQuotedKey(c, Scope::kTop)) return false;
  } else {
    Skip();
    do {
      Next();
      c = Peek();
    } while (!IsSpaceRune(c) && !IsKeySeparator(c) && c != kEof);
    if (IsSpaceRune(c) && Lower(Pending()) == "include") return LexInclude();
    Emit(ItemKind::kKey);
  }
  for (;;) {
    c = Next();
    if (IsSpaceRune(c)) {
      Skip();
    } else if (IsKeySeparator(c)) {
      Skip();
      return LexValue();
    } else if (c == kEof) {
      Emit(ItemKind::kEnd);
      return false;
    } else {
      Back();
      return LexValue();
    }
  }
}

bool Lexer::LexMap() {
  if (++nesting_ > kNestingMax) return Fail("Values are nested too deep.");
  const auto close = [this] {
    Skip();
    --nesting_;
    return Emit(ItemKind::kMapEnd);
  };
  for (;;) {
    // A key, or the end.
    const uint32_t c = Peek();
    if (IsSpaceRune(c)) {
      Next();
      Skip();
      continue;
    }
    if (c == '}') {
      Next();
      return close();
    }
    if (c == '#') {
      SkipComment(Next());
      continue;
    }
    if (c == '/' && SkipComment(Next())) continue;
    bool included = false;
    if (!LexMapKey(&included)) return false;
    if (!included) {
      bool closed = false;
      if (!LexMapValue(&closed)) return false;
      if (closed) return close();
    }
    // What may stand between a value and the next key.
    for (bool more = true; more;) {
      const uint32_t end = Next();
      if (IsBlank(end)) {
        Skip();
      } else if (SkipComment(end)) {
        continue;
      } else if (end == '/' || end == ';' || end == ',' || IsNewline(end)) {
        Skip();
        more = false;
      } else if (end == '}') {
        return close();
      } else {
        return Fail(absl::StrFormat("Expected a map value terminator \",\" or a map "
                                    "terminator \"}\", but got '%s' instead.",
                                    Show(end)));
      }
    }
  }
}

bool Lexer::LexMapKey(bool* included) {
  uint32_t c = Peek();
  if (IsKeySeparator(c)) return Fail(absl::StrFormat("Unexpected key separator '%s'.", Show(c)));
  if (c == ']') return Fail("Unexpected array end ']' processing map.");
  if (c == kEof) return Fail("Unexpected EOF processing map.");
  if (c == '"' || c == '\'') return LexQuotedKey(c, Scope::kMap);
  Skip();
  do {
    Next();
    c = Peek();
  } while (!IsSpaceRune(c) && !IsKeySeparator(c) && c != kEof);
  if (c == kEof) return Fail("Unexpected EOF processing map key.");
  if (IsSpaceRune(c) && Lower(Pending()) == "include") {
    *included = true;
    return LexInclude();
  }
  return Emit(ItemKind::kKey);
}

bool Lexer::LexMapValue(bool* closed) {
  bool separated = false;
  for (;;) {
    const uint32_t c = Next();
    if (IsSpaceRune(c)) {
      Skip();
    } else if (!separated && IsKeySeparator(c)) {
      separated = true;
      Skip();
    } else if (c == ',') {
      return Fail("Unexpected map value terminator \",\".");
    } else if (c == '}') {
      *closed = true;
      return true;
    } else {
      Back();
      return LexValue();
    }
  }
}

bool Lexer::LexArray() {
  if (++nesting_ > kNestingMax) return Fail("Values are nested too deep.");
  const auto close = [this] {
    Skip();
    --nesting_;
    return Emit(ItemKind::kArrayEnd);
  };
  for (;;) {
    uint32_t c = Next();
    if (IsSpaceRune(c)) {
      Skip();
      continue;
    }
    if (SkipComment(c)) continue;
    if (c == '/' || c == ',') return Fail("Unexpected array value terminator ','.");
    if (c == ']') return close();
    Back();
    if (!LexValue()) return false;
    for (bool more = true; more;) {
      c = Next();
      if (IsBlank(c)) {
        Skip();
      } else if (SkipComment(c)) {
        continue;
      } else if (c == '/' || c == ',' || IsNewline(c)) {
        Skip();
        more = false;
      } else if (c == ']') {
        return close();
      } else {
        return Fail(absl::StrFormat("Expected an array value terminator \",\" or an array "
                                    "terminator \"]\", but got '%s' instead.",
                                    Show(c)));
      }
    }
  }
}

bool Lexer::LexValue() {
  uint32_t c = Next();
  for (; IsBlank(c); c = Next()) Skip();
  switch (c) {
    case '[':
      Skip();
      Emit(ItemKind::kArrayStart);
      return LexArray();
    case '{':
      Skip();
      Emit(ItemKind::kMapStart);
      return LexMap();
    case '\'':
      Skip();
      return LexSingleQuoted();
    case '"':
      Skip();
      return LexString(/*quoted=*/true);
    case '(':
      Skip();
      return LexParenthesized();
    case '-': return LexNegative();
    case '.': return Fail("Floats must start with a digit");
    default: break;
  }
  if (IsDigit(c)) return LexNumber();
  if (IsNewline(c)) return Fail("Expected value but found new line");
  Back();
  return LexString(/*quoted=*/false);
}

bool Lexer::LexInclude() {
  Skip();
  uint32_t c = Next();
  for (; IsBlank(c); c = Next()) Skip();
  const auto wrong = [this](std::string_view what) {
    return Fail(absl::StrFormat("Expected include value but found %s", what));
  };
  if (c == '\'' || c == '"') {
    const uint32_t quote = c;
    Skip();
    for (c = Next(); c != quote; c = Next()) {
      if (c == kEof) {
        return Fail(quote == '"' ? "Unexpected EOF in double quoted include"
                                 : "Unexpected EOF in quoted include");
      }
    }
    Back();
    Emit(ItemKind::kInclude);
    Next();
    Skip();
    return true;
  }
  if (c == '[') return wrong("start of an array");
  if (c == '{') return wrong("start of a map");
  if (c == '(') return wrong("start of a block");
  if (IsDigit(c) || c == '-') return wrong("start of a number");
  if (c == '\\') return wrong("escape sequence");
  if (IsNewline(c)) return wrong("new line");
  while (!IsNewline(c) && c != kEof && c != ';' && c != '}' && !IsBlank(c) && c != '\'') c = Next();
  Back();
  Emit(ItemKind::kInclude);
  if (c == '\'') {
    Next();
    Skip();
  }
  return true;
}

bool Lexer::LexSingleQuoted() {
  for (;;) {
    const uint32_t c = Next();
    if (c == kEof) return End();
    if (c != '\'') continue;
    Back();
    Emit(ItemKind::kString);
    Next();
    Skip();
    return true;
  }
}

// The rest of a double-quoted or of a bare string; bare ones may turn out to be more than text.
bool Lexer::LexString(bool quoted) {
  for (;;) {
    const uint32_t c = Next();
    if (c == '\\') {
      unescaped_.append(input_.substr(start_, at_ - 1 - start_));
      has_escapes_ = true;
      start_ = at_;
      if (!LexEscape()) return false;
    } else if (quoted ? c == '"' : c == '\'') {
      Back();
      EmitString();
      Next();
      Skip();
      return true;
    } else if (quoted) {
      if (c == kEof) return End();
    } else if (EndsNumber(c) || c == ']') {
      Back();
      if (has_escapes_) return EmitString();
      const std::string word = Lower(Pending());
      for (std::string_view name : {"true", "false", "yes", "no", "on", "off"}) {
        if (word == name) return Emit(ItemKind::kBool);
      }
      if (start_ < input_.size() && input_[start_] == '$') {
        ++start_;
        return Emit(ItemKind::kVariable);
      }
      return EmitString();
    }
  }
}

// After a backslash.
bool Lexer::LexEscape() {
  const auto add = [this](char c) {
    unescaped_.push_back(c);
    start_ = at_;
    return true;
  };
  const uint32_t c = Next();
  switch (c) {
    case 't': return add('\t');
    case 'n': return add('\n');
    case 'r': return add('\r');
    case '"': return add('"');
    case '\\': return add('\\');
    case 'x': break;
    default:
      return Fail(
          absl::StrFormat("Invalid escape character '%s'. Only the following "
                          "escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                          Show(c)));
  }
  for (int i = 0; i < 2; ++i) {
    if (IsNewline(Next())) {
      return Fail("Expected two hexadecimal digits after '\\x', but hit end of line");
    }
  }
  const std::string_view digits = input_.substr(at_ - 2, 2);
  int value = 0;
  for (char digit : digits) {
    const size_t rank = std::string_view("0123456789abcdef").find(Lower({&digit, 1}));
    if (rank == std::string_view::npos) {
      return Fail(absl::StrFormat("Expected two hexadecimal digits after '\\x', but got '%s'",
                                  digits));
    }
    value = value * 16 + static_cast<int>(rank);
  }
  return add(static_cast<char>(value));
}

// After '(': all lines up to one that is a lone ')'.
bool Lexer::LexParenthesized() {
  for (;;) {
    const uint32_t c = Next();
    if (c == kEof) return Fail("Unexpected EOF processing block.");
    if (c != ')' || at_ < 2 || input_[at_ - 2] != '\n') continue;
    const uint32_t after = Next();
    if (after != '\n' && after != kEof) {
      Back();
      continue;
    }
    // At the end of the input the peer's text keeps its parenthesis: nothing is left to step over.
    if (after == '\n') {
      Back();
      --at_;
    }
    Emit(ItemKind::kString);
    Next();
    Skip();
    return true;
  }
}

// After a digit: an integer, a float, a datetime, an IP address, or text that begins so.
bool Lexer::LexNumber() {
  for (;;) {
    const uint32_t c = Next();
    if (IsDigit(c)) continue;
    if (c == '-') {
      if (at_ - start_ != 5) return Fail("All ISO8601 dates must be in full Zulu form.");
      return LexDatetime();
    }
    if (c == '.') return LexFraction();
    if (IsSizeSuffix(c)) return LexSizeSuffix();
    if (!EndsNumber(c)) return LexString(/*quoted=*/false);
    Back();
    return Emit(ItemKind::kInteger);
  }
}

bool Lexer::LexNegative() {
  uint32_t c = Next();
  if (c == '.') return Fail("Floats must start with a digit, not '.'.");
  if (!IsDigit(c)) return Fail(absl::StrFormat("Expected a digit but got '%s'.", Show(c)));
  for (c = Next(); IsDigit(c); c = Next()) continue;
  if (c == '.') return LexFraction();
  if (IsSizeSuffix(c)) return LexSizeSuffix();
  Back();
  return Emit(ItemKind::kInteger);
}

bool Lexer::LexSizeSuffix() {
  uint32_t c = Next();
  while (c == 'b' || c == 'B' || c == 'i' || c == 'I') c = Next();
  Back();
  if (EndsNumber(c)) return Emit(ItemKind::kInteger);
  return LexString(/*quoted=*/false);
}

bool Lexer::LexFraction() {
  uint32_t c = Next();
  if (!IsDigit(c)) {
    return Fail(absl::StrFormat("Floats must have a digit after the '.', but got '%s' instead.",
                                Show(c)));
  }
  for (c = Next(); IsDigit(c); c = Next()) continue;
  const bool address = c == '.';
  if (address) {
    for (c = Next(); IsDigit(c) || c == '.' || c == ':' || c == '-'; c = Next()) continue;
  }
  Back();
  return Emit(address ? ItemKind::kString : ItemKind::kFloat);
}

bool Lexer::LexDatetime() {
  for (char want : std::string_view("00-00T00:00:00Z")) {
    const uint32_t c = Next();
    if (want == '0') {
      if (!IsDigit(c)) {
        return Fail(absl::StrFormat("Expected digit in ISO8601 datetime, but found '%s' instead.",
                                    Show(c)));
      }
    } else if (c != static_cast<uint32_t>(want)) {
      return Fail(absl::StrFormat("Expected '%c' in ISO8601 datetime, but found '%s' instead.",
                                  want, Show(c)));
    }
  }
  return Emit(ItemKind::kDatetime);
}

}  // namespace

std::vector<Item> Lex(std::string_view input) { return Lexer(input).Run(); }

}  // namespace millrace::config
