// SPDX-License-Identifier: Apache-2.0
// PlaceHolders: the two ways to write what stands for a wildcard in the destination of a transform: `foo.*.*` and
// `foo.$1.$2`, and how a call like {{wildcard(1)}} is found in a token.
// Owner:  none (pure functions).  Source: spec.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// Where the first byte from `at` on is that is no blank, or the text's size.
size_t SkipBlanks(std::string_view text, size_t at);

// What stands between the parentheses of {{name(...)}}, anywhere in the token; the last ")}}" closes it. Where the
// name has an upper-case letter the token may have either.
std::optional<std::string_view> FindCall(std::string_view token, std::string_view name);

// foo.*.* becomes foo.$1.$2.
std::string WildcardsToPlaceHolders(std::string_view subject);

// foo.$2.{{wildcard(1)}} becomes foo.*.*; the place holders, in order, go to *holders.
std::string PlaceHoldersToWildcards(std::string_view subject, std::vector<std::string_view>* holders = nullptr);

}  // namespace millrace
