// SPDX-License-Identifier: Apache-2.0
// Startup probe: what the broker would do with a command line, without starting one. It is what
// compare_with_peer.py runs; --reload-to FILE at the end plans a reload to that file. --rows alone prints the option
// table, for tests/interop/options.py: block, key and flags of each row.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "broker/config/option_table.h"
#include "broker/config/reload.h"
#include "broker/config/startup.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--rows") == 0) {
    constexpr const char* kBlocks[] = {"top", "jetstream", "limits", "batch", "millrace"};
    for (const auto& row : millrace::config::OptionTable()) {
      std::printf("%s %s %s\n", kBlocks[static_cast<size_t>(row.block)], std::string(row.key).c_str(),
                  std::string(row.flags).c_str());
    }
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
