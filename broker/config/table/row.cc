// SPDX-License-Identifier: Apache-2.0
#include "broker/config/table/row.h"

#include <algorithm>
#include <chrono>

#include "broker/config/language/text.h"
#include "proto/base/check.h"

namespace millrace::config {
namespace {

// Calls `take` with each of the '|'-separated words until it returns true; whether it did.
template <typename Take>
bool AnyWord(std::string_view words, Take take) {
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find('|', at), words.size());
    if (take(words.substr(at, end - at))) return true;
    at = end + 1;
  }
  return false;
}

bool SameFlag(std::string_view a, std::string_view b) {
  const auto plain = [](char c) { return c == '-' ? '_' : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return plain(x) == plain(y); });
}

}  // namespace

bool IsList(const Block& block) { return block.inside != nullptr && block.inside->clear != nullptr; }

bool OneOf(std::string_view words, std::string_view name) {
  return !name.empty() && AnyWord(words, [&](std::string_view word) { return word == name; });
}

bool HasKey(const Row& row, std::string_view lower_key) {
  if (!row.is_key || row.key.empty()) return false;
  return row.key == lower_key || OneOf(row.aliases, lower_key) || OneOf(row.old_aliases, lower_key);
}

bool HasFlag(const Row& row, std::string_view flag) {
  return AnyWord(row.flags, [&](std::string_view word) {
    return SameFlag(word.substr(std::min(word.find_first_not_of('-'), word.size())), flag);
  });
}

const Row& RowOf(std::span<const Row> rows, const Member& member) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.member == &member; });
  MR_CHECK(found != rows.end());
  return *found;
}

std::string ValueText(const Row& row, const void* block) {
  const Member& member = *row.member;
  switch (member.kind) {
    case Kind::kBool: return member.Of<bool>(block) ? "true" : "false";
    case Kind::kInt: return std::to_string(member.Of<int>(block));
    case Kind::kInt64: return std::to_string(member.Of<int64_t>(block));
    case Kind::kText: return member.Of<std::string>(block);
    case Kind::kDuration: return FormatDuration(member.Of<std::chrono::nanoseconds>(block));
    case Kind::kSeconds: return FormatFloat(member.Of<double>(block));
    case Kind::kWord: return Split(row.words, '|').at(member.Of<uint8_t>(block));
    case Kind::kTexts:
    case Kind::kTextMap:
    case Kind::kSwitches:
    case Kind::kOther: break;
  }
  return "";
}

int64_t ValueNumber(const Row& row, const void* block) {
  if (row.member->kind == Kind::kInt) return row.member->Of<int>(block);
  return row.member->kind == Kind::kInt64 ? row.member->Of<int64_t>(block) : 0;
}

bool IsZero(const Member& member, const void* block) {
  switch (member.kind) {
    case Kind::kInt: return member.Of<int>(block) == 0;
    case Kind::kInt64: return member.Of<int64_t>(block) == 0;
    case Kind::kText: return member.Of<std::string>(block).empty();
    case Kind::kDuration: return member.Of<std::chrono::nanoseconds>(block).count() == 0;
    case Kind::kSeconds: return member.Of<double>(block) == 0;
    default: return false;
  }
}

std::string WordsText(std::string_view words, std::string_view quote) {
  const std::vector<std::string> each = Split(words, '|');
  std::string text;
  for (size_t i = 0; i < each.size(); ++i) {
    if (i > 0) text += i + 1 < each.size() ? ", " : " or ";
    text += std::string(quote) + each[i] + std::string(quote);
  }
  return text;
}

std::optional<uint8_t> WordNumber(std::string_view words, std::string_view word) {
  const std::vector<std::string> each = Split(words, '|');
  const auto found = std::find(each.begin(), each.end(), word);
  if (found == each.end()) return std::nullopt;
  return static_cast<uint8_t>(found - each.begin());
}

}  // namespace millrace::config
