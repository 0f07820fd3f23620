// SPDX-License-Identifier: Apache-2.0
// Reading: turns the tree of a configuration file into blocks of options, by their rows (rows G-16, G-17, G-20..G-27).
// Owner:  caller (pure).
// Errors: collected in Diagnostics, in the order of the file; the texts are the peer's.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/config/language/value.h"
#include "broker/config/table/diagnostics.h"
#include "broker/config/table/origins.h"
#include "broker/config/table/row.h"

namespace millrace::config {

// Rows, and the block that they set.
struct RowsOf {
  std::span<const Row> rows;
  void* block;
};
using Scope = std::vector<RowsOf>;

// A block whose keys are all read.
struct BlockEnd {
  const Value* value;  // the block
  const Value* last;   // its last key's value, or the block: where the peer reports what is missing
  std::vector<const Member*> got = {};

  template <auto member>
  bool Got() const {  // the key is there, and of use
    for (const Member* each : got) {
      if (each == &kMember<member>) return true;
    }
    return false;
  }
};

class Reading {
 public:
  // `own`: the rows in the block of our own.
  Reading(const Document& document, Scope own, Diagnostics* diagnostics, Origins* origins)
      : document_(document), own_(std::move(own)), diagnostics_(*diagnostics), origins_(*origins) {}

  void ReadFile(const Scope& top);  // all of document.root
  // A map, or a list of maps, with the keys of `block`, whose struct is within `outer`. False: of no use.
  bool ReadBlock(const Block& block, const Value& value, void* outer);

  // --- for rows with a reader of their own
  const Row& row() const { return *row_; }
  const std::string& key() const { return key_; }  // as the file spells it
  void Error(const Value& value, std::string_view reason);
  bool has_errors() const { return !diagnostics_.errors.empty(); }  // of all that has been read
  void ErrorWithoutPlace(std::string reason);  // the peer loses the place of some
  void Warn(const Value& value, std::string_view field, std::string_view reason);
  void Warn(const Value& value, std::string_view text);
  void Note(const Member& member, const Value& value);  // has its value from here

  // The value when it has the wanted type; otherwise the error is noted.
  const std::string* String(const Value& value);
  const bool* Bool(const Value& value);
  const int64_t* Integer(const Value& value);
  std::optional<int> Int(const Value& value);  // also refuses what does not fit
  // `name`: what errors and warnings call it.
  std::optional<std::chrono::nanoseconds> Duration(const Value& value, DurationForm form, std::string_view name);

 private:
  bool ReadList(const Block& block, const Value& value, void* outer);
  // `rules`: of the block around, null at the top and in the block of our own.
  bool ReadKeys(const Scope& scope, const Block* rules, const Value* around, const Map& map, BlockEnd* end);
  bool ReadRow(const RowsOf& found, const Row& row, const std::string& key, const Value& value);
  void ReadOwnBlock(const Value& value);
  void ReadMember(const Row& row, const Value& value, void* block);
  void ReadInteger(const Row& row, const Value& value, void* block);
  void ReadDuration(const Row& row, const Value& value, void* block);
  void ReadWord(const Row& row, const Value& value, void* block);
  void CheckLacking(const Row& row, const Value& value);
  void CheckKnown(const Block& block, const Value& value);
  void Unknown(const Scope& scope, const Block* rules, const std::string& key, const Value& value);
  void WrongType(const Value& value, std::string_view wanted);

  const Document& document_;
  const Scope own_;
  Diagnostics& diagnostics_;
  Origins& origins_;
  const Row* row_ = nullptr;
  std::string key_;
  std::vector<std::string_view> path_;      // keys of the rows around, and of the one that is read
  const Value* wrong_types_at_ = nullptr;  // null: at the value
};

// `origin` is "flag -tls" or "tls at file:line:column".
void NoteLacking(const Lacking& lacking, std::string_view origin, Diagnostics* diagnostics);
// Not false, 0, "", "disabled", [], {} or a block with `enabled: false`.
bool IsWanted(const Value& value);

}  // namespace millrace::config
