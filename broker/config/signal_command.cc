// SPDX-License-Identifier: Apache-2.0
#include "broker/config/signal_command.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "absl/strings/str_format.h"
#include "broker/config/language/parser.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

template <typename... Args>
absl::Status Error(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

std::optional<int> SignalOf(std::string_view command) {
  static constexpr std::pair<std::string_view, int> kCommands[] = {
      {"stop", SIGKILL},   {"quit", SIGINT},   {"reopen", SIGUSR1},
      {"reload", SIGHUP},  {"ldm", SIGUSR2},   {"term", SIGTERM},
  };
  for (const auto& [name, signal] : kCommands) {
    if (name == command) return signal;
  }
  return std::nullopt;
}

int KillProcess(int pid, int signal) { return ::kill(pid, signal) == 0 ? 0 : errno; }

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

std::vector<int> FindServers() {
  std::vector<int> pids;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir("/proc"));
  if (directory == nullptr) return pids;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::optional<int> pid = ParseDecimal(entry->d_name);
    if (!pid || *pid <= 0 || *pid == ::getpid()) continue;
    const auto name = ReadWholeFile(absl::StrFormat("/proc/%d/comm", *pid));
    if (!name.ok()) continue;  // gone meanwhile
    if (name->find("nats-server") != std::string::npos ||
        name->find("millrace") != std::string::npos) {
      pids.push_back(*pid);
    }
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

absl::Status SendSignal(std::string_view argument, const SignalTargets& targets) {
  const std::vector<std::string> parts = Split(argument, '=');
  if (parts.size() > 2) {
    std::string rest;
    for (size_t i = 2; i < parts.size(); ++i) rest += (i > 2 ? " " : "") + parts[i];
    return Error("invalid signal parameters: [%s]", rest);
  }
  std::string expression = parts.size() == 2 ? parts[1] : "";
  if (const auto file = ReadWholeFile(expression); !expression.empty() && file.ok()) {
    expression = std::string(TrimSpace(*file));
  }
  const bool any = expression.ends_with('*');
  if (any) expression.pop_back();
  std::vector<int> pids;
  if (!expression.empty()) {
    const std::optional<int> pid = ParseDecimal(expression);
    // Zero and negative numbers would reach whole process groups.
    if (!pid || *pid <= 0) return Error("invalid pid: %s", expression);
    pids.push_back(*pid);
  }
  if (expression.empty() || any) pids = targets.find();
  if (pids.size() > 1 && !any) {
    std::string text = "multiple nats-server processes running:";
    for (int pid : pids) text += absl::StrFormat("\n%d", pid);
    return Error("%s", text);
  }
  if (pids.empty()) return Error("no nats-server processes running");
  const std::optional<int> signal = SignalOf(parts[0]);
  if (!signal) return Error("unknown signal %s", Quoted(parts[0]));
  std::string failed;
  for (int pid : pids) {
    if (any && !std::to_string(pid).starts_with(expression)) continue;
    const int error = targets.kill != nullptr ? targets.kill(pid, *signal)
                                              : KillProcess(pid, *signal);
    if (error != 0) {
      failed += absl::StrFormat("\nsignal %s %d: %s", Quoted(parts[0]), pid, ErrnoText(error));
    }
  }
  if (!failed.empty()) return Error("%s", failed);
  return absl::OkStatus();
}

}  // namespace millrace::config
