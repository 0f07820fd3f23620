// SPDX-License-Identifier: Apache-2.0
#include "broker/control/store_wait.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/io/file_lock.h"
#include "store/shard/store_lock.h"

namespace millrace {
namespace {

constexpr int kAskEveryMs = 20;

Nanos Now() { return std::chrono::steady_clock::now().time_since_epoch(); }

StoreUser Self() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return {getpid(), host};
}

// Until it is time to ask again. The signal that came meanwhile, or 0.
int Sleep(int signal_fd, Logger* log) {
  pollfd signals{signal_fd, POLLIN, 0};
  if (poll(&signals, 1, kAskEveryMs) <= 0) return 0;
  signalfd_siginfo info{};
  if (read(signal_fd, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return 0;
  switch (static_cast<int>(info.ssi_signo)) {
    case SIGINT:
      log->Info("Trapped \"interrupt\" signal");
      break;
    case SIGTERM:
      log->Info("Trapped \"terminated\" signal");
      break;
    case SIGUSR1:
      log->Reopen();
      break;
    default:
      break;
  }
  return static_cast<int>(info.ssi_signo);
}

void WarnOfReach(const std::string& directory, Logger* log) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  const Mount mount = MountOf(fd);
  close(fd);
  if (ReachOf(mount) == LockReach::kEveryone) return;
  log->Warn(absl::StrFormat("Storage directory %s is on %s, where locks reach this machine only: see to it that no "
                            "server on another machine uses it",
                            directory, Describe(mount)));
}

}  // namespace

absl::Status TakeStore(Disk& disk, const StoreWait& wait, Logger* log) {
  const StoreUser self = Self();
  const Nanos start = Now();
  bool reload = false;
  for (bool waiting = false;; waiting = true) {
    const absl::Status status = LockStore(disk, self);
    const std::string why(status.message().data(), status.message().size());
    if (status.ok()) {
      if (waiting) log->Info(absl::StrFormat("The store %s is free", wait.directory));
      WarnOfReach(wait.directory, log);
      // Nothing is there to reload yet: whoever reads signals from now on finds it pending.
      if (reload) kill(getpid(), SIGHUP);
      return status;
    }
    if (absl::IsUnimplemented(status)) {
      return absl::UnavailableError(
          absl::StrFormat("the store %s cannot be locked: %s; mount it so that it has, or use a local disk",
                          wait.directory, why));
    }
    if (!absl::IsAlreadyExists(status)) {
      return absl::UnavailableError("storage directory is not writable: " + why);
    }
    if (Now() - start >= wait.patience) {
      const std::string still =
          waiting ? absl::StrFormat("still, after %s, ", config::FormatDuration(wait.patience)) : std::string();
      return absl::UnavailableError(absl::StrFormat(
          "the store %s is %sin use by %s; stop that server (or let it go to lame duck mode), or give this one a "
          "directory of its own (--store_dir); --store_lock_wait <duration> waits for it",
          wait.directory, still, why));
    }
    if (!waiting) {
      log->Info(absl::StrFormat("The store %s is in use by %s, waiting up to %s for it", wait.directory, why,
                                config::FormatDuration(wait.patience)));
    }
    const int signal = Sleep(wait.signal_fd, log);
    if (signal == SIGINT || signal == SIGTERM) return absl::CancelledError("told to stop");
    reload |= signal == SIGHUP;
  }
}

}  // namespace millrace
