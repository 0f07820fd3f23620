// SPDX-License-Identifier: Apache-2.0
// Golden: the recorded answers of the peer's own code (peer/run.sh), one JSON object a line.
// Owner:  caller (pure).
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace millrace {

inline std::vector<nlohmann::json> ReadGolden(const std::string& name) {
  std::ifstream file(std::string(MR_TEST_SOURCE_DIR) + "/golden/" + name + ".jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// The answer of one line, or what to say when it is not what was recorded.
inline std::string Text(const nlohmann::json& line, const char* key) { return line.value(key, std::string()); }

}  // namespace millrace
