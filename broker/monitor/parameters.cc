// SPDX-License-Identifier: Apache-2.0
#include "broker/monitor/parameters.h"

#include <charconv>

#include "absl/strings/str_format.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

absl::Status Refuse(std::string_view type, std::string_view param, std::string_view function,
                    std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrFormat("Error decoding %s for '%s': strconv.%s: parsing %s: %s", type, param,
                      function, Quoted(value), why));
}

// Digits only; a sign is the caller's. `why` is empty when all is well.
template <typename T>
T ParseDigits(std::string_view digits, std::string_view* why) {
  T result = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), result);
  if (digits.empty() || end.ptr != digits.data() + digits.size() ||
      end.ec == std::errc::invalid_argument) {
    *why = "invalid syntax";
  } else if (end.ec == std::errc::result_out_of_range) {
    *why = "value out of range";
  }
  return result;
}

}  // namespace

absl::StatusOr<bool> DecodeBool(std::string_view param, std::string_view value) {
  if (value.empty()) return false;
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (value == yes) return true;
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"})
    if (value == no) return false;
  return Refuse("boolean", param, "ParseBool", value, "invalid syntax");
}

absl::StatusOr<int64_t> DecodeInt(std::string_view param, std::string_view value) {
  if (value.empty()) return 0;
  std::string_view digits = value, why;
  if (digits[0] == '+') digits.remove_prefix(1);  // from_chars takes the minus itself
  if (digits.size() != value.size() && digits.starts_with('-')) why = "invalid syntax";
  const auto result = ParseDigits<int64_t>(digits, &why);
  if (!why.empty()) return Refuse("int", param, "Atoi", value, why);
  return result;
}

absl::StatusOr<uint64_t> DecodeUint64(std::string_view param, std::string_view value) {
  if (value.empty()) return uint64_t{0};
  std::string_view why;
  const auto result = ParseDigits<uint64_t>(value, &why);
  if (!why.empty()) return Refuse("uint64", param, "ParseUint", value, why);
  return result;
}

}  // namespace millrace
