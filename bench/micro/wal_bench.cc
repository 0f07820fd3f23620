// SPDX-License-Identifier: Apache-2.0
// What staging a record costs (aim: 60 ns for 128 bytes), and the checksum of a batch. The disk costs nothing.
#include <benchmark/benchmark.h>

#include <deque>
#include <string>

#include "bench/micro/bench_keys.h"
#include "store/log/write_ahead_log.h"

namespace millrace {
namespace {

// Writes nothing, succeeds in the next turn.
class NoDisk final : public Disk {
 public:
  void Run() {
    while (!waiting_.empty()) {
      auto [completion, value] = waiting_.front();
      waiting_.pop_front();
      completion->Finish(IoResult{value, false, {}});
    }
  }
  absl::Status MakeDirectory(std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> List(std::string_view) override { return std::vector<std::string>{}; }
  absl::StatusOr<File> Open(std::string_view, FileUse, bool) override { return 3; }
  void Close(File) override {}
  absl::StatusOr<uint64_t> Size(File) override { return 0; }
  absl::Status FillWithZeros(File, uint64_t) override { return absl::OkStatus(); }
  absl::Status Truncate(File, uint64_t) override { return absl::OkStatus(); }
  absl::Status Rename(std::string_view, std::string_view) override { return absl::OkStatus(); }
  absl::Status Remove(std::string_view) override { return absl::OkStatus(); }
  absl::Status SyncDirectory(std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<size_t> ReadNow(File, uint64_t, char*, size_t) override { return 0; }
  absl::Status WriteNow(File, uint64_t, std::string_view) override { return absl::OkStatus(); }
  absl::Status SyncNow(File) override { return absl::OkStatus(); }
  absl::Status Allocate(File, uint64_t) override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> FreeBytes() override { return UINT64_MAX; }
  absl::Status Lock(std::string_view, std::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> TotalBytes() override { return UINT64_MAX; }
  int32_t TryRead(File, uint64_t, char*, size_t) override { return -EAGAIN; }
  void Read(File, uint64_t, char*, size_t, Completion* c) override { Later(c, 0); }
  void Write(File, uint64_t, std::string_view bytes, Completion* c) override {
    Later(c, static_cast<int32_t>(bytes.size()));
  }
  void WriteDurable(File, uint64_t, std::string_view bytes, Completion* c) override {
    Later(c, static_cast<int32_t>(bytes.size()));
  }
  void Sync(File, Completion* c) override { Later(c, 0); }
  void RemoveLater(std::string_view) override {}

 private:
  void Later(Completion* completion, int32_t value) {
    completion->Started(0);
    waiting_.push_back({completion, value});
  }
  std::deque<std::pair<Completion*, int32_t>> waiting_;
};

struct Nobody : WalListener {
  void OnWalDurable(Lsn) override {}
  void OnWalState(WalState, const std::string&) override {}
};

// range(0): payload; range(1): records per turn; range(2): cipher, 0: none. Head and subject as a stream appends them:
// 20 bytes and 16.
void Append(benchmark::State& state) {
  NoDisk disk;
  Nobody nobody;
  WalOptions options;
  const auto keys = KeysOf(state.range(2));
  options.keys = keys.get();
  WriteAheadLog wal(disk, options, &nobody);
  (void)wal.Open();
  wal.Start(0, 0, 1, 1);
  const std::string head(20, 'h');
  const std::string subject = "orders.eu.abc123";
  const std::string payload(static_cast<size_t>(state.range(0)), 'p');
  const int64_t per_turn = state.range(1);
  int64_t left = per_turn;
  for (auto _ : state) {
    benchmark::DoNotOptimize(wal.Append(RecordKind::kAppend, 7, {head, subject, payload}));
    if (--left == 0) {
      left = per_turn;
      disk.Run();
      wal.EndTurn(Nanos{0});
      wal.Recycle(wal.durable());
    }
  }
  while (!wal.idle()) {
    disk.Run();
    wal.EndTurn(Nanos{0});
  }
  state.SetBytesProcessed(state.iterations() * (state.range(0) + 48));
}
BENCHMARK(Append)->Args({16, 500, 0})->ArgsProduct({{128}, {1, 50, 500}, {0, 1, 2}});
BENCHMARK(Append)->ArgsProduct({{1024}, {500}, {0, 1, 2}});

void Checksum(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(Hash64(bytes, 7));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Checksum)->Arg(64)->Arg(4096)->Arg(65536);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
