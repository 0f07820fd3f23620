// SPDX-License-Identifier: Apache-2.0
// JsonWriter: writes JSON as Go's encoding/json does, to the byte: indents, escapes and numbers.
// Owner:  caller (pure).
// Use:    BeginObject(); Key("a"); Int(1); EndObject(); the caller keeps keys and values paired.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

enum class JsonLayout : uint8_t { kCompact, kIndent2, kIndent3 };  // three: /ipqueuesz alone

class JsonWriter {
 public:
  explicit JsonWriter(JsonLayout layout = JsonLayout::kIndent2) : layout_(layout) {}

  void BeginObject() { Open('{'); }
  void EndObject() { Close('}'); }
  void BeginArray() { Open('['); }
  void EndArray() { Close(']'); }
  void Key(std::string_view name);

  void String(std::string_view value);
  void Int(int64_t value);
  void Uint(uint64_t value);
  void Float(double value);
  void Bool(bool value);
  void Null();
  void Time(int64_t wall_ns);       // RFC 3339 in UTC with as many fraction digits as needed
  void LocalTime(int64_t wall_ns);  // the same in the time zone of the process
  void Strings(const std::vector<std::string>& values);
  // A value that is JSON already, compact and valid; written in this writer's layout.
  void Raw(std::string_view json);

  // Key and value in one call.
  void Put(std::string_view key, std::string_view value) { Key(key), String(value); }
  void PutInt(std::string_view key, int64_t value) { Key(key), Int(value); }
  void PutUint(std::string_view key, uint64_t value) { Key(key), Uint(value); }
  void PutFloat(std::string_view key, double value) { Key(key), Float(value); }
  void PutBool(std::string_view key, bool value) { Key(key), Bool(value); }
  void PutTime(std::string_view key, int64_t wall_ns) { Key(key), Time(wall_ns); }
  // The same, but nothing when the value is empty, zero or false.
  void Opt(std::string_view key, std::string_view value) {
    if (!value.empty()) Put(key, value);
  }
  void OptInt(std::string_view key, int64_t value) {
    if (value != 0) PutInt(key, value);
  }
  void OptUint(std::string_view key, uint64_t value) {
    if (value != 0) PutUint(key, value);
  }
  void OptFloat(std::string_view key, double value) {
    if (value != 0) PutFloat(key, value);
  }
  void OptBool(std::string_view key, bool value) {
    if (value) PutBool(key, value);
  }
  void OptTime(std::string_view key, int64_t wall_ns) {
    if (wall_ns != 0) PutTime(key, wall_ns);
  }
  void OptRaw(std::string_view key, std::string_view json) {
    if (!json.empty()) Key(key), Raw(json);
  }
  void OptStrings(std::string_view key, const std::vector<std::string>& values) {
    if (!values.empty()) Key(key), Strings(values);
  }

  const std::string& text() const { return out_; }
  std::string Take() && { return std::move(out_); }

 private:
  void Open(char bracket);
  void Close(char bracket);
  void BeforeValue();
  void NewLine();

  JsonLayout layout_;
  int depth_ = 0;
  bool empty_ = true;  // nothing written yet at this depth
  bool after_key_ = false;
  std::string out_;
};

}  // namespace millrace
