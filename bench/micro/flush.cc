// SPDX-License-Identifier: Apache-2.0
// What this disk can do: the latency of one flush by size, and durable appends a second through the write-ahead log,
// with a window of appends that wait for their acknowledgement. Usage: bench_flush [DIRECTORY [SECONDS]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "broker/io/uring.h"
#include "broker/io/uring_disk.h"
#include "store/log/write_ahead_log.h"

namespace millrace {
namespace {

struct Listener : WalListener {
  void OnWalDurable(Lsn lsn) override { durable = lsn; }
  void OnWalState(WalState, const std::string& why) override { std::printf("log: %s\n", why.c_str()); }
  Lsn durable = 0;
};

struct Call {
  Completion completion;
  bool done = false;
  int32_t value = 0;
  Call() { completion.Bind<&Call::OnResult>(this); }
  void OnResult(const IoResult& result) {
    done = true;
    value = result.value;
  }
};

double Seconds(Nanos span) { return std::chrono::duration<double>(span).count(); }

void Latency(UringIo& io, UringDisk& disk, size_t bytes) {
  absl::StatusOr<Disk::File> file = disk.Open("latency", FileUse::kDirect, true);
  MR_CHECK(file.ok() && disk.FillWithZeros(*file, 16 << 20).ok());
  WalBuffer buffer(bytes);
  std::vector<double> took;
  const Nanos begin = io.Now();
  for (uint64_t at = 0; io.Now() - begin < std::chrono::seconds(1); at = (at + bytes) % ((16 << 20) - bytes)) {
    Call call;
    std::fill_n(buffer.data, bytes, static_cast<char>(took.size()));
    const Nanos start = io.Now();
    disk.WriteDurable(*file, at / 4096 * 4096, {buffer.data, bytes}, &call.completion);
    while (!call.done) {
      io.SubmitAndWait(Nanos::max(), true);
      io.RunCompletions(UINT64_MAX);
    }
    MR_CHECK(call.value == static_cast<int32_t>(bytes));
    took.push_back(Seconds(io.Now() - start) * 1e6);
  }
  std::sort(took.begin(), took.end());
  std::printf("flush of %7zu B: %6.0f/s   p50 %6.0f µs   p99 %6.0f µs\n", bytes, static_cast<double>(took.size()),
              took[took.size() / 2], took[took.size() * 99 / 100]);
  disk.Close(*file);
  (void)disk.Remove("latency");
}

void Throughput(UringIo& io, UringDisk& disk, uint64_t window, size_t payload_bytes, double seconds) {
  Listener listener;
  WriteAheadLog wal(disk, WalOptions{}, &listener);
  MR_CHECK(wal.Open().ok());
  wal.Start(0, 0, 1, 1);
  const std::string head(20, 'h');
  const std::string subject = "orders.eu.abc123";
  const std::string payload(payload_bytes, 'p');
  const auto turn = [&] {
    wal.EndTurn(io.Now());
    io.SubmitAndWait(Nanos::max(), true);
    io.RunCompletions(UINT64_MAX);
    if (wal.files().in_use() > 2) wal.Recycle(wal.durable());
  };
  wal.Append(RecordKind::kAppend, 7, {payload});
  while (!wal.idle()) turn();  // the first files are made
  const Nanos begin = io.Now();
  const Lsn before = wal.durable();
  const uint64_t flushes = wal.flushes();
  while (Seconds(io.Now() - begin) < seconds) {
    while (wal.staged() - listener.durable < window) wal.Append(RecordKind::kAppend, 7, {head, subject, payload});
    turn();
  }
  const double took = Seconds(io.Now() - begin);
  std::printf("window %6zu, %5zu B: %9.0f durable appends/s   %6.0f flushes/s\n", static_cast<size_t>(window),
              payload_bytes, static_cast<double>(wal.durable() - before) / took,
              static_cast<double>(wal.flushes() - flushes) / took);
  while (!wal.idle()) turn();
}

int Main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "bench_flush.tmp";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  auto io = *UringIo::Create(UringOptions{});
  io->Enable({});
  {
    auto maker = UringDisk::Open(*io, directory, SyncProbe{});
    MR_CHECK(maker.ok());
  }
  absl::StatusOr<SyncProbe> probe = ProbeSync(directory, true);
  MR_CHECK(probe.ok());
  std::printf("%s\n", Describe(*probe).c_str());
  for (const SyncMethod method : {SyncMethod::kDirectDsync, SyncMethod::kDirectThenSync, SyncMethod::kBufferedSync}) {
    SyncProbe forced = *probe;
    forced.method = method;
    if (method == SyncMethod::kBufferedSync) forced.direct = false;
    auto disk = *UringDisk::Open(*io, directory, forced);
    std::printf("\n%s\n", std::string(SyncMethodName(method)).c_str());
    for (const size_t bytes : {4096, 65536, 262144, 1048576}) Latency(*io, *disk, bytes);
    for (const uint64_t window : {1, 100, 1000, 10000}) Throughput(*io, *disk, window, 128, seconds);
    Throughput(*io, *disk, 1000, 1024, seconds);
    while (!disk->idle()) {
      io->SubmitAndWait(Nanos::max(), true);
      io->RunCompletions(UINT64_MAX);
    }
    const std::vector<std::string> names = *disk->List("wal");
    for (const std::string& name : names) (void)disk->Remove("wal/" + name);
  }
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::Main(argc, argv); }
