// SPDX-License-Identifier: Apache-2.0
// Headers: reads and edits the header block of a message: `NATS/1.0[ status]` CRLF, then `Key: value` CRLF, then CRLF.
// Owner:  caller (pure).  Reading never allocates; views point into the block.  Blocks are as sent: unchecked.
// Source: ADR-4; spec C-08, C-49.  The peer checks nothing but the two sizes of HPUB, so neither may we when routing.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

inline constexpr std::string_view kHeaderVersion = "NATS/1.0";
inline constexpr std::string_view kHeaderLine = "NATS/1.0\r\n";

struct HeaderField {
  std::string_view key;
  std::string_view value;  // without leading spaces; other bytes up to CRLF as they are
};

// The value of the first field with exactly this key (case-sensitive), or nullopt. An empty value is not nullopt.
// As in the peer the line must begin behind a CRLF and the colon follow the key at once. A value without CRLF
// runs to the end of the block.
std::optional<std::string_view> FindHeader(std::string_view block, std::string_view key);

// Calls on_field(HeaderField) for each well-formed line in order; lines without a colon are skipped.
template <typename F>
void ForEachHeader(std::string_view block, F&& on_field);

// How many bytes the first line takes, CRLF included; 0 when the block does not begin with NATS/1.0.
size_t HeaderVersionBytes(std::string_view block);

// `NATS/1.0 503 No Responders` CRLF -> code 503 and the text behind it; nullopt when there is no status.
struct HeaderStatus {
  int code = 0;
  std::string_view text;
};
std::optional<HeaderStatus> FindHeaderStatus(std::string_view block);

// True if the block is what ADR-4 asks for: version line, every line with a non-empty key of printable bytes other than
// space and colon, and the empty line at its very end. Routing does not ask; JetStream and tests do.
bool IsWellFormedHeader(std::string_view block);

// Editing (cold). Each gives a whole block that ends in an empty line; *block may be empty, which means no header.

// Adds `key: value` behind the last field, beginning a block if there is none. CR and LF in value become spaces.
void AddHeader(std::string* block, std::string_view key, std::string_view value);
// Replaces the value of the first such field, or adds it.
void SetHeader(std::string* block, std::string_view key, std::string_view value);
// Removes every field with this key (or key prefix); a block with no field and no status left becomes empty.
void RemoveHeader(std::string* block, std::string_view key);
void RemoveHeadersWithPrefix(std::string* block, std::string_view prefix);
// Removes the status of the first line; a block with nothing left becomes empty.
void RemoveHeaderStatus(std::string* block);

// --- implementation of the template

template <typename F>
void ForEachHeader(std::string_view block, F&& on_field) {
  size_t at = HeaderVersionBytes(block);
  if (at == 0) return;
  while (at < block.size()) {
    size_t end = block.find("\r\n", at);
    if (end == std::string_view::npos) end = block.size();
    const std::string_view line = block.substr(at, end - at);
    at = end + 2;
    if (line.empty()) return;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) continue;
    size_t value = colon + 1;
    while (value < line.size() && line[value] == ' ') ++value;
    on_field(HeaderField{line.substr(0, colon), line.substr(value)});
  }
}

}  // namespace millrace
