// SPDX-License-Identifier: Apache-2.0
#include "broker/config/command_line.h"

#include <limits>
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/config/unsupported.h"

namespace millrace::config {
namespace {

constexpr std::string_view kSwitches =
    "h|help|v|version|help_tls|t|DV|DVV|VV|print-config|print_config";
constexpr std::string_view kTexts = "c|config|sl|signal";
constexpr std::string_view kTraceSwitches = "DV|DVV|VV";

struct FlagKind {
  bool known = false;
  bool is_bool = false;
  bool is_number = false;
};

FlagKind KindOf(std::string_view flag) {
  if (OneOf(kSwitches, flag)) return {true, true, false};
  if (OneOf(kTexts, flag)) return {true, false, false};
  if (const OptionRow* row = FindByFlag(flag)) {
    return {true, row->IsBool(), row->Holds<int, int64_t>()};
  }
  if (const Feature* feature = FindFeatureByFlag(flag)) {
    return {true, IsBoolFlag(*feature, flag), flag == "connect_retries"};
  }
  return {};
}

// Empty when the value fits the flag.
std::string CheckValue(const FlagKind& kind, std::string_view flag, std::string_view value) {
  if (kind.is_bool && !ParseFlagBool(value)) {
    return absl::StrFormat("invalid boolean value %s for -%s: parse error", Quote(value), flag);
  }
  const OptionRow* row = FindByFlag(flag);
  if (row != nullptr && row->Holds<Durability>() && !ParseDurability(value)) {
    return absl::StrFormat("invalid value %s for flag -%s: must be durable or async", Quote(value), flag);
  }
  if (flag == "js-cipher" && !ParseCipher(value)) {
    return absl::StrFormat("invalid value %s for flag -%s: must be chacha, chachapoly or aes", Quote(value), flag);
  }
  if (row != nullptr && row->Holds<std::chrono::nanoseconds>()) {
    const auto duration = ParseDuration(value);
    if (duration.ok() && *duration >= std::chrono::nanoseconds(0)) return "";
    return absl::StrFormat("invalid value %s for flag -%s: %s", Quote(value), flag,
                           duration.ok() ? "must not be negative" : Message(duration.status()));
  }
  if (!kind.is_number) return "";
  const auto number = ParseFlagInteger(value);
  std::string why = number.ok() ? "" : Message(number.status());
  const bool narrow = row != nullptr && row->Holds<int>();
  if (number.ok() && narrow &&
      (*number > std::numeric_limits<int>::max() || *number < std::numeric_limits<int>::min())) {
    why = "value out of range";
  }
  if (why.empty()) return "";
  return absl::StrFormat("invalid value %s for flag -%s: %s", Quote(value), flag, why);
}

// Flags that are no setting act here; the others wait for the file.
void Take(CommandLine* line, std::string flag, std::string value) {
  const bool on = ParseFlagBool(value).value_or(false);
  if (OneOf("h|help", flag)) {
    line->show_help = on;
  } else if (OneOf("v|version", flag)) {
    line->show_version = on;
  } else if (flag == "help_tls") {
    line->show_tls_help = on;
  } else if (flag == "t") {
    line->check_config = on;
  } else if (OneOf("print-config|print_config", flag)) {
    line->print_config = on;
  } else if (OneOf("c|config", flag)) {
    line->config_file = std::move(value);
  } else if (OneOf("sl|signal", flag)) {
    line->signal = std::move(value);
  } else {
    const bool setting = FindByFlag(flag) != nullptr || OneOf(kTraceSwitches, flag);
    const bool feature = FindFeatureByFlag(flag) != nullptr;
    if (feature) line->unsupported.push_back({flag, value});
    if (setting) line->settings.push_back({std::move(flag), std::move(value)});
  }
}

void Apply(const OptionRow& row, std::string_view value, Options* options) {
  std::visit(
      [&](auto field) {
        if constexpr (!std::is_same_v<decltype(field), std::monostate>) {
          auto& target = FieldOf(*options, field);
          using Type = std::decay_t<decltype(target)>;
          if constexpr (std::is_same_v<Type, bool>) {
            target = ParseFlagBool(value).value_or(false);
          } else if constexpr (std::is_same_v<Type, std::string>) {
            target = row.key == "cipher" ? ParseCipher(value).value_or("chacha") : value;
          } else if constexpr (std::is_same_v<Type, Durability>) {
            target = ParseDurability(value).value_or(Durability::kDurable);
          } else if constexpr (std::is_same_v<Type, std::chrono::nanoseconds>) {
            target = ParseDuration(value).value_or(std::chrono::nanoseconds(0));
          } else if constexpr (std::is_integral_v<Type>) {
            target = static_cast<Type>(ParseFlagInteger(value).value_or(0));
          }
        }
      },
      row.field);
}

}  // namespace

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
    const FlagKind kind = KindOf(flag);
    if (!kind.known) {
      line.error = "flag provided but not defined: -" + flag;
      return line;
    }
    if (!value && kind.is_bool) value = "true";
    if (!value) {
      if (at + 1 >= args.size()) {
        line.error = "flag needs an argument: -" + flag;
        return line;
      }
      value = args[++at];
    }
    line.error = CheckValue(kind, flag, *value);
    if (!line.error.empty()) return line;
    Take(&line, std::move(flag), std::move(*value));
  }
  line.words.assign(args.begin() + static_cast<std::ptrdiff_t>(at), args.end());
  return line;
}

void ApplyFlags(const CommandLine& line, Options* options, Origins* origins) {
  const auto note = [origins](std::string_view key, std::string_view flag) {
    (*origins)[std::string(key)] = absl::StrFormat("flag -%s", flag);
  };
  for (const FlagValue& setting : line.settings) {
    const OptionRow* row = FindByFlag(setting.flag);
    if (row == nullptr) continue;
    Apply(*row, setting.value, options);
    note(row->key, setting.flag);
  }
  // These combine others and win over them, whatever the order.
  for (const FlagValue& setting : line.settings) {
    if (!OneOf(kTraceSwitches, setting.flag)) continue;
    const bool on = ParseFlagBool(setting.value).value_or(false);
    options->trace = on;
    note("trace", setting.flag);
    if (setting.flag[0] == 'D') {
      options->debug = on;
      note("debug", setting.flag);
    }
    if (setting.flag.ends_with("VV")) {
      options->trace_verbose = on;
      note("trace_verbose", setting.flag);
    }
  }
}

void CheckFeatureFlags(const CommandLine& line, Diagnostics* diagnostics) {
  const auto value_of = [&line](std::string_view flags) {
    std::string value;
    for (const FlagValue& flag : line.unsupported) {
      if (OneOf(flags, flag.flag)) value = flag.value;
    }
    return value;
  };
  bool tls_off = false;
  bool tls = false;
  for (const FlagValue& flag : line.unsupported) {
    if (!flag.flag.starts_with("tls")) continue;
    if (flag.flag == "tls" && !*ParseFlagBool(flag.value)) {
      tls_off = true;
    } else {
      tls = true;
    }
  }
  if (tls && !tls_off) {
    if (value_of("tlscert").empty()) {
      diagnostics->errors.push_back("TLS Server certificate must be present and valid");
    } else if (value_of("tlskey").empty()) {
      diagnostics->errors.push_back("TLS Server private key must be present and valid");
    }
  }
  if (!value_of("routes").empty() && value_of("cluster|cluster_listen").empty()) {
    diagnostics->errors.push_back(
        "solicited routes require cluster capabilities, e.g. --cluster");
  }
  if (!diagnostics->errors.empty()) return;
  const Feature* last = nullptr;
  for (const FlagValue& flag : line.unsupported) {
    const Feature* feature = FindFeatureByFlag(flag.flag);
    const bool off = flag.value.empty() || flag.value == "0" || flag.value == "false" ||
                     (flag.flag.starts_with("tls") && tls_off);
    if (off || feature == last) continue;
    NoteFeature(*feature, "flag -" + flag.flag, diagnostics);
    last = feature;
  }
}

}  // namespace millrace::config
