// SPDX-License-Identifier: Apache-2.0
// Flags: `--name value`, `--name=value` and bare `--name`, read by name with a default.
// Owner:  caller.  A name that nobody asked for is an error: a mistyped option must not measure something else.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace millrace::bench {

class Flags {
 public:
  // Reads argv[first..argc). Ends the process with a message when a word does not start with "--".
  Flags(int argc, char** argv, int first);

  uint64_t Number(const std::string& name, uint64_t fallback);  // accepts 10k, 2M and 64Ki, 2Mi
  double Real(const std::string& name, double fallback);       // accepts k and M
  std::string Text(const std::string& name, std::string fallback);
  bool Bool(const std::string& name);

  // Call when all flags have been read: names the unknown ones and ends the process.
  void RejectUnknown() const;

 private:
  const std::string* Find(const std::string& name);

  std::map<std::string, std::string> values_;
  std::set<std::string> known_;
};

// "2M" → 2000000, "64Ki" → 65536; ends the process when it is not a number.
uint64_t ParseCount(std::string_view text);

}  // namespace millrace::bench
