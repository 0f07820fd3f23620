// SPDX-License-Identifier: Apache-2.0
// Value: one node of a parsed configuration file, with the place it came from.
// Owner:  caller (pure).
// Format: README.md, "The language" (rows G-01..G-18).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace millrace::config {

// Where a value stands. Columns count as the peer counts them: from 0 on the first line, from 1 on
// the others. A value in a map stands where its key stands; in an array, where it stands itself.
struct Position {
  uint32_t file = 0;  // index into Document::files
  int line = 0;
  int column = 0;
};

struct Value;
using Array = std::vector<Value>;
using Map = std::map<std::string, Value, std::less<>>;

struct Datetime {
  std::string text;  // "2026-01-02T03:04:05Z", checked
};

struct Value {
  std::variant<std::string, bool, int64_t, double, Datetime, Array, Map> data;
  Position at;
  uint32_t order = 0;             // rises with the place in the file, within one map
  bool used_as_variable = false;  // then an unknown key is not an error

  const Map* AsMap() const { return std::get_if<Map>(&data); }
  const Array* AsArray() const { return std::get_if<Array>(&data); }
  const std::string* AsString() const { return std::get_if<std::string>(&data); }
  const int64_t* AsInteger() const { return std::get_if<int64_t>(&data); }
  const bool* AsBool() const { return std::get_if<bool>(&data); }
  const double* AsFloat() const { return std::get_if<double>(&data); }
};

struct Document {
  std::vector<std::string> files;
  Map root;
  std::string digest;  // "sha256:<hex>" over CanonicalJson(root) and a newline

  std::string Place(const Position& at) const;  // "file:line:column"
};

// The entries of a map in the order of the file; the keys of JSON need them sorted, options do not.
std::vector<const Map::value_type*> InFileOrder(const Map& map);

// The peer's names of the types, which its error texts contain: "int64", "map[string]interface {}".
std::string_view PeerTypeName(const Value& value);

// What the peer prints for %v; nested values are abbreviated.
std::string PlainText(const Value& value);

// Sorted keys, no spaces, HTML characters escaped: byte for byte what the peer hashes.
std::string CanonicalJson(const Map& root);
std::string Digest(const Map& root);

}  // namespace millrace::config
