// SPDX-License-Identifier: Apache-2.0
// What a stream's log costs: append, reading in order, the next match of a filter, overwriting keys as the stream ages.
// Aims: append 150 ns at 128 B with one subject, 300 ns with 100,000; load in order 60 ns; a filter that takes 1
//       message of
// 1,000 at least ten times cheaper than looking at each one.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/hash.h"
#include "proto/subject.h"
#include "store/memory_stream_log.h"

namespace millrace {
namespace {

uint64_t Scatter(uint64_t i) { return MixBits(i + 1, kHashKey0); }

std::vector<std::string> SubjectsOf(size_t n) {
  std::vector<std::string> subjects;
  for (size_t i = 0; i < n; ++i) subjects.push_back("fleet.eu." + std::to_string(i) + ".state");
  return subjects;
}

void AppendOne(StreamLog* log, std::string_view subject, std::string_view payload) {
  StoredMessage m;
  m.seq = log->state().last_seq + 1;
  m.time_ns = static_cast<int64_t>(m.seq) * 1000;
  m.subject = subject;
  m.payload = payload;
  log->Append(m);
}

// range: subjects. The stream is kept at a million messages, as max_msgs would.
void Append(benchmark::State& state, bool bounded) {
  const auto log = NewMemoryStreamLog(1, {});
  const auto subjects = SubjectsOf(static_cast<size_t>(state.range(0)));
  const std::string payload(128, 'x');
  uint64_t i = 0;
  for (auto _ : state) {
    AppendOne(log.get(), subjects[Scatter(i++) % subjects.size()], payload);
    if (bounded && log->state().messages > 100'000) log->TrimBelow(log->state().first_seq + 1);
    if (!bounded && log->state().messages >= 2'000'000) {
      state.PauseTiming();
      log->Purge();
      state.ResumeTiming();
    }
  }
}
void AppendOnly(benchmark::State& state) { Append(state, false); }
void AppendAndTrim(benchmark::State& state) { Append(state, true); }
BENCHMARK(AppendOnly)->Arg(1)->Arg(1000)->Arg(100'000);
BENCHMARK(AppendAndTrim)->Arg(1)->Arg(1000)->Arg(100'000);

StreamLog& Million(size_t subject_count) {
  static size_t held = 0;
  static std::unique_ptr<StreamLog> log;
  if (held == subject_count) return *log;
  held = subject_count;
  log = NewMemoryStreamLog(1, {});
  const auto subjects = SubjectsOf(subject_count);
  const std::string payload(128, 'x');
  for (uint64_t i = 0; i < 1'000'000; ++i) AppendOne(log.get(), subjects[Scatter(i) % subject_count], payload);
  return *log;
}

void LoadInOrder(benchmark::State& state) {
  StreamLog& log = Million(1000);
  uint64_t seq = 1;
  for (auto _ : state) {
    StoredMessage m;
    if (log.Load(seq, &m) != LoadStatus::kFound) state.SkipWithError("not there");
    benchmark::DoNotOptimize(m);
    if (++seq > 1'000'000) seq = 1;
  }
}
BENCHMARK(LoadInOrder);

void LoadAnywhere(benchmark::State& state) {
  StreamLog& log = Million(1000);
  uint64_t i = 0;
  for (auto _ : state) {
    StoredMessage m;
    if (log.Load(1 + Scatter(i++) % 1'000'000, &m) != LoadStatus::kFound) state.SkipWithError("not there");
    benchmark::DoNotOptimize(m);
  }
}
BENCHMARK(LoadAnywhere);

// One match in `range` messages, a literal filter or one with a star.
void NextMatch(benchmark::State& state, const char* tail) {
  StreamLog& log = Million(static_cast<size_t>(state.range(0)));
  const Filters filters = {std::string("fleet.") + tail};
  uint64_t seq = 1;
  for (auto _ : state) {
    const uint64_t found = log.Next(filters, seq);
    seq = found == 0 ? 1 : found + 1;
  }
}
void NextLiteral(benchmark::State& state) { NextMatch(state, "eu.7.state"); }
void NextWildcard(benchmark::State& state) { NextMatch(state, "*.7.*"); }
void NextWide(benchmark::State& state) { NextMatch(state, "eu.*.state"); }
BENCHMARK(NextLiteral)->Arg(10)->Arg(1000)->Arg(100'000);
BENCHMARK(NextWildcard)->Arg(10)->Arg(1000)->Arg(100'000);
BENCHMARK(NextWide)->Arg(1000)->Arg(100'000);

// The same by looking at each message: what the index saves.
void NextByScanning(benchmark::State& state) {
  StreamLog& log = Million(static_cast<size_t>(state.range(0)));
  uint64_t seq = 1;
  for (auto _ : state) {
    StoredMessage m;
    do {
      if (++seq > 1'000'000) seq = 1;
      log.Load(seq, &m);
    } while (!SubjectMatches(m.subject, "fleet.*.7.*"));
  }
}
BENCHMARK(NextByScanning)->Arg(1000);

// Keys are overwritten, one message each stays. range: millions written before.
void OverwriteKey(benchmark::State& state) {
  const auto log = NewMemoryStreamLog(1, {});
  const auto subjects = SubjectsOf(100'000);
  const std::string payload(128, 'x');
  uint64_t i = 0;
  const auto overwrite = [&] {
    const std::string& subject = subjects[Scatter(i++) % subjects.size()];
    const auto before = log->FindSubject(subject);
    AppendOne(log.get(), subject, payload);
    if (before.has_value()) log->Remove(before->first_seq, StreamLog::Erase::kNo);
  };
  while (i < static_cast<uint64_t>(state.range(0)) * 1'000'000) overwrite();
  for (auto _ : state) overwrite();
}
BENCHMARK(OverwriteKey)->Arg(0)->Arg(1)->Arg(4)->Arg(16)->Iterations(500'000);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
