// SPDX-License-Identifier: Apache-2.0
// What a stream's log costs: append, reading in order, the next match of a filter, overwriting keys as the stream ages.
// Aims: append 150 ns at 128 B with one subject, 300 ns with 100,000; load in order 60 ns; a filter that takes 1
//       message of
// 1,000 at least ten times cheaper than looking at each one.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/micro/bench_keys.h"
#include "bench/micro/ram_disk.h"
#include "proto/hash.h"
#include "proto/subject.h"
#include "store/segment/file_stream_log.h"
#include "store/segment/memory_stream_log.h"
#include "store/segment/segment_store.h"

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

// --- file streams, over a disk and a journal that cost nothing of their own

class NullJournal final : public Journal {
 public:
  Lsn Append(RecordKind, uint64_t, std::initializer_list<std::string_view>) override { return ++lsn_; }
  Lsn staged() const override { return lsn_; }
  Lsn durable() const override { return lsn_; }
  bool accepting() const override { return true; }

 private:
  Lsn lsn_ = 0;
};

struct FileStore {
  RamDisk disk;
  NullJournal journal;
  std::unique_ptr<StoreKeys> keys;
  std::unique_ptr<SegmentStore> store;
  std::unique_ptr<StoredLog> stored;
  FileStreamLog* log = nullptr;  // the same

  explicit FileStore(int64_t cipher = 0) : keys(KeysOf(cipher)) { Open(); }
  ~FileStore() { Close(); }
  void Open() {
    SegmentStoreOptions options;
    options.keys = keys.get();
    store = std::move(SegmentStore::Open(disk, options)).value();
    stored = store->Create(1, StreamLogOptions{}, journal);
    log = static_cast<FileStreamLog*>(stored->log());
  }
  void Close() {
    stored.reset();
    Turn();
    store.reset();
  }
  void Turn() {
    store->EndTurn();
    disk.RunCompletions();
  }
  std::string Checkpoint() {
    log->Flush();
    while (!log->flushed()) Turn();
    std::string blob;
    log->EncodeCheckpoint(&blob);
    store->OnCheckpointed(true);
    return blob;
  }
};

// range(1): cipher, 0: none.
void FileAppend(benchmark::State& state) {
  FileStore files(state.range(1));
  files.store->OnRecovered();
  const auto subjects = SubjectsOf(static_cast<size_t>(state.range(0)));
  const std::string payload(128, 'x');
  uint64_t i = 0;
  for (auto _ : state) {
    AppendOne(files.log, subjects[Scatter(i++) % subjects.size()], payload);
    if (i % 256 == 0) files.Turn();
    if (files.log->state().messages > 1'000'000) files.log->Purge();
  }
}
BENCHMARK(FileAppend)->ArgsProduct({{1, 100'000}, {0, 1, 2}});

// Everything is on disk and 16 MiB of it are in memory. range: cipher, 0: none.
void FileLoadInOrder(benchmark::State& state) {
  FileStore files(state.range(0));
  files.store->OnRecovered();
  const std::string payload(128, 'x');
  for (int i = 0; i < 1'000'000; ++i) {
    AppendOne(files.log, "orders.eu", payload);
    if (i % 256 == 0) files.Turn();
  }
  files.Checkpoint();
  uint64_t seq = 1;
  for (auto _ : state) {
    StoredMessage m;
    while (files.log->Load(seq, &m) == LoadStatus::kPending) files.Turn();
    benchmark::DoNotOptimize(m);
    if (++seq > 1'000'000) seq = 1;
  }
}
BENCHMARK(FileLoadInOrder)->Arg(0)->Arg(1)->Arg(2);

// Ten million messages of 1,000 subjects: from a checkpoint to the first answer about a subject.
void FileRestart(benchmark::State& state) {
  FileStore files;
  files.store->OnRecovered();
  const auto subjects = SubjectsOf(1000);
  const std::string payload(32, 'x');
  for (uint64_t i = 0; i < 10'000'000; ++i) {
    AppendOne(files.log, subjects[Scatter(i) % 1000], payload);
    if (i % 256 == 0) files.Turn();
  }
  const std::string blob = files.Checkpoint();
  files.Turn();
  double rest = 0;
  double full = 0;
  for (auto _ : state) {
    files.Close();
    files.Open();
    if (!files.log->Restore(blob).ok()) state.SkipWithError("restore");
    files.store->OnRecovered();
    benchmark::DoNotOptimize(files.log->state());
    rest = static_cast<double>(files.log->memory_bytes());
    if (state.range(0) == 1 && files.log->FindSubject(subjects[7]) == std::nullopt) state.SkipWithError("not there");
    full = static_cast<double>(files.log->memory_bytes());
  }
  state.counters["checkpoint_bytes"] = static_cast<double>(blob.size());
  state.counters["memory_at_rest"] = rest;
  state.counters["memory_in_use"] = full;
}
BENCHMARK(FileRestart)->Arg(0)->Arg(1)->Iterations(3)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
