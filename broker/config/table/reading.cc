// SPDX-License-Identifier: Apache-2.0
#include "broker/config/table/reading.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/config/table/hint.h"

namespace millrace::config {
namespace {

std::string Replaced(std::string_view text, std::string_view mark, std::string_view by) {
  std::string result(text);
  if (const size_t at = result.find(mark); at != std::string::npos) result.replace(at, mark.size(), by);
  return result;
}

// The texts of Block for a value of a wrong type.
std::string AboutValue(std::string_view text, const Value& value) {
  return Replaced(Replaced(text, "%T", PeerTypeName(value)), "%v", PlainText(value));
}

// All keys for "did you mean", '|' after each: what is lacking first, as more is asked for it than it has keys.
std::string HintsOf(const Scope& scope) {
  std::vector<const Row*> rows;
  for (const RowsOf& part : scope) {
    for (const Row& row : part.rows) {
      if (row.is_key && row.is_hint && !row.key.empty()) rows.push_back(&row);
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) {
    const bool a_lacks = a->lacking != nullptr, b_lacks = b->lacking != nullptr;
    return a_lacks != b_lacks ? a_lacks : a->order < b->order;
  });
  std::string keys;
  for (const Row* row : rows) {
    keys += std::string(row->key) + "|";
    if (!row->aliases.empty()) keys += std::string(row->aliases) + "|";
  }
  return keys;
}

const Row* FindKey(std::span<const Row> rows, std::string_view lower_key) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return HasKey(row, lower_key); });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

// --- what readers use

void Reading::Error(const Value& value, std::string_view reason) {
  diagnostics_.errors.push_back(document_.Place(value.at) + ": " + std::string(reason));
}

void Reading::ErrorWithoutPlace(std::string reason) { diagnostics_.errors.push_back(std::move(reason)); }

void Reading::Warn(const Value& value, std::string_view field, std::string_view reason) {
  diagnostics_.warnings.push_back(
      absl::StrFormat("%s: invalid use of field %s: %s", document_.Place(value.at), Quoted(field), reason));
}

void Reading::Warn(const Value& value, std::string_view text) {
  diagnostics_.warnings.push_back(absl::StrFormat("%s: %s", document_.Place(value.at), text));
}

void Reading::Note(const Member& member, const Value& value) {
  origins_[&member] = document_.files[value.at.file] + ":" + std::to_string(value.at.line);
}

void Reading::WrongType(const Value& value, std::string_view wanted) {
  Error(wrong_types_at_ != nullptr ? *wrong_types_at_ : value,
        absl::StrFormat("interface conversion: interface {} is %s, not %s", PeerTypeName(value), wanted));
}

const std::string* Reading::String(const Value& value) {
  const std::string* text = value.AsString();
  if (text == nullptr) WrongType(value, "string");
  return text;
}

const bool* Reading::Bool(const Value& value) {
  const bool* flag = value.AsBool();
  if (flag == nullptr) WrongType(value, "bool");
  return flag;
}

const int64_t* Reading::Integer(const Value& value) {
  const int64_t* number = value.AsInteger();
  if (number == nullptr) WrongType(value, "int64");
  return number;
}

std::optional<int> Reading::Int(const Value& value) {
  const int64_t* number = Integer(value);
  if (number == nullptr) return std::nullopt;
  if (*number > std::numeric_limits<int>::max() || *number < std::numeric_limits<int>::min()) {
    Error(value, key_ + " value is too big");
    return std::nullopt;
  }
  return static_cast<int>(*number);
}

std::optional<std::chrono::nanoseconds> Reading::Duration(const Value& value, DurationForm form,
                                                          std::string_view name) {
  if (form == DurationForm::kTextOrSeconds && value.AsString() == nullptr) {
    Warn(value, name, absl::StrFormat("%s should be converted to a duration", name));
    const int64_t* seconds = Integer(value);
    if (seconds == nullptr) return std::nullopt;
    return std::chrono::nanoseconds(static_cast<int64_t>(uint64_t{1000'000'000} * static_cast<uint64_t>(*seconds)));
  }
  const std::string* text = String(value);
  if (text == nullptr) return std::nullopt;
  const auto duration = ParseDuration(*text);
  if (duration.ok()) return *duration;
  if (form == DurationForm::kTextWithoutPlace) {
    ErrorWithoutPlace(Message(duration.status()));
  } else {
    Error(value, absl::StrFormat("error parsing %s: %s", name, Message(duration.status())));
  }
  return std::nullopt;
}

// --- keys and blocks

void Reading::ReadFile(const Scope& top) {
  const Map& root = document_.root;
  if (root.empty()) {
    diagnostics_.warnings.push_back(absl::StrFormat("%s: config has no values or is empty", document_.files[0]));
  }
  ReadKeys(top, nullptr, nullptr, root, nullptr);
}

bool Reading::ReadBlock(const Block& block, const Value& value, void* outer) {
  if (IsList(block)) return ReadList(block, value, outer);
  const Map* map = value.AsMap();
  if (map == nullptr) {
    Error(value, AboutValue(block.not_a_map, value));
    return false;
  }
  void* inner = block.inside->open(outer);
  BlockEnd end{&value, &value};
  const Value* outer_place = wrong_types_at_;
  if (block.wrong_types_at_key) wrong_types_at_ = &value;
  bool is_complete = ReadKeys({{block.rows, inner}}, &block, &value, *map, &end);
  if (is_complete && block.finish) is_complete = block.finish.run(inner, *this, end);
  wrong_types_at_ = outer_place;
  return is_complete;
}

bool Reading::ReadList(const Block& block, const Value& value, void* outer) {
  const Array* array = value.AsArray();
  if (array == nullptr) {
    Error(value, AboutValue(block.not_a_list, value));
    return false;
  }
  block.inside->clear(outer);
  for (const Value& each : *array) {
    const Map* map = each.AsMap();
    if (map == nullptr) {
      Error(each, AboutValue(block.not_a_map, each));
      continue;
    }
    void* inner = block.inside->open(outer);
    BlockEnd end{&each, &each};
    if (!ReadKeys({{block.rows, inner}}, &block, &each, *map, &end)) return false;
    if (block.finish && !block.finish.run(inner, *this, end)) return false;
  }
  return true;
}

bool Reading::ReadKeys(const Scope& scope, const Block* rules, const Value* around, const Map& map, BlockEnd* end) {
  const Value* last = around;
  std::vector<const Member*> got;
  for (const auto* entry : InFileOrder(map)) {
    const auto& [key, value] = *entry;
    const std::string name = Lower(key);
    last = &value;
    const Row* row = nullptr;
    const RowsOf* found = nullptr;
    for (const RowsOf& part : scope) {
      if (row != nullptr) break;
      row = FindKey(part.rows, name);
      found = &part;
    }
    if (row == nullptr) {
      Unknown(scope, rules, key, value);
      continue;
    }
    const bool is_of_use = ReadRow(*found, *row, key, value);
    if (!is_of_use && row->wrong_ends_block) return false;
    if (is_of_use && row->member != nullptr) got.push_back(row->member);
  }
  if (end != nullptr) *end = BlockEnd{around, last, std::move(got)};
  return true;
}

bool Reading::ReadRow(const RowsOf& found, const Row& row, const std::string& key, const Value& value) {
  row_ = &row;
  key_ = key;
  path_.push_back(row.key);
  const size_t errors_before = diagnostics_.errors.size();
  bool is_of_use = true;
  if (row.read) {
    row.read.run(found.block, *this, value);
    is_of_use = diagnostics_.errors.size() == errors_before;
  } else if (row.is_own_block) {
    ReadOwnBlock(value);
  } else if (row.block != nullptr && row.block->inside == nullptr) {
    CheckKnown(*row.block, value);
  } else if (row.block != nullptr) {
    is_of_use = ReadBlock(*row.block, value, found.block);
  } else if (row.member != nullptr) {
    ReadMember(row, value, found.block);
    is_of_use = diagnostics_.errors.size() == errors_before;
  }
  if (row.member != nullptr && row.member->IsKept()) Note(*row.member, value);
  if (row.lacking != nullptr) CheckLacking(row, value);
  path_.pop_back();
  return is_of_use;
}

void Reading::ReadOwnBlock(const Value& value) {
  if (const Map* map = value.AsMap()) {
    ReadKeys(own_, nullptr, nullptr, *map, nullptr);
  } else {
    Error(value, absl::StrFormat("Expected map to define %s, got %s", row_->key, PeerTypeName(value)));
  }
}

void Reading::Unknown(const Scope& scope, const Block* rules, const std::string& key, const Value& value) {
  if (value.used_as_variable) return;
  if (rules != nullptr && !rules->unknown.empty()) return Error(value, Replaced(rules->unknown, "%s", Quoted(key)));
  std::string text = "unknown field " + Quoted(key);
  const std::string hints = HintsOf(scope);
  const std::string_view nearest = Nearest(hints, Lower(key));
  if (!nearest.empty()) text += ", did you mean " + Quoted(nearest) + "?";
  Error(value, text);
}

// --- values

void Reading::ReadMember(const Row& row, const Value& value, void* block) {
  const Member& member = *row.member;
  if (!member.IsKept()) {  // of a feature that is lacking; a switch is one all the same
    if (member.kind == Kind::kBool) Bool(value);
    return;
  }
  switch (member.kind) {
    case Kind::kBool:
      if (const bool* on = Bool(value)) member.In<bool>(block) = *on;
      break;
    case Kind::kInt:
      if (const std::optional<int> number = Int(value)) member.In<int>(block) = *number;
      break;
    case Kind::kInt64: ReadInteger(row, value, block); break;
    case Kind::kText:
      if (const std::string* text = String(value)) member.In<std::string>(block) = *text;
      break;
    case Kind::kDuration: ReadDuration(row, value, block); break;
    case Kind::kWord: ReadWord(row, value, block); break;
    case Kind::kSeconds:
    case Kind::kTexts:
    case Kind::kTextMap:
    case Kind::kSwitches:
    case Kind::kOther: break;  // have a reader of their own
  }
}

void Reading::ReadInteger(const Row& row, const Value& value, void* block) {
  const int64_t* number = Integer(value);
  if (number == nullptr) return;
  if (row.fits_int32 && *number > std::numeric_limits<int32_t>::max()) return Error(value, key_ + " value is too big");
  row.member->In<int64_t>(block) = *number;
}

void Reading::ReadDuration(const Row& row, const Value& value, void* block) {
  const auto duration = Duration(value, row.form, row.key);
  if (!duration) return;
  if (row.is_not_negative && duration->count() < 0) {
    return Error(value, absl::StrFormat("%s must not be negative", row.key));
  }
  row.member->In<std::chrono::nanoseconds>(block) = *duration;
}

void Reading::ReadWord(const Row& row, const Value& value, void* block) {
  const std::string* word = String(value);
  if (word == nullptr) return;
  if (const std::optional<uint8_t> number = WordNumber(row.words, *word)) {
    row.member->In<uint8_t>(block) = *number;
  } else {
    Error(value, absl::StrFormat("%s must be %s", row.key, WordsText(row.words, "'")));
  }
}

// --- what is lacking

void Reading::CheckLacking(const Row& row, const Value& value) {
  const bool is_wanted = row.lacking->wanted != nullptr ? row.lacking->wanted(value) : IsWanted(value);
  if (!is_wanted) return;
  std::string path;
  for (std::string_view key : path_) path += (path.empty() ? "" : ".") + std::string(key);
  NoteLacking(*row.lacking, absl::StrFormat("%s at %s", path, document_.Place(value.at)), &diagnostics_);
}

void Reading::CheckKnown(const Block& block, const Value& value) {
  if (const Array* array = value.AsArray()) {
    for (const Value& each : *array) CheckKnown(block, each);
    return;
  }
  const Map* map = value.AsMap();
  if (map == nullptr) return;
  if (!block.any_key) {
    ReadKeys({{block.rows, nullptr}}, &block, &value, *map, nullptr);
    return;
  }
  Block each = block;
  each.any_key = false;
  for (const auto* entry : InFileOrder(*map)) CheckKnown(each, entry->second);
}

void NoteLacking(const Lacking& lacking, std::string_view origin, Diagnostics* diagnostics) {
  if (lacking.policy == Lacking::Policy::kRefuse) {
    diagnostics->refused.push_back(absl::StrFormat("%s is not supported yet by this build: %s", lacking.name, origin));
  } else {
    diagnostics->ignored.push_back(absl::StrFormat("%s is not built yet and has no effect: %s", lacking.name, origin));
  }
}

bool IsWanted(const Value& value) {
  if (const auto* text = value.AsString()) {
    const std::string word = Lower(*text);
    return !word.empty() && word != "disabled" && word != "disable";
  }
  if (const auto* flag = value.AsBool()) return *flag;
  if (const auto* number = value.AsInteger()) return *number != 0;
  if (const auto* array = value.AsArray()) return !array->empty();
  const Map* map = value.AsMap();
  if (map == nullptr) return true;
  for (const auto& [key, child] : *map) {
    const std::string name = Lower(key);
    if ((name == "enable" || name == "enabled") && child.AsBool() && !*child.AsBool()) return false;
  }
  return !map->empty();
}

}  // namespace millrace::config
