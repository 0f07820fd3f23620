// SPDX-License-Identifier: Apache-2.0
// Printer: walks the tables of fields.h and writes a struct as the peer's encoder does.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "broker/jetstream/api/enums.h"
#include "broker/jetstream/api/fields.h"
#include "broker/jetstream/api/go_time.h"
#include "broker/json/writer.h"

namespace millrace {

class Printer {
 public:
  explicit Printer(JsonWriter* json) : json_(*json) {}

  template <typename T>
  void Object(const T& value) {
    json_.BeginObject();
    GoStruct<T>::Fields(*this, value);
    json_.EndObject();
  }
  // The members alone, inside of an object that is being written.
  template <typename T>
  void Members(const T& value) {
    GoStruct<T>::Fields(*this, value);
  }

  void String(std::string_view name, const std::string& value, Omit omit = {}) {
    if (Wanted(omit, value.empty())) json_.Put(name, value);
  }
  void Bytes(std::string_view name, const std::string& value, Omit omit = {}) {
    if (Wanted(omit, value.empty())) json_.Put(name, absl::Base64Escape(value));
  }
  void Bool(std::string_view name, bool value, Omit omit = {}) {
    if (Wanted(omit, !value)) json_.PutBool(name, value);
  }
  void Int(std::string_view name, int64_t value, Omit omit = {}) {
    if (Wanted(omit, value == 0)) json_.PutInt(name, value);
  }
  void Int64(std::string_view name, int64_t value, Omit omit = {}) { Int(name, value, omit); }
  void Int32(std::string_view name, int64_t value, Omit omit = {}) { Int(name, value, omit); }
  void Duration(std::string_view name, int64_t value, Omit omit = {}) { Int(name, value, omit); }
  void Uint64(std::string_view name, uint64_t value, Omit omit = {}) {
    if (Wanted(omit, value == 0)) json_.PutUint(name, value);
  }
  void Time(std::string_view name, int64_t time_ns) { json_.Put(name, FormatGoTime(time_ns)); }
  // A time of this server, never 1970: 0 is as good as kGoZeroTimeNs for "not yet".
  void ServerTime(std::string_view name, int64_t time_ns) { Time(name, time_ns == 0 ? kGoZeroTimeNs : time_ns); }
  void OptTime(std::string_view name, const std::optional<int64_t>& time_ns) {
    if (time_ns) Time(name, *time_ns);
  }
  // A value that is JSON already.
  void Json(std::string_view name, const std::string& json) {
    if (json.empty()) return;
    json_.Key(name);
    json_.Raw(json);
  }
  template <typename E>
  void Enum(std::string_view name, E value, Omit omit = {}) {
    if (Wanted(omit, value == E{})) json_.Put(name, EnumText(value));
  }
  template <typename S>
  void Struct(std::string_view name, const S& value) {
    json_.Key(name);
    Object(value);
  }
  template <typename O>
  void OptStruct(std::string_view name, const O& value) {
    if (value) Struct(name, *value);
  }
  template <typename S>
  void Structs(std::string_view name, const std::vector<S>& value, Omit omit = {}) {
    List(name, value, omit, [this](const S& one) { Object(one); });
  }
  template <typename S>
  void PointerStructs(std::string_view name, const std::vector<S>& value, Omit omit = {}) {
    Structs(name, value, omit);
  }
  void Strings(std::string_view name, const std::vector<std::string>& value, Omit omit = {}) {
    List(name, value, omit, [this](const std::string& one) { json_.String(one); });
  }
  void Uints(std::string_view name, const std::vector<uint64_t>& value, Omit omit = {}) {
    List(name, value, omit, [this](uint64_t one) { json_.Uint(one); });
  }
  void Durations(std::string_view name, const std::vector<int64_t>& value, Omit omit = {}) {
    List(name, value, omit, [this](int64_t one) { json_.Int(one); });
  }
  void StringMap(std::string_view name, const std::map<std::string, std::string>& value, Omit omit = {}) {
    Map(name, value, omit, [this](const std::string& one) { json_.String(one); });
  }
  void CountMap(std::string_view name, const std::map<std::string, uint64_t>& value, Omit omit = {}) {
    Map(name, value, omit, [this](uint64_t one) { json_.Uint(one); });
  }
  template <typename S>
  void StructMap(std::string_view name, const std::map<std::string, S>& value, Omit omit = {}) {
    Map(name, value, omit, [this](const S& one) { Object(one); });
  }
  template <typename S>
  void Embed(std::string_view name, const S& value) {
    GoStruct<S>::Fields(*this, value);
  }

 private:
  static bool Wanted(Omit omit, bool empty) { return omit == Omit::kNever || !empty; }

  template <typename T, typename Write>
  void List(std::string_view name, const std::vector<T>& value, Omit omit, Write write) {
    if (!Wanted(omit, value.empty())) return;
    json_.Key(name);
    json_.BeginArray();
    for (const T& one : value) write(one);
    json_.EndArray();
  }
  template <typename T, typename Write>
  void Map(std::string_view name, const std::map<std::string, T>& value, Omit omit, Write write) {
    if (!Wanted(omit, value.empty())) return;
    json_.Key(name);
    json_.BeginObject();
    for (const auto& [key, one] : value) {
      json_.Key(key);
      write(one);
    }
    json_.EndObject();
  }

  JsonWriter& json_;
};

}  // namespace millrace
