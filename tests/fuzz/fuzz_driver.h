// SPDX-License-Identifier: Apache-2.0
// FuzzDriver: what a fuzz target is to this tree. gcc brings no libFuzzer, so fuzz_driver.cc has a main of its own that
// replays seeds, then mutates them by a seeded PRNG for a bounded number of runs. A target is a file with the two
// functions below; it links unchanged against libFuzzer where there is one (which ignores FuzzSeeds).
// Owner:  process (test only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

// Runs one input. A finding is a crash (abort by FUZZ_REQUIRE or MR_CHECK, or a sanitizer's report).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

// Inputs to begin with, and pieces that mutations splice in.
std::vector<std::string> FuzzSeeds();

namespace millrace {
[[noreturn]] void FuzzFail(const char* file, int line, const char* what);
}  // namespace millrace

#define FUZZ_REQUIRE(condition)                                     \
  do {                                                              \
    if (!(condition)) ::millrace::FuzzFail(__FILE__, __LINE__, #condition); \
  } while (false)
