// SPDX-License-Identifier: Apache-2.0
// fair: what a quiet client feels while another one floods the same server: the open loop beside a closed loop that
// saturates it. The flood is a process of its own, of lower priority, so that the generator's own work on it does not
// keep the quiet client waiting; that the server is saturated shows in server_cpu_share.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "bench/load/scenario.h"

namespace millrace::bench {
namespace {

Flags FlagsOf(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return Flags(static_cast<int>(argv.size()), argv.data(), 0);
}

// Both processors rest for a while: real-time processes that never do are stopped by the kernel for 50 ms of each
// second.
void Rest(int) {
  const timespec rest{0, 20'000'000};
  nanosleep(&rest, nullptr);
}

[[noreturn]] void Flood(const Setup& setup, uint64_t subscribers, uint64_t size) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, STDOUT_FILENO);
  if (sched_getscheduler(0) == SCHED_OTHER) {
    setpriority(PRIO_PROCESS, 0, 10);
  } else {
    std::signal(SIGALRM, Rest);
    const itimerval interval{{0, 200'000}, {0, 200'000}};
    setitimer(ITIMER_REAL, &interval, nullptr);
  }
  Flags flags = FlagsOf({"--subs", std::to_string(subscribers), "--size", std::to_string(size), "--msgs", "1000000M"});
  Setup flood = setup;
  flood.flags = &flags;
  flood.progress = false;
  _exit(RunFanout(flood));
}

// Above the flood's, if ours is a real-time priority; otherwise the flood has made itself nice.
void RaisePriority() {
  const int policy = sched_getscheduler(0);
  sched_param priority{};
  if (policy == SCHED_OTHER || sched_getparam(0, &priority) != 0) return;
  ++priority.sched_priority;
  sched_setscheduler(0, policy, &priority);
}

}  // namespace

int RunFair(Setup& setup) {
  Flags& flags = *setup.flags;
  const uint64_t subscribers = flags.Number("flood-subs", 8);
  const uint64_t flood_size = flags.Number("flood-size", 128);
  const double rate = flags.Real("rate", 1000);
  const double seconds = flags.Real("seconds", 5);
  flags.RejectUnknown();

  const pid_t flood = fork();
  if (flood < 0) Fail("fork failed");
  if (flood == 0) Flood(setup, subscribers, flood_size);
  RaisePriority();
  Flags quiet_flags = FlagsOf({"--subject", "quiet", "--sleep", "--rate", std::to_string(rate), "--seconds",
                               std::to_string(seconds)});
  Setup quiet = setup;
  quiet.flags = &quiet_flags;
  const int status = RunOpen(quiet);
  const bool flooding = waitpid(flood, nullptr, WNOHANG) == 0;
  if (flooding) {
    kill(flood, SIGKILL);
    waitpid(flood, nullptr, 0);
  }
  return flooding ? status : kExitIncorrect;
}

}  // namespace millrace::bench
