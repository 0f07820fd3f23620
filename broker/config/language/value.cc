// SPDX-License-Identifier: Apache-2.0
#include "broker/config/language/value.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "proto/base/check.h"

namespace millrace::config {
namespace {

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (size_t i = 0; i < text.size();) {
    const DecodedRune rune = DecodeRune(text.substr(i));
    const std::string_view bytes = text.substr(i, rune.bytes);
    i += rune.bytes;
    switch (rune.code) {
      case '"': out->append("\\\""); continue;
      case '\\': out->append("\\\\"); continue;
      case '\b': out->append("\\b"); continue;
      case '\f': out->append("\\f"); continue;
      case '\n': out->append("\\n"); continue;
      case '\r': out->append("\\r"); continue;
      case '\t': out->append("\\t"); continue;
      case kRuneError:
        if (rune.bytes == 1) {
          out->append("\\ufffd");
          continue;
        }
        break;
      default: break;
    }
    const bool html = rune.code == '<' || rune.code == '>' || rune.code == '&';
    if (rune.code < 0x20 || html || rune.code == 0x2028 || rune.code == 0x2029) {
      out->append(absl::StrFormat("\\u%04x", rune.code));
    } else {
      out->append(bytes);
    }
  }
  out->push_back('"');
}

// Shortest digits that read back the same; exponent form below 1e-6 and from 1e21 on.
void AppendJsonFloat(double number, std::string* out) {
  const double size = std::fabs(number);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  std::array<char, 400> text;
  const auto result =
      std::to_chars(text.data(), text.data() + text.size(), number,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  MR_CHECK(result.ec == std::errc());
  std::string digits(text.data(), result.ptr);
  // A negative exponent of one digit is written e-7, not e-07.
  const size_t n = digits.size();
  if (exponent && n >= 4 && digits[n - 4] == 'e' && digits[n - 3] == '-' && digits[n - 2] == '0') {
    digits.erase(n - 2, 1);
  }
  out->append(digits);
}

void AppendJson(const Value& value, std::string* out);

void AppendJsonMap(const Map& map, std::string* out) {
  out->push_back('{');
  bool first = true;
  for (const auto& [key, value] : map) {
    if (!first) out->push_back(',');
    first = false;
    AppendJsonString(key, out);
    out->push_back(':');
    AppendJson(value, out);
  }
  out->push_back('}');
}

struct JsonAppender {
  std::string* out;
  void operator()(const std::string& text) const { AppendJsonString(text, out); }
  void operator()(bool flag) const { out->append(flag ? "true" : "false"); }
  void operator()(int64_t number) const { out->append(std::to_string(number)); }
  void operator()(double number) const { AppendJsonFloat(number, out); }
  void operator()(const Datetime& datetime) const { AppendJsonString(datetime.text, out); }
  void operator()(const Map& map) const { AppendJsonMap(map, out); }
  void operator()(const Array& array) const {
    out->push_back('[');
    for (size_t i = 0; i < array.size(); ++i) {
      if (i > 0) out->push_back(',');
      AppendJson(array[i], out);
    }
    out->push_back(']');
  }
};

void AppendJson(const Value& value, std::string* out) { std::visit(JsonAppender{out}, value.data); }

}  // namespace

std::string Document::Place(const Position& at) const {
  return absl::StrFormat("%s:%d:%d", at.file < files.size() ? files[at.file] : std::string(),
                         at.line, at.column);
}

std::vector<const Map::value_type*> InFileOrder(const Map& map) {
  std::vector<const Map::value_type*> entries;
  entries.reserve(map.size());
  for (const auto& entry : map) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const auto* a, const auto* b) { return a->second.order < b->second.order; });
  return entries;
}

std::string_view PeerTypeName(const Value& value) {
  static constexpr std::string_view kNames[] = {
      "string", "bool", "int64", "float64", "time.Time", "[]interface {}",
      "map[string]interface {}"};
  return kNames[value.data.index()];
}

std::string PlainText(const Value& value) {
  if (const auto* text = value.AsString()) return *text;
  if (const auto* flag = value.AsBool()) return *flag ? "true" : "false";
  if (const auto* number = value.AsInteger()) return std::to_string(*number);
  if (const auto* number = value.AsFloat()) return FormatFloat(*number);
  if (value.AsMap() != nullptr) return "map[...]";
  if (value.AsArray() != nullptr) return "[...]";
  return std::get<Datetime>(value.data).text;
}

std::string CanonicalJson(const Map& root) {
  std::string out;
  AppendJsonMap(root, &out);
  return out;
}

std::string Digest(const Map& root) {
  const std::string json = CanonicalJson(root) + "\n";
  std::array<unsigned char, WC_SHA256_DIGEST_SIZE> hash;
  wc_Sha256 sha;
  MR_CHECK(wc_InitSha256(&sha) == 0);
  MR_CHECK(wc_Sha256Update(&sha, reinterpret_cast<const unsigned char*>(json.data()),
                           static_cast<word32>(json.size())) == 0);
  MR_CHECK(wc_Sha256Final(&sha, hash.data()) == 0);
  wc_Sha256Free(&sha);
  std::string text = "sha256:";
  for (unsigned char byte : hash) text += absl::StrFormat("%02x", byte);
  return text;
}

}  // namespace millrace::config
