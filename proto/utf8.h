// SPDX-License-Identifier: Apache-2.0
// UTF-8: well-formed sequences as Unicode has them: none overlong, no surrogates, nothing above U+10FFFF.
// Owner:  caller (pure).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

// What stands in text for bytes that are not UTF-8: U+FFFD.
inline constexpr std::string_view kUtf8Replacement = "\xEF\xBF\xBD";

// Bytes of the sequence at the front of text, 1 to 4; 0 when there is none. text must not be empty.
size_t Utf8Bytes(std::string_view text);
// code is at most U+10FFFF.
void AppendUtf8(uint32_t code, std::string* out);

}  // namespace millrace
