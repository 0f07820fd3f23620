// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/cpus.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "broker/config/language/parser.h"
#include "broker/config/language/text.h"

namespace millrace::config {
namespace {

constexpr char kCgroupRoot[] = "/sys/fs/cgroup";

int CpusOfAffinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

// The path in /proc/self/cgroup of the unified hierarchy ("0::/path"); "" in the root.
std::string OwnCgroup() {
  const auto text = ReadWholeFile("/proc/self/cgroup");
  if (!text.ok()) return "";
  for (const std::string& line : Split(*text, '\n')) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return "";
}

}  // namespace

int CpusOfQuota(std::string_view cpu_max) {
  const std::vector<std::string> words = Fields(cpu_max);
  if (words.size() != 2) return 0;
  int64_t quota = 0;
  int64_t period = 0;
  const auto read = [](const std::string& word, int64_t* number) {
    const char* end = word.data() + word.size();
    return std::from_chars(word.data(), end, *number).ptr == end;
  };
  if (!read(words[0], &quota) || !read(words[1], &period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::min<int64_t>((quota + period - 1) / period, 1 << 20));
}

int DefaultShardCount(int most) {
  int cpus = CpusOfAffinity();
  // Every level above may set a quota; in a container the own path may not be visible.
  std::string group = OwnCgroup();
  while (!group.empty() && group.back() == '/') group.pop_back();
  for (;;) {
    const auto quota = ReadWholeFile(kCgroupRoot + group + "/cpu.max");
    if (quota.ok()) {
      if (const int allowed = CpusOfQuota(*quota); allowed > 0) cpus = std::min(cpus, allowed);
    }
    if (group.empty()) break;
    group.resize(group.rfind('/'));
  }
  return std::clamp(cpus, 1, most);
}

}  // namespace millrace::config
