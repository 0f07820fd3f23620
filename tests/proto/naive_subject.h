// SPDX-License-Identifier: Apache-2.0
// Naive subjects: the twins of proto/subject.h, on vectors of strings, as the rules read.
// Owner:  caller (pure).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

inline std::vector<std::string> NaiveTokens(std::string_view subject) {
  std::vector<std::string> tokens(1);
  for (const char c : subject) {
    if (c == '.') {
      tokens.emplace_back();
    } else {
      tokens.back().push_back(c);
    }
  }
  return tokens;
}

inline size_t NaiveNamedTokens(std::string_view subject) {
  const std::vector<std::string> tokens = NaiveTokens(subject);
  for (const std::string& token : tokens) {
    if (token.empty()) return 0;
  }
  return tokens.size();
}

inline bool NaiveIsValid(std::string_view subject) {
  const std::vector<std::string> tokens = NaiveTokens(subject);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty()) return false;
    if (tokens[i] == ">" && i + 1 < tokens.size()) return false;
    if (tokens[i].find_first_of(" \t\n\f\r") != std::string::npos) return false;
  }
  return true;
}

inline bool NaiveMatches(std::string_view subject, std::string_view filter) {
  const std::vector<std::string> s = NaiveTokens(subject);
  const std::vector<std::string> f = NaiveTokens(filter);
  for (const std::string& token : s) {
    if (token.empty()) return false;
  }
  for (size_t i = 0; i < f.size(); ++i) {
    if (i >= s.size()) return false;
    if (f[i] == ">" && i + 1 == f.size()) return true;
    if (f[i] != "*" && f[i] != s[i]) return false;
  }
  return s.size() == f.size();
}

}  // namespace millrace
