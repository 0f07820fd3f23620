// SPDX-License-Identifier: Apache-2.0
#include "broker/config/settings.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/base/status.h"

namespace millrace::config {
namespace {

void AddRows(std::span<const Row> rows, const void* block, std::vector<Setting>* settings) {
  for (const Row& row : rows) {
    settings->push_back({&row, block});
    const Inside* inside = row.block != nullptr ? row.block->inside : nullptr;
    if (inside != nullptr && inside->look != nullptr) AddRows(row.block->rows, inside->look(block), settings);
  }
}

// Hooks take what they may change as such; the options are the caller's own.
void* Changeable(const Placed& placed) { return const_cast<void*>(placed.block); }

absl::Status CheckBounds(const Options& options) {
  for (const auto& [row, block] : SettingsOf(options)) {
    if (row->most == 0) continue;
    const int64_t value = ValueNumber(*row, block);
    if (value < row->least || value > row->most) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is %d but must be between %d and %d", row->key, value, row->least, row->most));
    }
    if (row->power_of_two && (value & (value - 1)) != 0) {
      return absl::InvalidArgumentError(absl::StrFormat("%s is %d but must be a power of two", row->key, value));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Setting> SettingsOf(const Options& options) {
  std::vector<Setting> settings;
  for (const auto& [table, block] : TablesOf(options)) {
    AddRows(table->rows, block, &settings);
    if (table->own != nullptr) AddRows(table->own_rows, table->own->look(block), &settings);
  }
  std::stable_sort(settings.begin(), settings.end(),
                   [](const Setting& a, const Setting& b) { return a.row->order < b.row->order; });
  return settings;
}

const Row* FindByFlag(std::string_view flag) {
  static const Options defaults;
  for (const Setting& setting : SettingsOf(defaults)) {
    if (HasFlag(*setting.row, flag)) return setting.row;
  }
  return nullptr;
}

Scope TopOf(Options* options) {
  Scope scope;
  for (const Placed& placed : TablesOf(*options)) scope.push_back({placed.table->rows, Changeable(placed)});
  return scope;
}

Scope OwnOf(Options* options) {
  Scope scope;
  for (const Placed& placed : TablesOf(*options)) {
    const Table& table = *placed.table;
    if (table.own != nullptr) scope.push_back({table.own_rows, table.own->open(Changeable(placed))});
  }
  return scope;
}

void FillStart(Options* options) {
  for (const Placed& placed : TablesOf(*options)) {
    if (placed.table->start) placed.table->start.run(Changeable(placed));
  }
}

void FillDefaults(Options* options) {
  const Options defaults;
  const std::vector<Setting> given = SettingsOf(*options);
  const std::vector<Setting> from = SettingsOf(defaults);
  for (size_t i = 0; i < given.size(); ++i) {
    const auto& [row, block] = given[i];
    MR_CHECK(from[i].row == row);
    if (row->zero_is_default && IsZero(*row->member, block)) row->member->copy(from[i].block, const_cast<void*>(block));
  }
  const auto placed_blocks = TablesOf(*options);
  for (const Placed& placed : placed_blocks) {
    if (placed.table->complete) placed.table->complete.run(Changeable(placed), Blocks(placed_blocks));
  }
}

absl::Status Validate(const Options& options) {
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->check) MR_RETURN_IF_ERROR(table->check.run(block));
  }
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->check_names) MR_RETURN_IF_ERROR(table->check_names.run(block));
  }
  MR_RETURN_IF_ERROR(CheckBounds(options));
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->check_bounded) MR_RETURN_IF_ERROR(table->check_bounded.run(block));
  }
  return absl::OkStatus();
}

absl::Status ValidateStart(const Options& options) {
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->check_start) MR_RETURN_IF_ERROR(table->check_start.run(block));
  }
  return absl::OkStatus();
}

absl::Status ValidateReload(const Options& options) {
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->check_reload) MR_RETURN_IF_ERROR(table->check_reload.run(block));
  }
  return absl::OkStatus();
}

std::vector<std::string> Concerns(const Options& options) {
  std::vector<std::string> concerns;
  for (const auto& [table, block] : TablesOf(options)) {
    if (table->concerns) table->concerns.run(block, &concerns);
  }
  return concerns;
}

}  // namespace millrace::config
