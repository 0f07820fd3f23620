// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/api_error.h"

#include <algorithm>
#include <iterator>

#include "proto/base/check.h"

namespace millrace {
namespace {

struct Row {
  int err_code;
  int code;
  std::string_view text;
};

constexpr Row kRows[] = {
#define X(name, err_code, code, text) {err_code, code, text},
#include "broker/jetstream/api/api_errors.def"
#undef X
};

static_assert(std::is_sorted(std::begin(kRows), std::end(kRows),
                             [](const Row& a, const Row& b) { return a.err_code < b.err_code; }));

const Row& GetRow(ApiErrorId id) {
  const Row* row = std::lower_bound(std::begin(kRows), std::end(kRows), static_cast<int>(id),
                                    [](const Row& a, int err_code) { return a.err_code < err_code; });
  MR_CHECK(row != std::end(kRows) && row->err_code == static_cast<int>(id));
  return *row;
}

}  // namespace

ApiError MakeError(ApiErrorId id, std::initializer_list<std::pair<std::string_view, std::string_view>> fills) {
  const Row& row = GetRow(id);
  ApiError error{.code = row.code, .err_code = row.err_code, .description = {}};
  std::string_view rest = row.text;
  while (!rest.empty()) {
    const size_t open = rest.find('{');
    const size_t close = rest.find('}', open);
    error.description += rest.substr(0, open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    const std::string_view word = rest.substr(open + 1, close - open - 1);
    const auto* fill = std::find_if(fills.begin(), fills.end(), [&](const auto& pair) { return pair.first == word; });
    error.description += fill != fills.end() ? fill->second : rest.substr(open, close - open + 1);
    rest.remove_prefix(close + 1);
  }
  return error;
}

}  // namespace millrace
