// SPDX-License-Identifier: Apache-2.0
#include "broker/config/language/value.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/json/writer.h"
#include "proto/base/check.h"

namespace millrace::config {
namespace {

struct JsonValueWriter {
  JsonWriter* json;
  void operator()(const std::string& text) const { json->String(text); }
  void operator()(bool flag) const { json->Bool(flag); }
  void operator()(int64_t number) const { json->Int(number); }
  void operator()(double number) const { json->Float(number); }
  void operator()(const Datetime& datetime) const { json->String(datetime.text); }
  void operator()(const Map& map) const {
    json->BeginObject();
    for (const auto& [key, value] : map) {
      json->Key(key);
      std::visit(*this, value.data);
    }
    json->EndObject();
  }
  void operator()(const Array& array) const {
    json->BeginArray();
    for (const Value& value : array) std::visit(*this, value.data);
    json->EndArray();
  }
};

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
  JsonWriter json(JsonLayout::kCompact);
  JsonValueWriter{&json}(root);
  return std::move(json).Take();
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
