// SPDX-License-Identifier: Apache-2.0
#include "broker/config/startup.h"

#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/config/blocks/user_keys.h"
#include "broker/config/command_line.h"
#include "broker/config/language/parser.h"
#include "broker/config/print_config.h"
#include "broker/config/settings.h"
#include "broker/config/signal_command.h"
#include "broker/config/language/text.h"
#include "broker/version.h"
#include "proto/base/status.h"

namespace millrace::config {
namespace {

constexpr char kProgram[] = "nats-server";  // whatever the binary is called: scripts match on it

struct Loaded {
  Options options;
  Diagnostics diagnostics;
  Origins origins;
};

// Defaults, then the file, then the flags. The status is an error of syntax.
absl::StatusOr<Loaded> Load(const CommandLine& line) {
  Loaded loaded;
  Options& options = loaded.options;
  FillStart(&options);
  if (!line.config_file.empty()) {
    MR_ASSIGN_OR_RETURN(const Document document, ParseFile(line.config_file));
    Reading(document, OwnOf(&options), &loaded.diagnostics, &loaded.origins).ReadFile(TopOf(&options));
    options.config_digest = document.digest;
  }
  options.config_file = line.config_file;
  options.check_config = line.check_config;
  ApplyFlags(line, &options, &loaded.origins);
  FillDefaults(&options);
  if (loaded.diagnostics.errors.empty()) CheckLackingFlags(line, &loaded.diagnostics);
  return loaded;
}

std::string JoinLines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

Startup Exit(int code, std::string out, std::string err) {
  Startup startup;
  startup.exit_code = code;
  startup.out = std::move(out);
  startup.err = std::move(err);
  return startup;
}

Startup Fail(std::string_view text) {
  return Exit(1, "", absl::StrFormat("%s: %s\n", kProgram, text));
}

// Requests that need no configuration.
std::optional<Startup> AtOnce(const CommandLine& line) {
  if (!line.error.empty()) return Exit(2, "", line.error + "\n" + HelpText());
  const std::string word = line.words.empty() ? "" : Lower(line.words[0]);
  const std::string version = absl::StrFormat("%s: v%s\n", kProgram, std::string(kServerVersion));
  if (line.show_version) return Exit(0, version, "");
  if (line.show_help) return Exit(0, HelpText(), "");
  if (line.show_tls_help) return Exit(0, TlsHelpText(), "");
  if (word == "version") return Exit(0, version, "");
  if (word == "help") return Exit(0, HelpText(), "");
  if (!line.words.empty()) return Fail("unrecognized command: " + Quoted(line.words[0]));
  if (!line.signal.empty()) {
    const absl::Status status = SendSignal(line.signal);
    return status.ok() ? Exit(0, "", "") : Fail(Message(status));
  }
  if (line.check_config && line.config_file.empty()) {
    return Fail("must specify [-c, --config] option to check configuration file syntax");
  }
  return std::nullopt;
}

}  // namespace

Startup ParseStartup(int argc, const char* const* argv) {
  std::vector<std::string> args;
  for (int i = 1; i < argc; ++i) args.emplace_back(argv[i]);
  const CommandLine line = ParseCommandLine(args);
  if (std::optional<Startup> done = AtOnce(line)) return std::move(*done);
  absl::StatusOr<Loaded> loaded = Load(line);
  if (!loaded.ok()) return Fail(Message(loaded.status()));
  const Diagnostics& found = loaded->diagnostics;
  const std::string warnings = JoinLines(found.warnings);
  if (!found.errors.empty() || (line.check_config && !found.warnings.empty())) {
    return Fail(warnings + JoinLines(found.errors));
  }
  if (!found.refused.empty()) {
    std::string text;
    for (const std::string& reason : found.refused) {
      text += absl::StrFormat("%s: %s\n", kProgram, reason);
    }
    return Exit(1, "", warnings + text);
  }
  absl::Status status = Validate(loaded->options);
  if (status.ok()) status = ValidateStart(loaded->options);
  if (!status.ok()) {
    Startup startup = Fail(Message(status));
    startup.err = warnings + startup.err;
    return startup;
  }
  if (line.check_config) {
    return Exit(0, "",
                absl::StrFormat("%s: configuration file %s is valid (%s)\n", kProgram,
                                line.config_file, loaded->options.config_digest));
  }
  if (line.print_config) {
    return Exit(0, PrintConfig(loaded->options, loaded->origins), warnings);
  }
  Startup startup;
  startup.action = Startup::Action::kRun;
  startup.err = warnings;
  startup.warnings = Concerns(loaded->options);
  startup.warnings.insert(startup.warnings.end(), found.ignored.begin(), found.ignored.end());
  startup.options = std::move(loaded->options);
  startup.args = std::move(args);
  return startup;
}

absl::StatusOr<Options> Reload(const Startup& startup, std::vector<std::string>* warnings) {
  const CommandLine line = ParseCommandLine(startup.args);
  if (line.config_file.empty()) {
    return absl::FailedPreconditionError(
        "can only reload config when a file is provided using -c or --config");
  }
  MR_ASSIGN_OR_RETURN(Loaded loaded, Load(line));
  const Diagnostics& found = loaded.diagnostics;
  if (!found.errors.empty()) {
    return absl::InvalidArgumentError(JoinLines(found.warnings) + JoinLines(found.errors));
  }
  if (!found.refused.empty()) return absl::InvalidArgumentError(JoinLines(found.refused));
  MR_RETURN_IF_ERROR(Validate(loaded.options));
  if (warnings != nullptr) {
    *warnings = Concerns(loaded.options);
    std::erase(*warnings, kPlainPasswords);  // which is said at the start only
    warnings->insert(warnings->end(), found.ignored.begin(), found.ignored.end());
  }
  return std::move(loaded.options);
}

}  // namespace millrace::config
