// SPDX-License-Identifier: Apache-2.0
// Startup: what the command line and the configuration file ask for, ready to act on.
// Owner:  process (made once by main, kept for reloads).
// Errors: never throws, never exits; a refusal is Startup::kExit with its text and exit code.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/config/options.h"

namespace millrace::config {

struct Startup {
  enum class Action : uint8_t { kRun, kExit };

  Action action = Action::kExit;
  int exit_code = 0;
  std::string out;  // to print on stdout before going on (complete with newlines)
  std::string err;  // to print on stderr before going on: errors, or the file's warnings
  Options options;                    // valid when action is kRun
  std::vector<std::string> warnings;  // for the log once it is open ([WRN], one line each)
  std::vector<std::string> args;      // argv without argv[0], for Reload
};

Startup ParseStartup(int argc, const char* const* argv);

// Reads the file of `startup` again; its flags win over the file as they did at start.
// The error's text is one line or more, without prefix.
absl::StatusOr<Options> Reload(const Startup& startup, std::vector<std::string>* warnings);

}  // namespace millrace::config
