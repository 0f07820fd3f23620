// SPDX-License-Identifier: Apache-2.0
// sim: runs the broker's shards against scripted clients under a simulated kernel, one seed after the other.
//   sim [--seeds=FROM:COUNT | --seed=N] [--shards=N] [--ops=N] [--stops | --jetstream | --accounts]
//       [--trace] [--verbose] [--keep-going] [--no-fork]
// Each seed runs in a process of its own, so that it finds the same memory layout whether it runs alone or among
// thousands. Exit code 1 and a line to repeat it when a seed fails.
#include <signal.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/sim/jetstream_run.h"
#include "tests/sim/world.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }
extern "C" const char* __asan_default_options() { return "detect_leaks=1"; }

namespace millrace::sim {
namespace {

struct Arguments {
  uint64_t from = 1;
  uint64_t count = 300;
  uint32_t shards = 0;
  uint64_t operations = 0;
  bool stops = false;
  bool jetstream = false;
  bool accounts = false;
  bool trace = false;
  bool verbose = false;
  bool keep_going = false;
  bool fork = true;
};

Arguments g_arguments;
uint64_t g_seed = 0;
const char* g_program = "sim";

void PrintReplay() {
  std::string line = std::string("replay: ") + g_program + " --seed=" + std::to_string(g_seed);
  if (g_arguments.shards != 0) line += " --shards=" + std::to_string(g_arguments.shards);
  if (g_arguments.operations != 0) line += " --ops=" + std::to_string(g_arguments.operations);
  if (g_arguments.stops) line += " --stops";
  if (g_arguments.jetstream) line += " --jetstream";
  if (g_arguments.accounts) line += " --accounts";
  std::fprintf(stderr, "%s --trace\n", line.c_str());
}

bool Take(std::string_view argument, std::string_view name, std::string* value) {
  if (!argument.starts_with(name) || argument.size() <= name.size() || argument[name.size()] != '=') return false;
  *value = argument.substr(name.size() + 1);
  return true;
}

bool Parse(int argc, char** argv) {
  Arguments& a = g_arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    std::string value;
    const auto number = [&value] { return std::strtoull(value.c_str(), nullptr, 10); };
    if (Take(argument, "--seeds", &value)) {
      a.from = number();
      const size_t colon = value.find(':');
      a.count = colon == std::string::npos ? 1 : std::strtoull(value.c_str() + colon + 1, nullptr, 10);
    } else if (Take(argument, "--seed", &value)) {
      a.from = number();
      a.count = 1;
    } else if (Take(argument, "--shards", &value)) {
      a.shards = static_cast<uint32_t>(number());
    } else if (Take(argument, "--ops", &value)) {
      a.operations = number();
    } else if (argument == "--stops") {
      a.stops = true;
    } else if (argument == "--jetstream") {
      a.jetstream = true;
    } else if (argument == "--accounts") {
      a.accounts = true;
    } else if (argument == "--trace") {
      a.trace = true;
    } else if (argument == "--verbose") {
      a.verbose = true;
    } else if (argument == "--keep-going") {
      a.keep_going = true;
    } else if (argument == "--no-fork") {
      a.fork = false;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      return false;
    }
  }
  return a.shards <= 4;
}

void RunSeed(uint64_t seed) {
  g_seed = seed;
  if (g_arguments.jetstream) {
    // Memory of crashed servers is not given back: no look for lost memory here.
    const std::string summary = RunJetStreamLives(seed, g_arguments.shards, g_arguments.operations);
    if (g_arguments.verbose) std::printf("seed %" PRIu64 ": %s\n", seed, summary.c_str());
    return;
  }
  {
    SimWorld world(seed, g_arguments.shards, g_arguments.operations);
    if (g_arguments.accounts) {
      world.RunAccounts();
    } else {
      g_arguments.stops ? world.RunStop() : world.Run();
    }
    if (g_arguments.verbose) std::printf("seed %" PRIu64 ": %s\n", seed, world.Summary().c_str());
  }
#if defined(__SANITIZE_ADDRESS__)
  if (__lsan_do_recoverable_leak_check() != 0) Fail("memory was lost");
#endif
}

// True if the seed was kept.
bool RunForked(uint64_t seed) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    RunSeed(seed);
    std::fflush(nullptr);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status == 0) return true;
  std::fprintf(stderr, "seed %" PRIu64 " failed (%s %d)\n", seed, WIFSIGNALED(status) ? "signal" : "exit code",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  g_seed = seed;
  PrintReplay();
  return false;
}

int Main(int argc, char** argv) {
  // The order in which the broker's hash sets are walked depends on addresses: the same ones every time.
  const int persona = personality(0xffffffff);
  if (persona != -1 && (persona & ADDR_NO_RANDOMIZE) == 0 &&
      personality(static_cast<unsigned long>(persona) | ADDR_NO_RANDOMIZE) != -1) {
    execv("/proc/self/exe", argv);
  }
  g_program = argv[0];
  static char buffer[65536];
  std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  if (!Parse(argc, argv)) return 2;
  uint64_t failed = 0;
  for (uint64_t i = 0; i < g_arguments.count; ++i) {
    const uint64_t seed = g_arguments.from + i;
    if (!g_arguments.fork) {
      RunSeed(seed);
    } else if (!RunForked(seed)) {
      ++failed;
      if (!g_arguments.keep_going) break;
    }
  }
  if (failed > 0) {
    std::fprintf(stderr, "%" PRIu64 " seeds failed\n", failed);
    return 1;
  }
  std::printf("%" PRIu64 " seeds from %" PRIu64 " kept every rule\n", g_arguments.count, g_arguments.from);
  return 0;
}

}  // namespace

void Fail(const std::string& what) {
  std::fflush(stdout);
  std::fprintf(stderr, "seed %" PRIu64 ": %s\n", g_seed, what.c_str());
  _exit(3);
}

// Runs with JetStream or accounts make their lines whether they are shown or not: what is allocated for them moves what
// is allocated behind it, and with it the order in which hash sets are walked.
bool Tracing() { return g_arguments.trace || g_arguments.jetstream || g_arguments.accounts; }
void Trace(const std::string& line) {
  if (!g_arguments.trace) return;
  std::fputs(line.c_str(), stdout);
  std::fputc('\n', stdout);
}

}  // namespace millrace::sim

int main(int argc, char** argv) { return millrace::sim::Main(argc, argv); }
