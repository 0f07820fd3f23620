// SPDX-License-Identifier: Apache-2.0
#include "proto/json_reader.h"

#include <charconv>

#include "proto/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void AppendUtf8(std::string* out, uint32_t code) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | code >> 6);
    *out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xE0 | code >> 12);
    *out += static_cast<char>(0x80 | (code >> 6 & 63));
    *out += static_cast<char>(0x80 | (code & 63));
  } else {
    MR_DCHECK(code <= 0x10FFFF);
    *out += static_cast<char>(0xF0 | code >> 18);
    *out += static_cast<char>(0x80 | (code >> 12 & 63));
    *out += static_cast<char>(0x80 | (code >> 6 & 63));
    *out += static_cast<char>(0x80 | (code & 63));
  }
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  JsonStatus Top(JsonMemberVisitor* visitor) {
    SkipBlanks();
    JsonValue value;
    if (!Value(&value, 0, visitor)) return JsonStatus::kInvalid;
    SkipBlanks();
    if (at_ != text_.size()) return JsonStatus::kInvalid;
    if (value.kind == JsonValue::Kind::kObject) return JsonStatus::kObject;
    return value.kind == JsonValue::Kind::kNull ? JsonStatus::kNull : JsonStatus::kOther;
  }

 private:
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void SkipBlanks() {
    while (!AtEnd() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n')) ++at_;
  }
  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool Value(JsonValue* value, int depth, JsonMemberVisitor* visitor) {
    if (depth > kJsonDepthMax) return false;
    const size_t from = at_;
    bool ok = false;
    switch (Peek()) {
      case '{':
        value->kind = JsonValue::Kind::kObject;
        ok = Object(depth, visitor);
        break;
      case '[':
        value->kind = JsonValue::Kind::kArray;
        ok = Array(depth);
        break;
      case '"':
        value->kind = JsonValue::Kind::kString;
        ok = String(&value->string);
        break;
      case 't':
      case 'f':
        value->kind = JsonValue::Kind::kBool;
        value->boolean = Peek() == 't';
        ok = Word(value->boolean ? "true" : "false");
        break;
      case 'n':
        value->kind = JsonValue::Kind::kNull;
        ok = Word("null");
        break;
      default:
        value->kind = JsonValue::Kind::kNumber;
        ok = Number();
    }
    MR_DCHECK(from <= at_ && at_ <= text_.size());
    value->raw = text_.substr(from, at_ - from);
    return ok;
  }

  bool Object(int depth, JsonMemberVisitor* visitor) {
    Take('{');
    SkipBlanks();
    if (Take('}')) return true;
    do {
      SkipBlanks();
      std::string key;
      if (!String(&key)) return false;
      SkipBlanks();
      if (!Take(':')) return false;
      SkipBlanks();
      JsonValue value;
      if (!Value(&value, depth + 1, nullptr)) return false;
      if (visitor != nullptr) visitor->OnMember(key, value);
      SkipBlanks();
    } while (Take(','));
    return Take('}');
  }

  bool Array(int depth) {
    Take('[');
    SkipBlanks();
    if (Take(']')) return true;
    do {
      SkipBlanks();
      JsonValue value;
      if (!Value(&value, depth + 1, nullptr)) return false;
      SkipBlanks();
    } while (Take(','));
    return Take(']');
  }

  bool Digits() {
    const size_t from = at_;
    while (!AtEnd() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > from;
  }

  bool Number() {
    Take('-');
    if (!Take('0') && !Digits()) return false;
    if (Take('.') && !Digits()) return false;
    if (Peek() == 'e' || Peek() == 'E') {
      ++at_;
      if (!Take('+')) Take('-');
      if (!Digits()) return false;
    }
    return true;
  }

  bool Hex4(uint32_t* code) {
    if (at_ + 4 > text_.size()) return false;
    const char* from = text_.data() + at_;
    const auto [end, error] = std::from_chars(from, from + 4, *code, 16);
    if (error != std::errc() || end != from + 4) return false;
    at_ += 4;
    return true;
  }

  bool Escape(std::string* out) {
    if (AtEnd()) return false;
    const char c = text_[at_++];
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (const size_t i = kFrom.find(c); i != std::string_view::npos) {
      *out += kTo[i];
      return true;
    }
    uint32_t code = 0;
    if (c != 'u' || !Hex4(&code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      const size_t back = at_;
      uint32_t low = 0;
      if (Word("\\u") && Hex4(&low) && low >= 0xDC00 && low < 0xE000) {
        AppendUtf8(out, 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
        return true;
      }
      at_ = back;
      code = 0xFFFD;
    } else if (code >= 0xDC00 && code < 0xE000) {
      code = 0xFFFD;
    }
    AppendUtf8(out, code);
    return true;
  }

  // Bytes of the well-formed UTF-8 sequence at `at_`, or 0.
  size_t Utf8Bytes() const {
    const auto byte = [this](size_t i) { return i < text_.size() ? static_cast<unsigned char>(text_[i]) : 0u; };
    const auto more = [&byte](size_t i) { return (byte(i) & 0xC0) == 0x80; };
    const unsigned first = byte(at_);
    if (first >= 0xC2 && first <= 0xDF) return more(at_ + 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
      const unsigned second = byte(at_ + 1);
      const bool ok =
          more(at_ + 1) && more(at_ + 2) && !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F);
      return ok ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
      const unsigned second = byte(at_ + 1);
      const bool ok = more(at_ + 1) && more(at_ + 2) && more(at_ + 3) && !(first == 0xF0 && second < 0x90) &&
                      !(first == 0xF4 && second > 0x8F);
      return ok ? 4 : 0;
    }
    return 0;
  }

  bool String(std::string* out) {
    if (!Take('"')) return false;
    while (!AtEnd()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < 0x20) return false;
      if (c == '\\') {
        ++at_;
        if (!Escape(out)) return false;
      } else if (c < 0x80) {
        *out += static_cast<char>(c);
        ++at_;
      } else if (const size_t bytes = Utf8Bytes(); bytes > 0) {
        out->append(text_, at_, bytes);
        at_ += bytes;
      } else {
        *out += kReplacement;
        ++at_;
      }
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

bool JsonValue::AsInteger(int64_t* value) const {
  if (kind != Kind::kNumber) return false;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), *value);
  return error == std::errc() && end == raw.data() + raw.size();
}

JsonStatus ReadJsonObject(std::string_view text, JsonMemberVisitor* visitor) { return Scanner(text).Top(visitor); }

}  // namespace millrace
