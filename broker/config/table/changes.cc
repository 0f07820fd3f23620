// SPDX-License-Identifier: Apache-2.0
#include "broker/config/table/changes.h"

#include "absl/strings/str_format.h"

namespace millrace::config {

absl::Status ReloadRefusal(std::string_view name, std::string_view old, std::string_view now) {
  return absl::InvalidArgumentError(
      absl::StrFormat("config reload not supported for %s: old=%s, new=%s", name, old, now));
}

}  // namespace millrace::config
