// SPDX-License-Identifier: Apache-2.0
// Report: what a run cost (wall time, own CPU, the server's CPU) and the one JSON line it ends with.
// Owner:  caller.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/load/histogram.h"

namespace millrace::bench {

uint64_t NowNs();  // CLOCK_MONOTONIC

// CPU time of all live threads of `pid`, from schedstat, in nanoseconds; 0 when it cannot be read.
uint64_t ProcessCpuNs(pid_t pid);
uint64_t OwnCpuNs();

// The measured phase: Start() and Stop() read the three clocks together, so that connecting, subscribing and
// the final checks are in none of the figures.
class Stopwatch {
 public:
  explicit Stopwatch(pid_t server_pid) : server_pid_(server_pid) {}
  void Start();
  void Stop();

  double wall_s() const { return Seconds(wall_ns_); }
  double own_cpu_s() const { return Seconds(own_ns_); }
  double server_cpu_s() const { return Seconds(server_ns_); }
  bool has_server() const { return server_pid_ > 0; }
  bool running() const { return running_; }
  uint64_t started_ns() const { return started_ns_; }

 private:
  static double Seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

  const pid_t server_pid_;
  bool running_ = false;
  uint64_t started_ns_ = 0;
  uint64_t wall_ns_ = 0;
  uint64_t own_ns_ = 0;
  uint64_t server_ns_ = 0;
};

class JsonLine {
 public:
  void Add(std::string_view key, std::string_view text);
  void Add(std::string_view key, const char* text) { Add(key, std::string_view(text)); }
  void Add(std::string_view key, uint64_t number);
  void Add(std::string_view key, double number);
  void Add(const Stopwatch& watch);           // wall_s, cpu_s, cpu_share, server_cpu_s
  void AddLatency(const Histogram& latency);  // p50_us … max_us
  void Print() const;                         // one line on stdout

 private:
  void Key(std::string_view key);
  std::string text_;
};

}  // namespace millrace::bench
