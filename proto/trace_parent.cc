// SPDX-License-Identifier: Apache-2.0
#include "proto/trace_parent.h"

#include <algorithm>
#include <charconv>

namespace millrace {

bool TraceParentSamples(std::string_view value) {
  if (std::count(value.begin(), value.end(), '-') != 3) return false;
  const std::string_view flags = value.substr(value.rfind('-') + 1);
  if (flags.size() != 2) return false;
  // A sign in front of one digit is a number to the peer, too.
  const bool is_signed = flags[0] == '+' || flags[0] == '-';
  int number = 0;
  const char* const end = flags.data() + flags.size();
  const auto [at, error] = std::from_chars(flags.data() + (is_signed ? 1 : 0), end, number, 16);
  return error == std::errc() && at == end && number < 0x80 && (number & 1) == 1;
}

}  // namespace millrace
