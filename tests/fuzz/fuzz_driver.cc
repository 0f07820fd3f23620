// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_driver.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr size_t kInputBytesMax = 16384;

// What to say when a target aborts: the driver has one input under way at any time.
const char* g_bytes = nullptr;
size_t g_size = 0;
unsigned long g_run = 0;
bool g_expect_finding = false;

void OnAbort(int) {
  if (g_expect_finding) {
    std::fprintf(stderr, "found it in run %lu, as it should be\n", g_run);
    std::_Exit(0);
  }
  std::fprintf(stderr, "run %lu, %zu bytes: %s\n", g_run, g_size,
               Escaped(std::string_view(g_bytes, g_size)).c_str());
  std::signal(SIGABRT, SIG_DFL);
}

// Each input lies in a block of exactly its size, so that a sanitizer sees one byte too many.
void RunOne(std::string_view input) {
  const std::unique_ptr<char[]> copy(new char[input.size()]);
  if (!input.empty()) std::memcpy(copy.get(), input.data(), input.size());
  g_bytes = copy.get();
  g_size = input.size();
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(copy.get()), input.size());
  g_bytes = nullptr;
  g_size = 0;
}

void MutateInput(std::string* input, const std::vector<std::string>& seeds, SeededRandom* random) {
  const size_t at = random->Below(input->size() + 1);
  switch (random->Below(8)) {
    case 0:  // another byte
      if (at < input->size()) (*input)[at] = static_cast<char>(random->Next());
      break;
    case 1:  // a flipped bit
      if (at < input->size()) (*input)[at] = static_cast<char>((*input)[at] ^ (1 << random->Below(8)));
      break;
    case 2:
      input->erase(at, 1 + random->Below(8));
      break;
    case 3:
      input->insert(at, 1 + random->Below(3), static_cast<char>(random->Next()));
      break;
    case 4: {  // a byte that separates
      static constexpr std::string_view kSeparators = "\r\n \t.:*>0";
      input->insert(at, 1, kSeparators[random->Below(kSeparators.size())]);
      break;
    }
    case 5: {  // a piece of a seed
      const std::string& seed = seeds[random->Below(seeds.size())];
      const size_t from = random->Below(seed.size() + 1);
      input->insert(at, seed.substr(from, random->Below(60)));
      break;
    }
    case 6:  // a piece of itself
      input->insert(at, input->substr(random->Below(input->size() + 1), random->Below(60)));
      break;
    default:  // a longer run of one byte
      input->insert(at, random->Below(random->OneIn(10) ? 5000 : 80), "a 9\r"[random->Below(4)]);
  }
  if (input->size() > kInputBytesMax) input->resize(kInputBytesMax);
}

int FuzzMain(int argc, char** argv) {
  unsigned long runs = 10000;
  uint64_t seed = 1;
  std::vector<std::string> corpus = FuzzSeeds();
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg.starts_with("--runs=")) {
      runs = std::strtoul(argv[i] + 7, nullptr, 10);
    } else if (arg.starts_with("--seed=")) {
      seed = std::strtoull(argv[i] + 7, nullptr, 10);
    } else if (arg == "--expect-finding") {
      g_expect_finding = true;
    } else {
      std::ifstream file(argv[i], std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  std::signal(SIGABRT, OnAbort);
  for (const std::string& input : corpus) RunOne(input);
  SeededRandom random(seed);
  for (g_run = 1; g_run <= runs; ++g_run) {
    std::string input = corpus[random.Below(corpus.size())];
    for (size_t n = 1 + random.Below(6); n > 0; --n) MutateInput(&input, corpus, &random);
    RunOne(input);
  }
  std::printf("%zu seeds and %lu mutated inputs from seed %llu, nothing found\n", corpus.size(), runs,
              static_cast<unsigned long long>(seed));
  return g_expect_finding ? 1 : 0;
}

}  // namespace

void FuzzFail(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: finding: not %s\n", file, line, what);
  std::abort();
}

}  // namespace millrace

int main(int argc, char** argv) { return millrace::FuzzMain(argc, argv); }
