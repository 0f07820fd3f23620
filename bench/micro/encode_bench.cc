// SPDX-License-Identifier: Apache-2.0
// What writing one MSG line costs (design aim: 10 to 15 ns).
#include <benchmark/benchmark.h>

#include <vector>

#include "proto/encoder.h"

namespace millrace {
namespace {

void EncodeMsg(benchmark::State& state, std::string_view subject, std::string_view sid,
               std::string_view reply) {
  std::vector<char> buffer(65536);
  size_t payload_bytes = static_cast<size_t>(state.range(0));
  char* out = buffer.data();
  for (auto _ : state) {
    benchmark::DoNotOptimize(payload_bytes);
    benchmark::DoNotOptimize(subject);
    if (out > buffer.data() + 65000) out = buffer.data();
    out = AppendMsgHeader(out, subject, sid, reply, payload_bytes);
    benchmark::ClobberMemory();
  }
}
BENCHMARK_CAPTURE(EncodeMsg, subject3, "foo", "1", "")->Arg(16);
BENCHMARK_CAPTURE(EncodeMsg, subject16, "orders.eu.abc123", "12", "")->Arg(16)->Arg(128)->Arg(65536);
BENCHMARK_CAPTURE(EncodeMsg, reply, "svc.echo.v1", "12", "_INBOX.abcdefghijklmnopqrstuv.12345678")->Arg(128);

void EncodeHmsg(benchmark::State& state) {
  char out[256];
  std::string_view subject = "orders.eu.abc123";
  for (auto _ : state) {
    benchmark::DoNotOptimize(subject);
    benchmark::DoNotOptimize(AppendHmsgHeader(out, subject, "12", "", 29, 157));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(EncodeHmsg);

void EncodeDecimal(benchmark::State& state) {
  char out[32];
  uint64_t value = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(value);
    benchmark::DoNotOptimize(AppendDecimal(out, value));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(EncodeDecimal)->Arg(5)->Arg(128)->Arg(65536)->Arg(123456789);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
