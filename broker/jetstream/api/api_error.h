// SPDX-License-Identifier: Apache-2.0
// ApiError: the error object of every JetStream answer, {"code":400,"err_code":10052,"description":"..."}.
// Owner:  caller (pure).  Source: spec 5j; api_errors.def holds one row a code.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

enum class ApiErrorId : uint16_t {
#define X(name, err_code, code, text) name = err_code,
#include "broker/jetstream/api/api_errors.def"
#undef X
};

struct ApiError {
  int code = 0;      // like a status of HTTP
  int err_code = 0;  // what clients decide by
  std::string description;
  bool operator==(const ApiError&) const = default;
};

// fills: {{"err", "text"}} puts text where the row says {err}.
ApiError MakeError(ApiErrorId id, std::initializer_list<std::pair<std::string_view, std::string_view>> fills = {});

// The one most used: a row whose text has {err} only.
inline ApiError MakeErrorText(ApiErrorId id, std::string_view err) { return MakeError(id, {{"err", err}}); }

inline bool Is(const ApiError& error, ApiErrorId id) { return error.err_code == static_cast<int>(id); }

}  // namespace millrace
