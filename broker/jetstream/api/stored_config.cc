// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/stored_config.h"

#include <charconv>

#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"

namespace millrace {
namespace {

template <class Config>
std::string Write(int64_t created_ns, const Config& config, Applied applied) {
  return std::to_string(created_ns) + (applied == Applied::kPartly ? "+ " : " ") + PrintJson(config);
}

// Behind the brace that closes the first object, or the length of the text.
size_t EndOfObject(std::string_view text) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return text.size();
}

// The JSON is what is left in *text.
bool ReadHead(std::string_view* text, int64_t* created_ns, Applied* applied) {
  const size_t blank = text->find(' ');
  if (blank == std::string_view::npos) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + blank, *created_ns);
  if (error != std::errc()) return false;
  const std::string_view mark(end, static_cast<size_t>(text->data() + blank - end));
  if (!mark.empty() && mark != "+") return false;
  *applied = mark.empty() ? Applied::kWhole : Applied::kPartly;
  text->remove_prefix(blank + 1);
  return true;
}

}  // namespace

std::string WriteStored(int64_t created_ns, const StreamConfig& config, std::string_view account, Applied applied) {
  std::string text = Write(created_ns, config, applied);
  if (!account.empty()) text.append(" ").append(account);
  return text;
}
std::string WriteStored(int64_t created_ns, const ConsumerConfig& config) {
  return Write(created_ns, config, Applied::kWhole);
}
bool ReadStored(std::string_view text, int64_t* created_ns, StreamConfig* config, std::string* account,
                Applied* applied) {
  if (!ReadHead(&text, created_ns, applied)) return false;
  // The JSON is an object: what is behind its last brace is no part of it. A name may have blanks, and braces.
  account->clear();
  const size_t end = EndOfObject(text);
  if (end < text.size()) {
    if (text[end] != ' ' || end + 1 == text.size()) return false;
    *account = text.substr(end + 1);
  }
  return ParseJson(text.substr(0, end), config).empty();
}
bool ReadStored(std::string_view text, int64_t* created_ns, ConsumerConfig* config) {
  Applied applied = Applied::kWhole;
  return ReadHead(&text, created_ns, &applied) && applied == Applied::kWhole && ParseJson(text, config).empty();
}

}  // namespace millrace
