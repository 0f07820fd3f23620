// SPDX-License-Identifier: Apache-2.0
#include "proto/place_holders.h"

#include <algorithm>

#include "proto/subject.h"

namespace millrace {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

// The name of a function as it may be spelled: where it has an upper-case letter both cases are fine.
bool NameMatches(std::string_view text, std::string_view name) {
  if (text.size() < name.size()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char lower = name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] + 32) : name[i];
    if (text[i] != name[i] && text[i] != lower) return false;
  }
  return true;
}

// $1 and everything that begins like it, or {{wildcard(x)}} with one argument.
bool IsPlaceHolder(std::string_view token) {
  if (token.size() > 1 && token[0] == '$' && token[1] >= '1' && token[1] <= '9') return true;
  const std::optional<std::string_view> call = FindCall(token, "Wildcard");
  return call && !call->empty() && call->find(',') == std::string_view::npos;
}

}  // namespace

size_t SkipBlanks(std::string_view text, size_t at) {
  while (at < text.size() && IsBlank(text[at])) ++at;
  return at;
}

std::optional<std::string_view> FindCall(std::string_view token, std::string_view name) {
  for (size_t from = token.find("{{"); from != std::string_view::npos; from = token.find("{{", from + 1)) {
    size_t at = SkipBlanks(token, from + 2);
    if (!NameMatches(token.substr(at), name)) continue;
    at = SkipBlanks(token, at + name.size());
    if (at >= token.size() || token[at] != '(') continue;
    const size_t begin = at + 1;
    const size_t limit = std::min(token.find('\n', begin), token.size());
    for (size_t close = limit; close > begin; --close) {
      const size_t end = close - 1;
      if (token[end] == ')' && token.substr(SkipBlanks(token, close), 2) == "}}")
        return token.substr(begin, end - begin);
    }
  }
  return std::nullopt;
}

std::string WildcardsToPlaceHolders(std::string_view subject) {
  std::string out;
  size_t wildcards = 0;
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    if (t.token() == "*") {
      out += '$';
      out += std::to_string(++wildcards);
    } else {
      out += t.token();
    }
    if (!t.last()) out += '.';
  }
  return out;
}

std::string PlaceHoldersToWildcards(std::string_view subject, std::vector<std::string_view>* holders) {
  std::string out;
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    const bool stands_for_one = IsPlaceHolder(t.token());
    if (stands_for_one && holders != nullptr) holders->push_back(t.token());
    out += stands_for_one ? std::string_view("*") : t.token();
    if (!t.last()) out += '.';
  }
  return out;
}

}  // namespace millrace
