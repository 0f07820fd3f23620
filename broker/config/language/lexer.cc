// SPDX-License-Identifier: Apache-2.0
// Structure: keys, blocks, maps, arrays, includes.
#include <string>

#include "absl/strings/str_format.h"
#include "broker/config/language/lexer.h"

namespace millrace::config {

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

std::vector<Item> Lex(std::string_view input) { return Lexer(input).Run(); }

}  // namespace millrace::config
