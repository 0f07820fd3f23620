// SPDX-License-Identifier: Apache-2.0
// Matches: a POSIX extended regular expression against a whole text. (std::regex does not compile
// without warnings under gcc 12 and -fsanitize=address.)
// Owner:  caller (pure).
#pragma once

#include <regex.h>

#include <string>

namespace millrace {

inline bool Matches(const std::string& text, const std::string& expression) {
  regex_t compiled;
  if (regcomp(&compiled, ("^(" + expression + ")$").c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return false;
  const bool matches = regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  regfree(&compiled);
  return matches;
}

}  // namespace millrace
