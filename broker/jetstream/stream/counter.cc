// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/counter.h"

#include <map>
#include <vector>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/decimal.h"
#include "broker/json/writer.h"
#include "proto/headers.h"
#include "proto/json_reader.h"

namespace millrace {
namespace {

using Sources = std::map<std::string, std::map<std::string, std::string>>;

bool EqualFold(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char lower = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
    if (lower != b[i]) return false;
  }
  return true;
}

// Collects the members of an object whose values are strings.
class StringMembers final : public JsonMemberVisitor {
 public:
  explicit StringMembers(std::map<std::string, std::string>* out) : out_(*out) {}
  void OnMember(const std::string& key, const JsonValue& value) override {
    if (value.kind == JsonValue::Kind::kString) {
      out_[key] = value.string;
    } else if (value.kind == JsonValue::Kind::kNull) {
      out_[key] = "";
    } else {
      good_ = false;
    }
  }
  bool good() const { return good_; }

 private:
  std::map<std::string, std::string>& out_;
  bool good_ = true;
};

bool Read(JsonStatus status) { return status == JsonStatus::kObject || status == JsonStatus::kNull; }

class SourceMembers final : public JsonMemberVisitor {
 public:
  explicit SourceMembers(Sources* out) : out_(*out) {}
  void OnMember(const std::string& key, const JsonValue& value) override {
    StringMembers inner(&out_[key]);
    good_ = good_ && Read(ReadJsonObject(value.raw, &inner)) && inner.good();
  }
  bool good() const { return good_; }

 private:
  Sources& out_;
  bool good_ = true;
};

// The one member that counts; its name in any case, as Go reads it.
class ValueMember final : public JsonMemberVisitor {
 public:
  void OnMember(const std::string& key, const JsonValue& value) override {
    if (!EqualFold(key, "val")) return;
    if (value.kind == JsonValue::Kind::kString) {
      text = value.string;
    } else if (value.kind != JsonValue::Kind::kNull) {
      good = false;
    }
  }
  std::string text;
  bool good = true;
};

bool ReadSources(std::string_view text, Sources* sources) {
  SourceMembers members(sources);
  return Read(ReadJsonObject(text, &members)) && members.good();
}

std::string PrintSources(const Sources& sources) {
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  for (const auto& [stream, subjects] : sources) {
    json.Key(stream);
    json.BeginObject();
    for (const auto& [subject, value] : subjects) json.Put(subject, value);
    json.EndObject();
  }
  json.EndObject();
  return std::move(json).Take();
}

// A text that is no number counts as 0, as at the peer.
Decimal NumberOf(std::string_view text) { return Decimal::Parse(text).value_or(Decimal{}); }

std::string_view Word(std::string_view text, size_t index) {
  for (; index > 0; --index) {
    const size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return {};
    text.remove_prefix(blank + 1);
  }
  return text.substr(0, text.find(' '));
}

}  // namespace

std::optional<std::string> ReadCounterValue(std::string_view body) {
  ValueMember member;
  if (!Read(ReadJsonObject(body, &member)) || !member.good) return std::nullopt;
  return member.text;
}

std::optional<CounterResult> ApplyIncrement(const CounterBefore& before, std::string_view subject,
                                            std::string_view increment, std::string_view stream_source,
                                            std::string_view header, std::string_view body) {
  Decimal total;
  Sources sources;
  if (before.exists) {
    const std::optional<std::string> value = ReadCounterValue(before.body);
    if (!value) return std::nullopt;
    if (const auto field = FindHeader(before.header, kCounterSourcesHeader); field && !field->empty()) {
      if (!ReadSources(*field, &sources)) return std::nullopt;
    }
    total = NumberOf(*value);
  }
  CounterResult result;
  result.header = header;
  Decimal added = NumberOf(increment);
  if (!stream_source.empty()) {
    const std::optional<std::string> value = ReadCounterValue(body);
    if (!value) return std::nullopt;
    const std::string_view origin_subject = Word(stream_source, 4);
    std::string& last = sources[std::string(Word(stream_source, 0))]
                               [std::string(origin_subject.empty() ? subject : origin_subject)];
    const Decimal now = NumberOf(*value);
    added = now - NumberOf(last);
    last = now.ToString();
    SetHeader(&result.header, kIncrementHeader, added.ToString());
  }
  result.value = (total + added).ToString();
  result.body = "{\"val\":\"" + result.value + "\"}";
  if (!sources.empty()) SetHeader(&result.header, kCounterSourcesHeader, PrintSources(sources));
  return result;
}

}  // namespace millrace
