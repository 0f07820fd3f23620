// SPDX-License-Identifier: Apache-2.0
// What one command costs to parse: 64 KiB of the same command, as a busy connection's receive buffer holds them.
// The time per item is the figure; design aim: 15 ns for a PUB of a 16-byte subject.
#include <benchmark/benchmark.h>

#include <string>

#include "proto/parser.h"

namespace millrace {
namespace {

void ParseStream(benchmark::State& state, const std::string& command) {
  std::string stream;
  while (stream.size() + command.size() <= 65536) stream += command;
  Parser parser;
  Command out;
  int64_t commands = 0;
  for (auto _ : state) {
    std::string_view rest = stream;
    while (!rest.empty()) {
      if (parser.Next(rest, &out) != Parser::Status::kCommand) {
        state.SkipWithError("the stream does not parse");
        return;
      }
      benchmark::DoNotOptimize(out);
      rest.remove_prefix(parser.consumed());
      ++commands;
    }
  }
  state.SetItemsProcessed(commands);
  state.counters["ns"] = benchmark::Counter(static_cast<double>(commands) * 1e-9,
                                            benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

std::string Pub(std::string_view args, size_t payload_bytes) {
  return "PUB " + std::string(args) + " " + std::to_string(payload_bytes) + "\r\n" +
         std::string(payload_bytes, 'x') + "\r\n";
}

BENCHMARK_CAPTURE(ParseStream, pub_subject16_payload16, Pub("orders.eu.abc123", 16));
BENCHMARK_CAPTURE(ParseStream, pub_subject3_payload16, Pub("foo", 16));
BENCHMARK_CAPTURE(ParseStream, pub_subject16_payload128, Pub("orders.eu.abc123", 128));
BENCHMARK_CAPTURE(ParseStream, pub_subject16_payload1024, Pub("orders.eu.abc123", 1024));
BENCHMARK_CAPTURE(ParseStream, pub_reply_payload128,
                  Pub("svc.echo.v1 _INBOX.abcdefghijklmnopqrstuv.12345678", 128));
BENCHMARK_CAPTURE(ParseStream, pub_subject100_payload128, Pub(std::string(100, 's'), 128));
BENCHMARK_CAPTURE(ParseStream, hpub_subject16_payload128,
                  "HPUB orders.eu.abc123 29 157\r\nNATS/1.0\r\nKey: some-value\r\n\r\n" +
                      std::string(128, 'x') + "\r\n");
BENCHMARK_CAPTURE(ParseStream, ping, std::string("PING\r\n"));
BENCHMARK_CAPTURE(ParseStream, sub, std::string("SUB _INBOX.abcdefghijklmnopqrstuv.* 12\r\n"));
BENCHMARK_CAPTURE(ParseStream, unsub, std::string("UNSUB 12 1\r\n"));

// Subjects and sizes that differ from command to command: what branch prediction makes of a real mix.
void ParseMix(benchmark::State& state) {
  std::string stream;
  uint64_t x = 1;
  while (stream.size() < 60000) {
    x = x * 6364136223846793005 + 1442695040888963407;
    stream += Pub("orders.eu." + std::to_string(x >> (40 + x % 20)), (x >> 33) % 200);
  }
  Parser parser;
  Command out;
  int64_t commands = 0;
  for (auto _ : state) {
    std::string_view rest = stream;
    while (!rest.empty()) {
      if (parser.Next(rest, &out) != Parser::Status::kCommand) return;
      benchmark::DoNotOptimize(out);
      rest.remove_prefix(parser.consumed());
      ++commands;
    }
  }
  state.SetItemsProcessed(commands);
  state.counters["ns"] = benchmark::Counter(static_cast<double>(commands) * 1e-9,
                                            benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(ParseMix);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
