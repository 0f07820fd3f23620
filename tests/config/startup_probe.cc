// SPDX-License-Identifier: Apache-2.0
// Startup probe: what the broker would do with a command line, without starting one. It is what
// compare_with_peer.py runs; --reload-to FILE at the end plans a reload to that file. --rows alone prints all rows with
// a key that do something, for tests/interop/options.py: block, key and flags of each.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "broker/config/language/text.h"
#include "broker/config/reload.h"
#include "broker/config/settings.h"
#include "broker/config/startup.h"

namespace {

using millrace::config::Row;

void PrintRows(std::string_view block, std::span<const Row> rows) {
  for (const Row& row : rows) {
    const bool is_kept = row.read || (row.member != nullptr && row.member->IsKept());
    if (row.key.empty() || (row.lacking != nullptr && !is_kept)) continue;
    std::string flags;
    for (std::string flag : millrace::config::Split(row.flags, '|')) {
      flags += (flags.empty() ? "" : "|") + flag.erase(0, flag.find_first_not_of('-'));
    }
    std::printf("%s %s %s\n", std::string(block).c_str(), std::string(row.key).c_str(), flags.c_str());
    if (row.block != nullptr && row.block->inside->look != nullptr) PrintRows(row.key, row.block->rows);
    if (!row.is_own_block) continue;
    for (const auto& [table, ignored] : millrace::config::TablesOf(millrace::Options())) {
      PrintRows(row.key, table->own_rows);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--rows") == 0) {
    for (const auto& [table, ignored] : millrace::config::TablesOf(millrace::Options())) PrintRows("top", table->rows);
    return 0;
  }
  const char* reload_to = nullptr;
  if (argc > 2 && std::strcmp(argv[argc - 2], "--reload-to") == 0) {
    reload_to = argv[argc - 1];
    argc -= 2;
  }
  millrace::config::Startup startup = millrace::config::ParseStartup(argc, argv);
  std::fputs(startup.out.c_str(), stdout);
  std::fputs(startup.err.c_str(), stderr);
  if (startup.action == millrace::config::Startup::Action::kExit) return startup.exit_code;
  for (const std::string& warning : startup.warnings) {
    std::fprintf(stderr, "[WRN] %s\n", warning.c_str());
  }
  if (reload_to == nullptr) return 0;
  for (std::string& arg : startup.args) {
    if (arg == startup.options.config_file) arg = reload_to;
  }
  const auto options = millrace::config::Reload(startup, nullptr);
  if (!options.ok()) {
    std::printf("%s\n", std::string(options.status().message()).c_str());
    return 1;
  }
  const auto plan = millrace::config::PlanReload(startup.options, *options);
  if (!plan.ok()) {
    std::printf("%s\n", std::string(plan.status().message()).c_str());
    return 1;
  }
  for (const auto& change : plan->changes) {
    if (!change.text.empty()) std::printf("%s\n", change.text.c_str());
  }
  return 0;
}
