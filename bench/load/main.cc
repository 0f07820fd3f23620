// SPDX-License-Identifier: Apache-2.0
// millrace-load: a load generator for NATS servers that needs less CPU than the servers it drives.
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "bench/load/scenario.h"

namespace millrace::bench {
namespace {

constexpr char kUsage[] =
    R"(usage: millrace-load SCENARIO [options]

scenarios
  pub       publish only; ends with PING and PONG      --pubs 1 --size 16 --msgs 1M
  fanout    every subscriber gets every message        --pubs 1 --subs 1 --size 128 --msgs 1M
            --headers  --subjects K [--wildcard]  --other-subs N
            --slow N (subscribers more, which never read)
  queue     one queue group                            --members 8 --pubs 1 --size 128 --msgs 1M
  request   round trips through a responder            --requesters 1 --inflight 1 --size 16 --msgs 20k
  store     publish into a JetStream stream,           --inflight 1000 --size 128 --msgs 100k  --subjects K
            each message confirmed                     --stream '"storage":"file"' (of its configuration)
  open      open loop at a fixed rate, latency from    --rate 10k --seconds 5 --pubs 1 --subs 1
            the intended send time                     --size 128 --sleep
            --rest-ms N (after each 200 ms of schedule, so that a real-time process is not stopped by the kernel)
  fair      an open loop while another client floods   --rate 1000 --seconds 5 --flood-subs 8 --flood-size 128
  churn     SUB and UNSUB of unique inboxes            --pairs 200k --batch 128 --size 128
            while publishing                           --no-publish
  connect   connect, CONNECT, PING, PONG, disconnect   --conns 10k --parallel 64
  idle      hold connections until stdin closes        --conns 1000 --seconds N --subscribe
            --settle-s N (before the CPU time counts)

all scenarios
  --host 127.0.0.1  --port 4222  --user U  --password P
  --to-user U --to-password P --to-subject S (of those who receive, in another account or behind a mapping;
            fanout, queue, request)
  --server-pid PID  also report the server's CPU time   --progress   --stall-s 10
  --subject bench   --block 64Ki (bytes per send)
  --window 512Ki (undelivered bytes per publisher)   --backlog 32Mi (the same, times all subscribers)
  --recv-bytes N    --recv-buffers N (power of two)

Numbers may end in k, M, Ki, Mi. The last line on stdout is JSON. Exit status: 0 all arrived as it should,
1 the run failed, 2 messages were lost, duplicated, out of order or malformed, 64 wrong usage.
)";

struct ScenarioEntry {
  std::string_view name;
  int (*run)(Setup& setup);
};

constexpr std::array kScenarios = {
    ScenarioEntry{"pub", RunPub},         ScenarioEntry{"fanout", RunFanout},
    ScenarioEntry{"queue", RunQueue},     ScenarioEntry{"request", RunRequest},
    ScenarioEntry{"open", RunOpen},       ScenarioEntry{"fair", RunFair},
    ScenarioEntry{"churn", RunChurn},     ScenarioEntry{"connect", RunConnect},
    ScenarioEntry{"idle", RunIdle},       ScenarioEntry{"store", RunStore},
};

// As many descriptors as the machine allows; root may raise the hard limit as well.
void RaiseFileLimit() {
  rlimit limit{};
  limit.rlim_cur = limit.rlim_max = 130'000;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Main(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h") {
    std::fputs(kUsage, argc < 2 ? stderr : stdout);
    return argc < 2 ? 64 : 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  Flags flags(argc, argv, 2);
  Setup setup{&flags, {}, {}};
  setup.target.host = flags.Text("host", "127.0.0.1");
  setup.target.port = static_cast<uint16_t>(flags.Number("port", 4222));
  setup.target.user = flags.Text("user", "");
  setup.target.password = flags.Text("password", "");
  setup.receivers = setup.target;
  setup.receivers.user = flags.Text("to-user", setup.target.user);
  setup.receivers.password = flags.Text("to-password", setup.target.password);
  setup.server_pid = static_cast<pid_t>(flags.Number("server-pid", 0));
  setup.progress = flags.Bool("progress");
  setup.stall_ns = flags.Number("stall-s", 10) * 1'000'000'000;

  for (const ScenarioEntry& scenario : kScenarios) {
    if (scenario.name == argv[1]) return scenario.run(setup);
  }
  std::fprintf(stderr, "millrace-load: no scenario %s (see --help)\n", argv[1]);
  return 64;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) { return millrace::bench::Main(argc, argv); }
