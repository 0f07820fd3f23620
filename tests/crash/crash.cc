// SPDX-License-Identifier: Apache-2.0
// Cuts a workload at every write and every sync, recovers from what survived, twice, and compares with the oracle.
// Usage: crash [--ops=N] [--seed=N] [--lives=N] [--every=N] [--fake] [--faults] [--full] [--encrypt] [--processes]
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/crash/workload.h"

int main(int argc, char** argv) {
  uint64_t ops = 10'000;
  uint64_t seed = 1;
  uint64_t lives = 10;
  uint64_t every = 1;
  bool fake = false;
  bool faults = false;
  bool full = false;
  bool encrypt = false;
  bool processes = false;
  for (int i = 1; i < argc; ++i) {
    const auto number = [&](const char* name, uint64_t* to) {
      const size_t length = std::strlen(name);
      if (std::strncmp(argv[i], name, length) == 0) *to = std::strtoull(argv[i] + length, nullptr, 10);
    };
    number("--ops=", &ops);
    number("--seed=", &seed);
    number("--lives=", &lives);
    number("--every=", &every);
    fake |= std::strcmp(argv[i], "--fake") == 0;
    faults |= std::strcmp(argv[i], "--faults") == 0;
    full |= std::strcmp(argv[i], "--full") == 0;
    encrypt |= std::strcmp(argv[i], "--encrypt") == 0;
    processes |= std::strcmp(argv[i], "--processes") == 0;
  }
  millrace::Workload workload(seed, !fake);
  workload.set_every(every);
  workload.set_faults(faults);
  workload.set_full(full);
  workload.set_encrypt(encrypt);
  workload.set_processes(processes);
  for (uint64_t life = 0; life < lives; ++life) {
    if (!workload.Life(ops / lives)) {
      std::printf("seed %zu, life %zu: %s\n", static_cast<size_t>(seed), static_cast<size_t>(life),
                  workload.failure().c_str());
      return 1;
    }
  }
  if (encrypt) {
    std::printf("%zu lives ended with nothing under old keys\n", static_cast<size_t>(workload.finished()));
    if (!faults && workload.finished() == 0) return 1;
  }
  if (processes) {
    std::printf("%zu stores handed over, %zu processes killed, %zu second processes refused\n",
                static_cast<size_t>(workload.handed_over()), static_cast<size_t>(workload.killed()),
                static_cast<size_t>(workload.refused()));
    if (workload.handed_over() + workload.killed() == 0 || workload.refused() == 0) return 1;
  }
  if (full) {
    std::printf("%zu operations met a full disk\n", static_cast<size_t>(workload.met_full()));
    if (workload.met_full() == 0) return 1;
  }
  std::printf(
      "seed %zu: %zu operations, %zu records acknowledged, %zu checkpoints, %zu failures, %zu bytes scrubbed, "
      "%zu messages erased, %zu boundaries cut: all good\n",
      static_cast<size_t>(seed), static_cast<size_t>(ops), static_cast<size_t>(workload.acknowledged()),
      static_cast<size_t>(workload.checkpoints()), static_cast<size_t>(workload.failures()),
      static_cast<size_t>(workload.scrubbed_bytes()), static_cast<size_t>(workload.erased()),
      static_cast<size_t>(workload.boundaries()));
  return 0;
}
