// SPDX-License-Identifier: Apache-2.0
#include "broker/config/command_line.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

constexpr Row kProgramFlags[] = {
    {.flags = "-c|--config", .value_name = "<file>", .help = "Read this configuration file; flags win over it",
     .group = &kServerHelp, .order = -3, .member = &kMember<&CommandLine::config_file>},
    {.flags = "-t", .help = "Test the configuration file and exit", .group = &kServerHelp, .order = -2,
     .member = &kMember<&CommandLine::check_config>},
    {.flags = "--print-config", .help = "Print what is in force, and why, and exit", .group = &kServerHelp,
     .order = -1, .member = &kMember<&CommandLine::print_config>},
    {.flags = "-sl|--signal", .value_name = "<command>[=<pid>]",
     .help = "Tell a running server: ldm, stop, quit, term, reopen, reload\n"
             "<pid> is a process id, the beginning of ids with a *, or a pid file",
     .group = &kServerHelp, .order = 9000, .member = &kMember<&CommandLine::signal>},
    {.flags = "-h|--help", .help = "Show this text", .group = &kCommonHelp, .order = 9001,
     .member = &kMember<&CommandLine::show_help>},
    {.flags = "-v|--version", .help = "Show the version", .group = &kCommonHelp, .order = 9002,
     .member = &kMember<&CommandLine::show_version>},
    {.flags = "--help_tls", .help = "Show how TLS is configured", .group = &kCommonHelp, .order = 9003,
     .member = &kMember<&CommandLine::show_tls_help>},
};

const Row* FindProgramFlag(std::string_view flag) {
  for (const Row& row : kProgramFlags) {
    if (HasFlag(row, flag)) return &row;
  }
  return nullptr;
}

std::string WrongInteger(const Row& row, std::string_view value) {
  const auto number = ParseFlagInteger(value);
  if (!number.ok()) return Message(number.status());
  const bool fits = *number <= std::numeric_limits<int>::max() && *number >= std::numeric_limits<int>::min();
  return row.member->kind != Kind::kInt || fits ? "" : "value out of range";
}

std::string WrongDuration(std::string_view value) {
  const auto duration = ParseDuration(value);
  if (!duration.ok()) return Message(duration.status());
  return *duration < std::chrono::nanoseconds(0) ? "must not be negative" : "";
}

bool IsWord(const Row& row, std::string_view value) {
  return row.canonical != nullptr ? row.canonical(value).has_value() : WordNumber(row.words, value).has_value();
}

// Empty when the value fits the flag.
std::string CheckValue(const Row& row, std::string_view flag, std::string_view value) {
  const Kind kind = row.member->kind;
  if (kind == Kind::kBool) {
    if (ParseFlagBool(value)) return "";
    return absl::StrFormat("invalid boolean value %s for -%s: parse error", Quoted(value), flag);
  }
  std::string why;
  if (!row.words.empty()) {
    if (!IsWord(row, value)) why = "must be " + WordsText(row.words, "");
  } else if (kind == Kind::kDuration) {
    why = WrongDuration(value);
  } else if (kind == Kind::kInt || kind == Kind::kInt64) {
    why = WrongInteger(row, value);
  }
  return why.empty() ? "" : absl::StrFormat("invalid value %s for flag -%s: %s", Quoted(value), flag, why);
}

// The value has passed CheckValue.
void Apply(const Row& row, std::string_view value, void* block) {
  const Member& member = *row.member;
  if (!member.IsKept()) return;
  switch (member.kind) {
    case Kind::kBool: member.In<bool>(block) = ParseFlagBool(value).value_or(false); break;
    case Kind::kInt: member.In<int>(block) = static_cast<int>(ParseFlagInteger(value).value_or(0)); break;
    case Kind::kInt64: member.In<int64_t>(block) = ParseFlagInteger(value).value_or(0); break;
    case Kind::kText:
      member.In<std::string>(block) = row.canonical != nullptr ? row.canonical(value).value_or("") : value;
      break;
    case Kind::kDuration:
      member.In<std::chrono::nanoseconds>(block) = ParseDuration(value).value_or(std::chrono::nanoseconds(0));
      break;
    case Kind::kWord: member.In<uint8_t>(block) = WordNumber(row.words, value).value_or(0); break;
    case Kind::kSeconds:
    case Kind::kTexts:
    case Kind::kTextMap:
    case Kind::kSwitches:
    case Kind::kOther: break;  // no flag is of such a kind
  }
}

}  // namespace

std::span<const Row> ProgramFlags() { return kProgramFlags; }

CommandLine ParseCommandLine(const std::vector<std::string>& args) {
  CommandLine line;
  size_t at = 0;
  for (; at < args.size(); ++at) {
    const std::string& arg = args[at];
    if (arg.size() < 2 || arg[0] != '-') break;
    const size_t dashes = arg[1] == '-' ? 2 : 1;
    if (arg == "--") {
      ++at;
      break;
    }
    std::string flag = arg.substr(dashes);
    if (flag.empty() || flag[0] == '-' || flag[0] == '=') {
      line.error = "bad flag syntax: " + arg;
      return line;
    }
    std::optional<std::string> value;
    if (const size_t equals = flag.find('='); equals != std::string::npos) {
      value = flag.substr(equals + 1);
      flag.resize(equals);
    }
    const Row* program = FindProgramFlag(flag);
    const Row* row = program != nullptr ? program : FindByFlag(flag);
    if (row == nullptr) {
      line.error = "flag provided but not defined: -" + flag;
      return line;
    }
    if (!value && row->member->kind == Kind::kBool) value = "true";
    if (!value) {
      if (at + 1 >= args.size()) {
        line.error = "flag needs an argument: -" + flag;
        return line;
      }
      value = args[++at];
    }
    line.error = CheckValue(*row, flag, *value);
    if (!line.error.empty()) return line;
    if (program != nullptr) {
      Apply(*program, *value, &line);
    } else {
      line.settings.push_back({std::move(flag), std::move(*value)});  // waits for the file
    }
  }
  line.words.assign(args.begin() + static_cast<std::ptrdiff_t>(at), args.end());
  return line;
}

void ApplyFlags(const CommandLine& line, Options* options, Origins* origins) {
  const std::vector<Setting> settings = SettingsOf(*options);
  const auto setting_of = [&](const FlagValue& flag) {
    const auto found = std::find_if(settings.begin(), settings.end(),
                                    [&](const Setting& each) { return HasFlag(*each.row, flag.flag); });
    MR_CHECK(found != settings.end());
    return *found;
  };
  for (const FlagValue& flag : line.settings) {
    const auto [row, block] = setting_of(flag);
    Apply(*row, flag.value, const_cast<void*>(block));
    if (row->member->IsKept()) FlagTaken{flag.flag, origins}.Note(*row->member);
  }
  // These combine others and win over them, whatever the order.
  for (const FlagValue& flag : line.settings) {
    const auto [row, block] = setting_of(flag);
    if (!row->take_flag) continue;
    const bool on = ParseFlagBool(flag.value).value_or(false);
    row->take_flag.run(const_cast<void*>(block), on, FlagTaken{flag.flag, origins});
  }
}

void CheckLackingFlags(const CommandLine& line, Diagnostics* diagnostics) {
  static const Options defaults;
  for (const Placed& placed : TablesOf(defaults)) {
    if (placed.table->check_flags != nullptr) placed.table->check_flags(line.settings, diagnostics);
  }
  if (!diagnostics->errors.empty()) return;
  std::vector<const Lacking*> taken_back;
  for (const FlagValue& flag : line.settings) {
    const Row& row = *FindByFlag(flag.flag);
    if (row.off_ends_lacking && !ParseFlagBool(flag.value).value_or(true)) taken_back.push_back(row.lacking);
  }
  const Lacking* last = nullptr;
  for (const FlagValue& flag : line.settings) {
    const Lacking* lacking = FindByFlag(flag.flag)->lacking;
    if (lacking == nullptr || lacking == last) continue;
    if (flag.value.empty() || flag.value == "0" || flag.value == "false") continue;
    if (std::find(taken_back.begin(), taken_back.end(), lacking) != taken_back.end()) continue;
    NoteLacking(*lacking, "flag -" + flag.flag, diagnostics);
    last = lacking;
  }
}

}  // namespace millrace::config
