// SPDX-License-Identifier: Apache-2.0
// Quoted: text in double quotes as the peer's %q writes it.
// Owner:  none (pure functions).
#pragma once

#include <string>
#include <string_view>

namespace millrace {

void AppendQuoted(std::string* out, std::string_view text);
std::string Quoted(std::string_view text);

}  // namespace millrace
