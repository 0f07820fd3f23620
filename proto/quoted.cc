// SPDX-License-Identifier: Apache-2.0
#include "proto/quoted.h"

#include <cstdint>
#include <cstdio>

#include "proto/base/check.h"
#include "proto/utf8.h"

namespace millrace {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

uint32_t CodePoint(std::string_view utf8) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(utf8[i])); };
  MR_DCHECK(utf8.size() >= 2 && utf8.size() <= 4);
  uint32_t code = byte(0) & (0xFFu >> (utf8.size() + 1));
  for (size_t i = 1; i < utf8.size(); ++i) code = code << 6 | (byte(i) & 63);
  return code;
}

// What Go calls printable, as far as subjects care: no controls, blanks other than space, format characters, private
// use or noncharacters. Unassigned code points are let through.
bool IsPrintable(uint32_t code) {
  struct Range {
    uint32_t from, to;
  };
  constexpr Range kNot[] = {
      {0x80, 0xA0},     {0xAD, 0xAD},     {0x600, 0x605},   {0x61C, 0x61C},   {0x6DD, 0x6DD},     {0x70F, 0x70F},
      {0x1680, 0x1680}, {0x180E, 0x180E}, {0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x206F},   {0x3000, 0x3000},
      {0xD800, 0xF8FF}, {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0xE00FF}, {0xF0000, 0x10FFFF}};
  for (const Range& range : kNot) {
    if (code >= range.from && code <= range.to) return false;
  }
  return true;
}

// Bytes at the front that stand for themselves: subjects, and names in the answer to each publish, are of nothing else.
size_t PlainBytes(std::string_view text) {
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; };
  size_t n = 0;
  while (n < text.size() && is_plain(text[n])) ++n;
  return n;
}

}  // namespace

void AppendQuoted(std::string* out, std::string_view text) {
  out->push_back('"');
  while (!text.empty()) {
    const char c = text.front();
    const unsigned char byte = static_cast<unsigned char>(c);
    size_t n = 1;
    if (const size_t plain = PlainBytes(text); plain > 0) {
      out->append(text, 0, plain);
      n = plain;
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte >= 0x07 && byte <= 0x0d) {
      out->push_back('\\');
      out->push_back("abtnvfr"[byte - 0x07]);
    } else if (n = Utf8Bytes(text); n > 1) {
      const uint32_t code = CodePoint(text.substr(0, n));
      if (IsPrintable(code)) {
        out->append(text.substr(0, n));
      } else {
        char escape[12];
        std::snprintf(escape, sizeof escape, code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
        out->append(escape);
      }
    } else {
      out->append("\\x");
      out->push_back(kHexDigits[byte >> 4]);
      out->push_back(kHexDigits[byte & 15]);
      n = 1;
    }
    text.remove_prefix(n);
  }
  out->push_back('"');
}

std::string Quoted(std::string_view text) {
  std::string out;
  AppendQuoted(&out, text);
  return out;
}

}  // namespace millrace
