// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/debug_pages.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "absl/strings/str_format.h"
#include "broker/json/writer.h"

namespace millrace {
namespace {

std::string ReadSmallFile(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
  return text;
}

std::string ThreadLine(const std::string& id) {
  const std::string dir = "/proc/self/task/" + id;
  const std::string stat = ReadSmallFile(dir + "/stat");
  const size_t behind_name =
      stat.rfind(')');  // a name may hold anything, so fields count from its end
  if (behind_name == std::string::npos) return {};  // the thread has gone
  std::istringstream fields(stat.substr(behind_name + 1));
  std::string state, skipped;
  long user = 0, system = 0;
  fields >> state;
  for (int i = 0; i < 10; ++i) fields >> skipped;
  fields >> user >> system;
  const double seconds =
      static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string where = ReadSmallFile(dir + "/wchan");
  return absl::StrFormat("thread %s %s state=%s cpu=%.2fs wchan=%s\n", id,
                         ReadSmallFile(dir + "/comm"), state, seconds, where.empty() ? "-" : where);
}

}  // namespace

std::string ThreadsPage() {
  std::vector<std::string> ids;
  if (DIR* listing = opendir("/proc/self/task")) {
    while (const dirent* entry = readdir(listing))
      if (entry->d_name[0] != '.') ids.emplace_back(entry->d_name);
    closedir(listing);
  }
  std::sort(ids.begin(), ids.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::string page;
  for (const std::string& id : ids) page += ThreadLine(id);
  return page;
}

std::string ExpvarPage(const std::vector<std::string>& cmdline, bool is_event) {
  long pages_total = 0, pages_resident = 0;
  std::ifstream("/proc/self/statm") >> pages_total >> pages_resident;
  const int64_t page_bytes = sysconf(_SC_PAGESIZE);
  JsonWriter arguments(JsonLayout::kCompact), memory(JsonLayout::kCompact);
  arguments.Strings(cmdline);
  memory.BeginObject();
  for (std::string_view key : {"Alloc", "HeapAlloc", "HeapInuse"})
    memory.PutInt(key, pages_resident * page_bytes);
  for (std::string_view key : {"Sys", "HeapSys"}) memory.PutInt(key, pages_total * page_bytes);
  memory.PutInt("NumGC", 0);
  memory.PutBool("EnableGC", false);
  memory.EndObject();
  if (is_event) return absl::StrFormat("{\"memstats\":%s,\"cmdline\":%s}", memory.text(), arguments.text());
  return absl::StrFormat("{\n\"cmdline\": %s,\n\"memstats\": %s\n}\n", arguments.text(),
                         memory.text());
}

}  // namespace millrace
