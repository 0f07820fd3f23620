// SPDX-License-Identifier: Apache-2.0
// Values: strings, numbers, datetimes, variables.
#include <string>

#include "absl/strings/str_format.h"
#include "broker/config/language/lexer.h"

namespace millrace::config {

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

}  // namespace millrace::config
