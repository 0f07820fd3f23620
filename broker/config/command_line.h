// SPDX-License-Identifier: Apache-2.0
// Command line: the flags of the peer and our own, in Go's syntax (rows F-01..F-27).
// Owner:  caller (pure).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/config/settings.h"
#include "broker/config/table/origins.h"

namespace millrace::config {

struct CommandLine {
  // Flags that are no setting.
  bool show_help = false;
  bool show_version = false;
  bool show_tls_help = false;
  bool check_config = false;
  bool print_config = false;
  std::string config_file;
  std::string signal;

  std::vector<FlagValue> settings;  // flags of the tables, checked, in order
  std::vector<std::string> words;   // what follows the flags
  std::string error;                // text of a usage error, or empty
};

// The rows of flags that are no setting; their block is a CommandLine.
std::span<const Row> ProgramFlags();

// One or two dashes; -flag=value or -flag value; booleans -flag or -flag=false. Ends at the first
// word that is no flag, or after "--".
CommandLine ParseCommandLine(const std::vector<std::string>& args);

// Over the values of the file; also at each reload.
void ApplyFlags(const CommandLine& line, Options* options, Origins* origins);

// Errors of flags that ask for what is not built, in the peer's words where it has any.
void CheckLackingFlags(const CommandLine& line, Diagnostics* diagnostics);

std::string HelpText();
std::string TlsHelpText();

}  // namespace millrace::config
