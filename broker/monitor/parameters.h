// SPDX-License-Identifier: Apache-2.0
// Parameters: values of query parameters as the peer reads them, and its texts for those that it refuses.
// Owner:  caller (pure).
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace {

// param names the parameter in the error. An empty value is false or 0.
absl::StatusOr<bool> DecodeBool(std::string_view param, std::string_view value);
absl::StatusOr<int64_t> DecodeInt(std::string_view param, std::string_view value);
absl::StatusOr<uint64_t> DecodeUint64(std::string_view param, std::string_view value);

}  // namespace millrace
