// SPDX-License-Identifier: Apache-2.0
#include "broker/config/print_config.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/config/settings.h"

namespace millrace::config {
namespace {

std::string Line(std::string_view indent, std::string_view key, std::string_view value, std::string_view origin) {
  return absl::StrFormat("%-47s # %s\n", absl::StrFormat("%s%s: %s", indent, key, value), origin);
}

bool IsOneValue(const Row& row) {
  if (row.member == nullptr || !row.member->IsKept() || row.shown == Shown::kNever) return false;
  return row.member->kind <= Kind::kWord;
}

std::string PrintedValue(const Setting& setting) {
  const auto& [row, block] = setting;
  const std::string text = row->print_value ? row->print_value.run(block) : ValueText(*row, block);
  if (row->secret && !text.empty()) return Quoted("[REDACTED]");
  const Kind kind = row->member->kind;
  return kind == Kind::kText || kind == Kind::kDuration || kind == Kind::kWord ? Quoted(text) : text;
}

std::string List(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + Quoted(word);
  return "[" + text + "]";
}

class Printer {
 public:
  Printer(const Options& options, const Origins& origins) : options_(options), origins_(origins) {}

  // Values, then lists, then what rows print of themselves, then the blocks within; each by the order of the rows.
  std::string Print(std::vector<Setting> settings, const std::string& indent) const {
    std::stable_sort(settings.begin(), settings.end(),
                     [](const Setting& a, const Setting& b) { return a.row->order < b.row->order; });
    std::string text;
    for (const Setting& setting : settings) {
      if (IsOneValue(*setting.row)) text += OneValue(setting, indent);
    }
    for (const auto& [row, block] : settings) {
      if (row->member == nullptr || row->member->kind != Kind::kTexts) continue;
      text += Line(indent, row->key, List(row->member->Of<std::vector<std::string>>(block)), "");
    }
    for (const auto& [row, block] : settings) {
      if (row->print_lines) text += row->print_lines.run(block);
    }
    for (const Setting& setting : settings) text += Within(setting, indent);
    return text;
  }

 private:
  std::string OneValue(const Setting& setting, const std::string& indent) const {
    const auto& [row, block] = setting;
    if (row->shown == Shown::kUnlessEmpty && IsZero(*row->member, block)) return "";
    const bool is_comment =
        row->shown == Shown::kComment || (row->shown == Shown::kCommentIfZero && IsZero(*row->member, block));
    const auto origin = origins_.find(row->member);
    return Line(is_comment ? indent + "# " : indent, row->key, PrintedValue(setting),
                origin == origins_.end() ? "default" : std::string_view(origin->second));
  }

  std::string Within(const Setting& setting, const std::string& indent) const {
    const auto& [row, block] = setting;
    std::vector<Setting> inner;
    if (row->is_own_block) {
      for (const auto& [table, outer] : TablesOf(options_)) {
        if (table->own == nullptr) continue;
        for (const Row& own : table->own_rows) inner.push_back({&own, table->own->look(outer)});
      }
    } else if (row->block != nullptr && row->block->inside != nullptr && row->block->inside->look != nullptr) {
      for (const Row& key : row->block->rows) inner.push_back({&key, row->block->inside->look(block)});
    } else {
      return "";
    }
    return indent + std::string(row->key) + " {\n" + Print(std::move(inner), indent + "  ") + indent + "}\n";
  }

  const Options& options_;
  const Origins& origins_;
};

}  // namespace

std::string PrintConfig(const Options& options, const Origins& origins) {
  std::vector<Setting> top;
  for (const auto& [table, block] : TablesOf(options)) {
    for (const Row& row : table->rows) top.push_back({&row, block});
  }
  return Printer(options, origins).Print(std::move(top), "");
}

}  // namespace millrace::config
