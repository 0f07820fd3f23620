// SPDX-License-Identifier: Apache-2.0
// Support: a scratch directory with configuration files, and start-ups from them.
// Owner:  caller (pure).
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "broker/config/startup.h"

namespace millrace::config {

class Scratch {
 public:
  Scratch() {
    std::string pattern = std::filesystem::temp_directory_path() / "millrace-config-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string Write(const std::string& name, std::string_view text) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }
  std::string PathOf(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline Startup Start(std::vector<std::string> args) {
  std::vector<const char*> argv = {"nats-server"};
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return ParseStartup(static_cast<int>(argv.size()), argv.data());
}

// With the text as its file, and more flags behind it.
inline Startup StartWith(std::string_view text, std::vector<std::string> flags = {}) {
  static const Scratch scratch;
  std::vector<std::string> args = {"-c", scratch.Write("t.conf", text)};
  args.insert(args.end(), flags.begin(), flags.end());
  Startup startup = Start(std::move(args));
  // Texts name the file; tests do without its directory.
  const std::string directory = scratch.PathOf("");
  for (size_t at = 0; (at = startup.err.find(directory)) != std::string::npos;) {
    startup.err.erase(at, directory.size());
  }
  return startup;
}

}  // namespace millrace::config
