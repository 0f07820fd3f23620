// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/counter.h"

#include <map>
#include <vector>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/stream/decimal.h"
#include "broker/json/reader.h"
#include "broker/json/writer.h"
#include "proto/headers.h"

namespace millrace {
namespace {

using Sources = std::map<std::string, std::map<std::string, std::string>>;

// An object whose values are strings.
bool ReadStrings(std::string_view text, std::map<std::string, std::string>* out) {
  JsonMembers members(text);
  bool good = members.IsObjectOrNull();
  while (members.Next()) {
    const JsonValue& value = members.value();
    good = good && (value.kind == JsonKind::kString || value.kind == JsonKind::kNull);
    (*out)[members.key()] = value.string;
  }
  return good;
}

bool ReadSources(std::string_view text, Sources* sources) {
  JsonMembers members(text);
  bool good = members.IsObjectOrNull();
  while (members.Next()) good = ReadStrings(members.value().raw, &(*sources)[members.key()]) && good;
  return good;
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
  JsonMembers members(body);
  bool good = members.IsObjectOrNull();
  std::string text;
  while (members.Next()) {
    if (!JsonKeyMatches(members.key(), "val")) continue;
    const JsonValue& value = members.value();
    if (value.kind == JsonKind::kString) {
      text = value.string;
    } else if (value.kind != JsonKind::kNull) {
      good = false;
    }
  }
  if (!good) return std::nullopt;
  return text;
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
