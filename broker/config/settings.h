// SPDX-License-Identifier: Apache-2.0
// Settings: all rows of all blocks, each with the block of an Options that it is about. What reads, prints, checks and
// reloads goes through them, and knows no block by name.
// Owner:  caller (pure).
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/options.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"

namespace millrace::config {

template <typename... Block>
std::array<Placed, sizeof...(Block)> TablesOf(const OptionsOf<Block...>& options) {
  return {Placed{&Block::kTable, static_cast<const Block*>(&options)}...};
}

// A row, and its block in the options that were given.
struct Setting {
  const Row* row;
  const void* block;
};

// In the order of the rows; those in blocks that may be absent or many are not among them.
std::vector<Setting> SettingsOf(const Options& options);
const Row* FindByFlag(std::string_view flag);

// What may stand at the top of the file, and in the block of our own.
Scope TopOf(Options* options);
Scope OwnOf(Options* options);

// Defaults that depend on the machine; before the file is read.
void FillStart(Options* options);
// Defaults for what is zero, and those that depend on other settings; once file and flags are read.
void FillDefaults(Options* options);

// What has to fit together, whichever way the values came (spec 3d). The error's text is the peer's.
absl::Status Validate(const Options& options);
// What the peer finds out once it starts, and before a reload.
absl::Status ValidateStart(const Options& options);
absl::Status ValidateReload(const Options& options);

// Settings that work but deserve a word in the log: plain passwords, huge payloads.
std::vector<std::string> Concerns(const Options& options);

}  // namespace millrace::config
