// SPDX-License-Identifier: Apache-2.0
// Row: one setting. Keys of the file, flags, --help, --print-config, defaults, bounds and reloads all come from it, so
// that a setting is described once, in the table of its block (broker/config/blocks).
// Owner:  immutable.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/table/changes.h"
#include "broker/config/table/diagnostics.h"
#include "broker/config/table/help_group.h"
#include "broker/config/table/member.h"

namespace millrace::config {

class Reading;   // reading.h
class Blocks;    // table.h
struct Block;
struct BlockEnd;
struct FlagTaken;
struct Value;

// A feature of the peer that this build lacks, and that a row asks for.
struct Lacking {
  std::string_view name = {};  // as texts call it
  enum class Policy : uint8_t {
    kRefuse,  // going on without it would be unsafe or useless
    kWarn,    // official client suites carry it in every configuration
  } policy = Policy::kRefuse;
  bool (*wanted)(const Value& value) = nullptr;  // null: what is not false, 0, "", [] or {}
};

// How a duration may be written in the file.
enum class DurationForm : uint8_t {
  kText,              // "2m"
  kTextOrSeconds,     // or, as once was usual, a number of seconds, with a warning
  kTextWithoutPlace,  // as kText; the peer's error does not say where
};

// How --print-config shows a row.
enum class Shown : uint8_t {
  kAlways,
  kNever,
  kComment,        // it would not be read back
  kCommentIfZero,  // the same of 0, which cannot be written down
  kUnlessEmpty,    // an empty text would be read as something else than nothing
};

// What a changed value means for a reload.
enum class OnReload : uint8_t {
  kRefuse,  // the whole reload is refused, with peer_name in the text
  kApply,   // applied and logged
  kIgnore,
};

struct Row {
  // --- where it is set
  std::string_view key = {};          // in the file, lower case; empty: a flag only
  std::string_view aliases = {};      // more keys, '|' between
  std::string_view old_aliases = {};  // the same, in no "did you mean"
  std::string_view error_name = {};   // in errors and the log, if not the key
  bool is_key = true;                 // false: texts name it by `key`, the file cannot
  bool is_hint = true;                // false: no "did you mean" names it
  std::string_view flags = {};        // as --help shows them, '|' between: "-p|--port"
  std::string_view value_name = {};   // "<port>" in --help
  std::string_view help = {};         // one line or more
  const HelpGroup* group = nullptr;
  // The place among all rows, which is that of the peer's fields: reloads are applied and logged, --print-config and
  // --help are written in this order.
  int order = 0;

  // --- what it holds
  const Member* member = nullptr;
  const Block* block = nullptr;      // keys within
  bool is_own_block = false;         // the block of our own, whose keys several tables bring
  std::string_view words = {};       // of kWord and of texts with few values, '|' between
  std::optional<std::string_view> (*canonical)(std::string_view word) = nullptr;  // of such a text; null: no such word
  DurationForm form = DurationForm::kText;
  bool fits_int32 = false;           // larger numbers are errors
  int64_t least = 0;                 // bounds, whichever way the value came
  int64_t most = 0;                  // 0: no bounds
  bool power_of_two = false;
  bool is_not_negative = false;      // of a duration
  bool zero_is_default = false;      // as to the peer
  bool any_port = false;             // -1 takes a free port, which a reload keeps
  Hook<void (*)(void* block, Reading&, const Value&)> read = {};  // null: by member or block
  bool wrong_ends_block = false;     // what follows in the block is not read, as in the peer
  const Lacking* lacking = nullptr;

  // --- flags
  bool off_ends_lacking = false;     // given as false, this flag takes back all others of the feature that is lacking
  // Sets several members, and wins over their own flags, whatever the order.
  Hook<void (*)(void* block, bool on, const FlagTaken&)> take_flag = {};

  // --- how it is shown
  bool secret = false;
  Shown shown = Shown::kAlways;
  Hook<std::string (*)(const void* block)> print_value = {};  // null: by the member
  Hook<std::string (*)(const void* block)> print_lines = {};  // what is printed below the block's members

  // --- reload
  OnReload on_reload = OnReload::kRefuse;
  std::string_view peer_name = {};  // in refusals
  std::string_view reloaded = {};   // the log's line, with the new value when it ends in a blank; empty: by the key
  bool is_silent_if_empty = false;  // no line when the new text is empty
  std::array<bool ReloadEffects::*, 2> effects = {};
  Hook<std::string (*)(const void* block)> reload_value = {};  // in texts; null: as printed
  Hook<std::string (*)(const void* block)> reload_line = {};   // null: by `reloaded`
  // What is special, at the row's place in the order.
  Hook<absl::Status (*)(const void* old, const void* now, PlannedChanges*)> plan = {};
};

// Keys in a block of the file, and what the peer says to wrong ones. In texts %T is the type of the value, %v the
// value, %s the key in quotes.
struct Block {
  std::span<const Row> rows = {};
  const Inside* inside = nullptr;  // null: of a feature that is lacking; keys are known or not, and nothing is kept
  bool any_key = false;            // each value is such a block, whatever its key
  std::string_view not_a_map = "interface conversion: interface {} is %T, not map[string]interface {}";
  std::string_view not_a_list = {};  // of lists of blocks
  std::string_view unknown = {};     // empty: "unknown field %s", with "did you mean"
  bool wrong_types_at_key = false;   // values of a wrong type are reported at the block's key, as in the peer
  // Once all keys are read. False: what was read is of no use, and with it the rest of a list.
  Hook<bool (*)(void* block, Reading&, const BlockEnd&)> finish = {};
};

bool IsList(const Block& block);

// True when `name` is one of the '|'-separated words.
bool OneOf(std::string_view words, std::string_view name);
bool HasKey(const Row& row, std::string_view lower_key);
// As written, without dashes in front; dashes and underscores within are the same.
bool HasFlag(const Row& row, std::string_view flag);

// The row that sets a member; there is one.
const Row& RowOf(std::span<const Row> rows, const Member& member);
template <auto member>
std::string_view NameOf(std::span<const Row> rows) {
  return RowOf(rows, kMember<member>).key;
}

std::string ValueText(const Row& row, const void* block);    // as in %v
int64_t ValueNumber(const Row& row, const void* block);      // of int and int64 members; else 0
bool IsZero(const Member& member, const void* block);        // 0, "" or 0s; false for kinds that have none
std::string WordsText(std::string_view words, std::string_view quote);  // "a, b or c"
std::optional<uint8_t> WordNumber(std::string_view words, std::string_view word);

}  // namespace millrace::config
