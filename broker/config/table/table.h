// SPDX-License-Identifier: Apache-2.0
// Table: all that the configuration knows of one block of options: its rows, and the checks that concern several of
// them. A block's struct has one, as its static member kTable; the list of blocks is in broker/config/options.h.
// Owner:  immutable.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/table/diagnostics.h"
#include "broker/config/table/row.h"
#include "proto/base/check.h"

namespace millrace::config {

struct FlagValue {
  std::string flag;  // as written, without dashes
  std::string value;
};

struct Table {
  TypeTag type = nullptr;
  std::span<const Row> rows = {};      // keys at the top of the file
  std::span<const Row> own_rows = {};  // keys in the block of our own
  const Inside* own = nullptr;         // where the struct of own_rows is within the block's

  Hook<void (*)(void* block)> start = {};                      // defaults that depend on the machine
  Hook<void (*)(void* block, const Blocks&)> complete = {};    // defaults that depend on other settings
  Hook<absl::Status (*)(const void* block)> check = {};        // what fits together; the error's text is the peer's
  Hook<absl::Status (*)(const void* block)> check_names = {};  // after all of those: what is named is there
  Hook<absl::Status (*)(const void* block)> check_bounded = {};  // once all is within its bounds
  Hook<absl::Status (*)(const void* block)> check_start = {};  // what the peer finds out once it starts,
  Hook<absl::Status (*)(const void* block)> check_reload = {};  // and before a reload, in other words
  // Settings that work but deserve a word in the log.
  Hook<void (*)(const void* block, std::vector<std::string>*)> concerns = {};
  void (*check_flags)(std::span<const FlagValue> flags, Diagnostics*) = nullptr;  // which need others
};

struct Placed {
  const Table* table;
  const void* block;
};

// The blocks of one Options, for what one block needs of another.
class Blocks {
 public:
  explicit Blocks(std::span<const Placed> placed) : placed_(placed) {}
  template <typename BlockOptions>
  const BlockOptions& Get() const {
    const void* block = nullptr;
    for (const Placed& each : placed_) {
      if (each.table == &BlockOptions::kTable) block = each.block;
    }
    MR_CHECK(block != nullptr);  // the list of blocks is complete
    return *static_cast<const BlockOptions*>(block);
  }

 private:
  std::span<const Placed> placed_;
};

}  // namespace millrace::config
