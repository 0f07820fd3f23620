// SPDX-License-Identifier: Apache-2.0
#include "bench/load/report.h"

#include <dirent.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>

namespace millrace::bench {
namespace {

uint64_t ReadClock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t NowNs() { return ReadClock(CLOCK_MONOTONIC); }
uint64_t OwnCpuNs() { return ReadClock(CLOCK_PROCESS_CPUTIME_ID); }

uint64_t ProcessCpuNs(pid_t pid) {
  if (pid <= 0) return 0;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return 0;
  uint64_t total = 0;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = folder + "/" + entry->d_name + "/schedstat";
    FILE* file = std::fopen(path.c_str(), "r");
    if (file == nullptr) continue;  // the thread has just ended
    unsigned long long run_ns = 0;
    if (std::fscanf(file, "%llu", &run_ns) == 1) total += run_ns;
    std::fclose(file);
  }
  closedir(dir);
  return total;
}

void Stopwatch::Start() {
  server_ns_ = ProcessCpuNs(server_pid_);
  own_ns_ = OwnCpuNs();
  started_ns_ = NowNs();
  running_ = true;
}

void Stopwatch::Stop() {
  wall_ns_ = NowNs() - started_ns_;
  own_ns_ = OwnCpuNs() - own_ns_;
  server_ns_ = ProcessCpuNs(server_pid_) - server_ns_;
  running_ = false;
}

void JsonLine::Key(std::string_view key) {
  text_ += text_.empty() ? "{\"" : ", \"";
  text_ += key;
  text_ += "\": ";
}

void JsonLine::Add(std::string_view key, std::string_view text) {
  Key(key);
  text_ += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  text_ += '"';
}

void JsonLine::Add(std::string_view key, uint64_t number) {
  Key(key);
  text_ += std::to_string(number);
}

void JsonLine::Add(std::string_view key, double number) {
  Key(key);
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, "%.9g", number);
  text_ += buffer;
}

void JsonLine::Add(const Stopwatch& watch) {
  Add("wall_s", watch.wall_s());
  Add("cpu_s", watch.own_cpu_s());
  Add("cpu_share", watch.wall_s() > 0 ? watch.own_cpu_s() / watch.wall_s() : 0);
  if (!watch.has_server()) return;
  Add("server_cpu_s", watch.server_cpu_s());
  Add("server_cpu_share", watch.wall_s() > 0 ? watch.server_cpu_s() / watch.wall_s() : 0);
}

void JsonLine::AddLatency(const Histogram& latency) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1000; };
  Add("samples", latency.count());
  Add("mean_us", latency.mean() / 1000);
  Add("p50_us", us(latency.Percentile(0.5)));
  Add("p75_us", us(latency.Percentile(0.75)));
  Add("p90_us", us(latency.Percentile(0.9)));
  Add("p95_us", us(latency.Percentile(0.95)));
  Add("p99_us", us(latency.Percentile(0.99)));
  Add("p995_us", us(latency.Percentile(0.995)));
  Add("p999_us", us(latency.Percentile(0.999)));
  Add("p9995_us", us(latency.Percentile(0.9995)));
  Add("p9999_us", us(latency.Percentile(0.9999)));
  Add("min_us", us(latency.min()));
  Add("max_us", us(latency.max()));
}

void JsonLine::Print() const {
  std::printf("%s}\n", text_.empty() ? "{" : text_.c_str());
  std::fflush(stdout);
}

}  // namespace millrace::bench
