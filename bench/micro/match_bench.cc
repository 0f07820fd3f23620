// SPDX-License-Identifier: Apache-2.0
// What a walk of the trie costs with up to a million filters, what inbox churn costs beside them, and the memory.
// The match cache of route/ stands in front: these are the misses (design aim: 300 ns).
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "proto/subject_trie.h"

namespace millrace {
namespace {

struct Interest {
  uint64_t a = 0;
  uint64_t b = 0;
};
using Trie = SubjectTrie<Interest>;

uint64_t Scatter(uint64_t i) { return MixBits(i + 1, kHashKey0); }

std::string Name(std::string_view head, uint64_t i) {
  char text[80];
  std::snprintf(text, sizeof text, "%.*s%016llx", static_cast<int>(head.size()), head.data(),
                static_cast<unsigned long long>(Scatter(i)));
  return text;
}

// One trie for all: n inboxes, a tenth as many device filters with a star, some wide ones.
Trie& TrieOf(size_t n) {
  static size_t held = 0;
  static std::unique_ptr<Trie> trie;
  if (held != n) {
    trie = std::make_unique<Trie>();
    held = n;
    for (size_t i = 0; i < n; ++i) trie->Insert(Name("_INBOX.", i));
    for (size_t i = 0; i < n / 10; ++i) trie->Insert(Name("fleet.eu.", i) + ".*.state");
    for (const std::string_view wide : {"fleet.>", "fleet.*.*.speed.state", "audit.*.>"}) trie->Insert(wide);
  }
  return *trie;
}

void Subjects(benchmark::State& state, std::string_view head, std::string_view tail, size_t there, size_t from,
              size_t values_each) {
  Trie& trie = TrieOf(static_cast<size_t>(state.range(0)));
  std::vector<std::string> subjects;
  for (size_t i = 0; i < 65536; ++i) {
    subjects.push_back(Name(head, from + Scatter(i) % there) + std::string(tail));
  }
  size_t i = 0;
  size_t values = 0;
  for (auto _ : state) {
    trie.Match(subjects[i++ & 65535], [&](Interest& interest) {
      interest.a += 1;
      ++values;
    });
  }
  if (values != values_each * state.iterations()) state.SkipWithError("wrong number of matches");
  state.counters["bytes_per_filter"] =
      static_cast<double>(trie.memory_bytes()) / static_cast<double>(trie.filter_count());
}

void MatchInbox(benchmark::State& state) {
  Subjects(state, "_INBOX.", "", static_cast<size_t>(state.range(0)), 0, 1);
}
void MatchNothing(benchmark::State& state) {
  Subjects(state, "_INBOX.", "", 1'000'000, 5'000'000, 0);
}
void MatchFleet(benchmark::State& state) {
  Subjects(state, "fleet.eu.", ".speed.state", static_cast<size_t>(state.range(0)) / 10, 0, 3);
}
BENCHMARK(MatchInbox)->Arg(1000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(MatchNothing)->Arg(1000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(MatchFleet)->Arg(1000)->Arg(100'000)->Arg(1'000'000);

// One inbox comes and the one of 1,000 ago goes, as request/reply makes them.
void ChurnInbox(benchmark::State& state) {
  Trie& trie = TrieOf(static_cast<size_t>(state.range(0)));
  std::vector<std::string> names;
  for (size_t i = 0; i < 65536; ++i) names.push_back(Name("_INBOX.", 9'000'000 + i));
  size_t i = 0;
  for (auto _ : state) {
    trie.Insert(names[i & 65535]);
    if (i >= 1000) trie.Erase(names[(i - 1000) & 65535]);
    ++i;
  }
  for (const std::string& name : names) trie.Erase(name);
}
BENCHMARK(ChurnInbox)->Arg(1000)->Arg(1'000'000);

void InsertMillion(benchmark::State& state) {
  for (auto _ : state) {
    Trie trie;
    char text[32] = "t.";
    for (uint64_t i = 0; i < 1'000'000; ++i) {
      const uint64_t x = Scatter(i);
      for (size_t k = 0; k < 16; ++k) text[2 + k] = "0123456789abcdef"[(x >> (4 * k)) & 15];
      trie.Insert(std::string_view(text, 18));
    }
    benchmark::DoNotOptimize(trie.filter_count());
  }
  state.SetItemsProcessed(state.iterations() * 1'000'000);
}
BENCHMARK(InsertMillion)->Unit(benchmark::kMillisecond);

void HashOf(benchmark::State& state) {
  std::string subject(static_cast<size_t>(state.range(0)), 'a');
  for (auto _ : state) {
    benchmark::DoNotOptimize(subject.data());
    benchmark::DoNotOptimize(HashSubject(subject));
  }
}
BENCHMARK(HashOf)->Arg(5)->Arg(16)->Arg(32)->Arg(100);

void PartitionsOf(benchmark::State& state) {
  std::string_view subject = "orders.eu.abc123";
  for (auto _ : state) {
    benchmark::DoNotOptimize(subject);
    benchmark::DoNotOptimize(PartitionsOfSubject(7, subject));
  }
}
BENCHMARK(PartitionsOf);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
