// SPDX-License-Identifier: Apache-2.0
#include "broker/json/reader.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/quoted.h"
#include "proto/utf8.h"

namespace millrace {
namespace {

constexpr size_t kDepthMax = 10'000;

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
size_t SkipBlanks(std::string_view text, size_t at) {
  while (at < text.size() && IsBlank(text[at])) ++at;
  return at;
}
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// A byte in an error message: quoted in single quotes, bytes from 0x80 as the code point of that number.
std::string QuoteByte(char c) {
  if (c == '\'') return "'\\''";
  if (c == '"') return "'\"'";
  std::string text;
  AppendUtf8(static_cast<unsigned char>(c), &text);
  const std::string quoted = Quoted(text);
  return "'" + quoted.substr(1, quoted.size() - 2) + "'";
}

// Checks the grammar with a stack of its own, because clients decide how deep values nest.
class Scanner {
 public:
  Scanner(std::string_view text, size_t at) : text_(text), at_(at) {}

  JsonScan Scan() {
    SkipBlanks();
    scan_.begin = at_;
    if (AtEnd()) return scan_;
    scan_.kind = JsonScan::Kind::kValue;
    bool ok = BeginValue();
    while (ok && !nesting_.empty()) ok = Continue();
    if (ok) scan_.end = at_;
    return scan_;
  }

 private:
  bool AtEnd() const { return at_ >= text_.size(); }
  void SkipBlanks() { at_ = millrace::SkipBlanks(text_, at_); }
  bool Wrong(std::string_view context) {
    if (AtEnd()) {
      scan_.kind = JsonScan::Kind::kTruncated;
      scan_.end = text_.size();
      return false;
    }
    scan_.kind = JsonScan::Kind::kSyntaxError;
    scan_.error = absl::StrFormat("invalid character %s %s", QuoteByte(text_[at_]), context);
    scan_.end = at_ + 1;
    return false;
  }
  bool Expect(bool (*is)(char), std::string_view context) {
    if (AtEnd() || !is(text_[at_])) return Wrong(context);
    ++at_;
    return true;
  }
  void Digits() {
    while (!AtEnd() && IsDigit(text_[at_])) ++at_;
  }

  // A value from its first byte: a literal whole, of an array or object the bracket and what must follow it.
  bool BeginValue() {
    SkipBlanks();
    if (AtEnd()) return Wrong("");
    switch (text_[at_]) {
      case '{':
      case '[':
        return Open();
      case '"':
        return String();
      case 't':
        return Word("true");
      case 'f':
        return Word("false");
      case 'n':
        return Word("null");
      default:
        if (text_[at_] == '-' || IsDigit(text_[at_])) return Number();
        return Wrong("looking for beginning of value");
    }
  }

  bool Open() {
    const char bracket = text_[at_];
    if (nesting_.size() >= kDepthMax) return Wrong("exceeded max depth");
    nesting_.push_back(bracket);
    ++at_;
    SkipBlanks();
    if (!AtEnd() && text_[at_] == (bracket == '{' ? '}' : ']')) return Close();
    return bracket == '{' ? Key() : BeginValue();
  }

  bool Close() {
    MR_DCHECK(!nesting_.empty() && text_[at_] == (nesting_.back() == '{' ? '}' : ']'));
    ++at_;
    nesting_.pop_back();
    return true;
  }

  // A key, its colon and the begin of its value.
  bool Key() {
    SkipBlanks();
    if (AtEnd() || text_[at_] != '"') return Wrong("looking for beginning of object key string");
    if (!String()) return false;
    SkipBlanks();
    if (AtEnd() || text_[at_] != ':') return Wrong("after object key");
    ++at_;
    return BeginValue();
  }

  // Behind a member of the innermost array or object.
  bool Continue() {
    MR_DCHECK(!nesting_.empty() && nesting_.size() <= kDepthMax);
    SkipBlanks();
    const bool object = nesting_.back() == '{';
    const std::string_view context = object ? "after object key:value pair" : "after array element";
    if (AtEnd()) return Wrong(context);
    if (text_[at_] == (object ? '}' : ']')) return Close();
    if (text_[at_] != ',') return Wrong(context);
    ++at_;
    return object ? Key() : BeginValue();
  }

  bool String() {
    MR_DCHECK(text_[at_] == '"');
    ++at_;
    while (!AtEnd()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return Wrong("in string literal");
      ++at_;
      if (c == '\\' && !Escape()) return false;
    }
    return Wrong("");
  }

  bool Escape() {
    if (!AtEnd() && text_[at_] == 'u') {
      ++at_;
      for (int i = 0; i < 4; ++i) {
        if (!Expect(IsHex, "in \\u hexadecimal character escape")) return false;
      }
      return true;
    }
    const auto is_escape = [](char c) { return std::string_view("bfnrt\\/\"").find(c) != std::string_view::npos; };
    return Expect(is_escape, "in string escape code");
  }

  bool Number() {
    if (text_[at_] == '-') ++at_;
    if (!AtEnd() && text_[at_] == '0') {
      ++at_;
    } else {
      if (!Expect(IsDigit, "in numeric literal")) return false;
      Digits();
    }
    if (!AtEnd() && text_[at_] == '.') {
      ++at_;
      if (!Expect(IsDigit, "after decimal point in numeric literal")) return false;
      Digits();
    }
    if (!AtEnd() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (!AtEnd() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!Expect(IsDigit, "in exponent of numeric literal")) return false;
      Digits();
    }
    return true;
  }

  bool Word(std::string_view word) {
    for (size_t i = 0; i < word.size(); ++i, ++at_) {
      if (AtEnd() || text_[at_] != word[i])
        return Wrong(absl::StrFormat("in literal %s (expecting '%c')", word, word[i]));
    }
    return true;
  }

  std::string_view text_;
  size_t at_;
  std::vector<char> nesting_;
  JsonScan scan_;
};

// Takes four hexadecimal digits, which the scanner has seen.
uint32_t TakeHex4(std::string_view* rest) {
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(rest->data(), rest->data() + 4, code, 16);
  MR_CHECK(error == std::errc() && end == rest->data() + 4);
  rest->remove_prefix(4);
  return code;
}

// Takes an escape from its backslash on; two that are a pair of surrogates are one character.
void TakeEscape(std::string_view* rest, std::string* out) {
  MR_CHECK(rest->size() >= 2);
  const char c = (*rest)[1];
  rest->remove_prefix(2);
  if (c != 'u') {
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    const size_t i = kFrom.find(c);
    MR_CHECK(i != std::string_view::npos);
    out->push_back(kTo[i]);
    return;
  }
  const uint32_t code = TakeHex4(rest);
  if (code < 0xD800 || code >= 0xE000) return AppendUtf8(code, out);
  if (code < 0xDC00 && rest->substr(0, 2) == "\\u") {
    std::string_view behind = rest->substr(2);
    const uint32_t low = TakeHex4(&behind);
    if (low >= 0xDC00 && low < 0xE000) {
      *rest = behind;
      return AppendUtf8(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), out);
    }
  }
  out->append(kUtf8Replacement);
}

// A well-formed JSON string in quotes, as text.
std::string Unquote(std::string_view quoted) {
  MR_CHECK(quoted.size() >= 2 && quoted.front() == '"' && quoted.back() == '"');
  std::string_view rest = quoted.substr(1, quoted.size() - 2);
  const auto is_plain = [](char c) { return c != '\\' && static_cast<unsigned char>(c) < 0x80; };
  const auto plain = static_cast<size_t>(std::find_if_not(rest.begin(), rest.end(), is_plain) - rest.begin());
  std::string text(rest.substr(0, plain));
  rest.remove_prefix(plain);
  while (!rest.empty()) {
    if (rest.front() == '\\') {
      TakeEscape(&rest, &text);
      continue;
    }
    const size_t bytes = Utf8Bytes(rest);
    text.append(bytes == 0 ? kUtf8Replacement : rest.substr(0, bytes));
    rest.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return text;
}

}  // namespace

JsonScan ScanJson(std::string_view text, size_t at) { return Scanner(text, at).Scan(); }

std::string CheckNothingFollows(std::string_view text, size_t at) {
  at = SkipBlanks(text, at);
  if (at >= text.size()) return "";
  return absl::StrFormat("invalid character %s after top-level value", QuoteByte(text[at]));
}

void JsonCursor::SkipBlanks() { at_ = millrace::SkipBlanks(text_, at_); }

JsonKind JsonCursor::Peek() {
  SkipBlanks();
  MR_CHECK(at_ < text_.size());
  switch (text_[at_]) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
    case 'f':
      return JsonKind::kBool;
    case 'n':
      return JsonKind::kNull;
    default:
      return JsonKind::kNumber;
  }
}

std::string_view JsonCursor::Raw() {
  const JsonScan scan = ScanJson(text_, at_);
  MR_CHECK(scan.kind == JsonScan::Kind::kValue);
  at_ = scan.end;
  return text_.substr(scan.begin, scan.end - scan.begin);
}

std::string JsonCursor::ReadString() { return Unquote(Raw()); }

bool JsonCursor::Enter() {
  const JsonKind kind = Peek();
  MR_CHECK(kind == JsonKind::kObject || kind == JsonKind::kArray);
  ++at_;
  SkipBlanks();
  MR_CHECK(at_ < text_.size());
  if (text_[at_] != '}' && text_[at_] != ']') return true;
  ++at_;
  return false;
}

bool JsonCursor::Next() {
  if (failed_) return false;  // nobody reads on
  SkipBlanks();
  MR_CHECK(at_ < text_.size() && std::string_view(",}]").find(text_[at_]) != std::string_view::npos);
  return text_[at_++] == ',';
}

std::string JsonCursor::ReadKey() {
  std::string key = ReadString();
  SkipBlanks();
  MR_CHECK(at_ < text_.size() && text_[at_] == ':');
  ++at_;
  return key;
}

void JsonCursor::Push(std::string_view struct_name, std::string_view embedded, std::string_view field) {
  MR_CHECK(!struct_name.empty() && !field.empty());
  struct_name_ = struct_name;
  if (!embedded.empty()) path_.push_back(embedded);
  path_.push_back(field);
}

void JsonCursor::Restore(const Context& context) {
  MR_CHECK_OP(context.path_size, <=, path_.size());
  struct_name_ = context.struct_name;
  path_.resize(context.path_size);
}

void JsonCursor::SaveError(std::string error) {
  if (error_.empty()) error_ = std::move(error);
}

void JsonCursor::Fail(std::string error) {
  MR_DCHECK(!failed_ && !error.empty());  // it ends the walk
  failed_ = true;
  error_ = std::move(error);
}

std::string JsonCursor::TypeError(std::string_view value, std::string_view go_type) const {
  if (struct_name_.empty() && path_.empty())
    return absl::StrFormat("json: cannot unmarshal %s into Go value of type %s", value, go_type);
  std::string path;
  for (const std::string_view part : path_) {
    if (!path.empty()) path += '.';
    path += part;
  }
  return absl::StrFormat("json: cannot unmarshal %s into Go struct field %s.%s of type %s", value, struct_name_, path,
                         go_type);
}

void JsonCursor::Mismatch(std::string_view go_type) {
  constexpr std::string_view kNames[] = {"null", "bool", "number", "string", "array", "object"};
  SaveTypeError(kNames[static_cast<size_t>(Peek())], go_type);
  Skip();
}

void JsonCursor::UnknownField(const std::string& key, bool refuse) {
  unknown_fields_.push_back(key);
  if (refuse) SaveError(absl::StrFormat("json: unknown field %s", Quoted(key)));
}

bool JsonValue::AsInteger(int64_t* value) const {
  if (kind != JsonKind::kNumber) return false;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), *value);
  return error == std::errc() && end == raw.data() + raw.size();
}

JsonMembers::JsonMembers(std::string_view text) : cursor_(text, 0) {
  const JsonScan scan = ScanJson(text, 0);
  if (scan.kind != JsonScan::Kind::kValue || SkipBlanks(text, scan.end) != text.size()) return;
  switch (cursor_.Peek()) {
    case JsonKind::kObject:
      status_ = JsonStatus::kObject;
      at_ = At::kBegin;
      return;
    case JsonKind::kNull:
      status_ = JsonStatus::kNull;
      return;
    default:
      status_ = JsonStatus::kOther;
  }
}

bool JsonMembers::Next() {
  const bool more = at_ == At::kBegin ? cursor_.Enter() : at_ == At::kMember && cursor_.Next();
  at_ = more ? At::kMember : At::kEnd;
  if (!more) return false;
  key_ = cursor_.ReadKey();
  value_.kind = cursor_.Peek();
  value_.raw = cursor_.Raw();
  value_.boolean = value_.kind == JsonKind::kBool && value_.raw.front() == 't';
  if (value_.kind == JsonKind::kString) {
    value_.string = Unquote(value_.raw);
  } else {
    value_.string.clear();
  }
  return true;
}

bool JsonKeyMatches(std::string_view key, std::string_view field) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  size_t at = 0;
  for (const char wanted : field) {
    if (at >= key.size()) return false;
    char c = upper(key[at]);
    size_t bytes = 1;
    if (key.substr(at, 2) == "\u017f") c = 'S', bytes = 2;  // long s
    if (key.substr(at, 3) == "\u212a") c = 'K', bytes = 3;  // Kelvin
    if (c != upper(wanted)) return false;
    at += bytes;
  }
  return at == key.size();
}

}  // namespace millrace
