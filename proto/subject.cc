// SPDX-License-Identifier: Apache-2.0
#include "proto/subject.h"

#include <algorithm>
#include <bit>

#include "proto/base/check.h"

namespace millrace {
namespace {

bool IsTokenWildcard(std::string_view token) { return token.size() == 1 && token[0] == kTokenWildcard; }
bool IsTailWildcard(std::string_view token) { return token.size() == 1 && token[0] == kTailWildcard; }

constexpr uint64_t kOneTokenSeed = 0x1d8e4e27c47d124f;
constexpr uint64_t kTwoTokenSeed = 0x72bc3f5b9a6d0e31;
constexpr uint64_t kWildcardSeed = 0x4f9939f508d2a7c5;
constexpr uint64_t kTailSeed = 0x2b7e151628aed2a7;

uint64_t AccountSeed(uint64_t account_key) { return MixBits(account_key ^ kHashKey1, kHashKey2); }

uint16_t PartitionOf(uint64_t seed, std::string_view prefix) {
  return static_cast<uint16_t>(HashBytes(prefix, seed) >> (64 - 10));
}

static_assert(kPartitionCount == 1u << 10);

// The first two tokens as one prefix, and the first alone.
struct Head {
  std::string_view first;
  std::string_view second;  // empty when there is none
  std::string_view both;
};

Head CutHead(std::string_view subject) {
  const size_t dot = FindTokenEnd(subject, 0);
  if (dot == subject.size()) return {subject, {}, subject};
  const size_t end = FindTokenEnd(subject, dot + 1);
  return {subject.substr(0, dot), subject.substr(dot + 1, end - dot - 1), subject.substr(0, end)};
}

}  // namespace

bool IsValidSubject(std::string_view subject) {
  bool tail = false;
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    const std::string_view token = t.token();
    if (token.empty() || tail) return false;
    for (const char c : token) {
      if (c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r') return false;
    }
    tail = IsTailWildcard(token);
  }
  return true;
}

bool IsWellFormedFilter(std::string_view filter) {
  bool tail = false;
  for (TokenCursor t(filter); !t.done(); t.Advance()) {
    if (t.token().empty() || tail) return false;
    tail = IsTailWildcard(t.token());
  }
  return true;
}

bool IsValidLiteral(std::string_view subject) {
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    const std::string_view token = t.token();
    if (token.empty() || IsTokenWildcard(token) || IsTailWildcard(token)) return false;
  }
  return true;
}

bool IsLiteral(std::string_view subject) {
  for (size_t i = 0; i < subject.size(); ++i) {
    if (subject[i] != kTokenWildcard && subject[i] != kTailWildcard) continue;
    const bool begins = i == 0 || subject[i - 1] == kTokenSeparator;
    const bool ends = i + 1 == subject.size() || subject[i + 1] == kTokenSeparator;
    if (begins && ends) return false;
  }
  return true;
}

size_t CountNamedTokensOfLong(std::string_view subject) {
  size_t tokens = 1;
  uint32_t after_separator = 1;  // what begins is a token
  while (!subject.empty()) {
    const size_t bytes = std::min<size_t>(subject.size(), 16);
    const uint32_t separators = SeparatorMask(subject.data(), bytes);
    if ((separators & (separators << 1 | after_separator)) != 0) return 0;
    tokens += static_cast<size_t>(std::popcount(separators));
    after_separator = separators >> (bytes - 1) & 1;
    subject.remove_prefix(bytes);
  }
  return after_separator != 0 ? 0 : tokens;
}

bool SubjectMatches(std::string_view subject, std::string_view filter) {
  if (!HasOnlyNamedTokens(subject)) return false;
  TokenCursor s(subject);
  TokenCursor f(filter);
  for (; !s.done() && !f.done(); s.Advance(), f.Advance()) {
    if (IsTailWildcard(f.token()) && f.last()) return true;
    if (!IsTokenWildcard(f.token()) && f.token() != s.token()) return false;
  }
  return s.done() && f.done();
}

bool IsSubset(std::string_view a, std::string_view b) {
  TokenCursor ta(a);
  TokenCursor tb(b);
  for (; !ta.done() && !tb.done(); ta.Advance(), tb.Advance()) {
    if (ta.token().empty() || tb.token().empty()) return false;
    if (IsTailWildcard(tb.token())) return true;
    if (IsTailWildcard(ta.token())) return false;
    if (!IsTokenWildcard(tb.token()) && ta.token() != tb.token()) return false;
  }
  return ta.done() && tb.done();
}

bool SubjectsCollide(std::string_view a, std::string_view b) {
  if (a == b) return true;
  TokenCursor ta(a);
  TokenCursor tb(b);
  for (; !ta.done() && !tb.done(); ta.Advance(), tb.Advance()) {
    if (ta.token().empty() || tb.token().empty()) return false;
    if (IsTailWildcard(ta.token()) || IsTailWildcard(tb.token())) return true;
    if (IsTokenWildcard(ta.token()) || IsTokenWildcard(tb.token())) continue;
    if (ta.token() != tb.token()) return false;
  }
  return ta.done() && tb.done();
}

size_t CountTokens(std::string_view subject) {
  if (subject.empty()) return 0;
  size_t count = 1;
  for (const char c : subject) count += c == kTokenSeparator;
  return count;
}

std::string_view TokenAt(std::string_view subject, size_t index) {
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    if (index-- == 0) return t.token();
  }
  return {};
}

uint32_t PartitionOfFilter(uint64_t account_key, std::string_view filter) {
  const uint64_t account = AccountSeed(account_key);
  const Head head = CutHead(filter);
  if (IsTokenWildcard(head.first) || IsTailWildcard(head.first)) {
    return PartitionOf(account ^ kWildcardSeed, {});
  }
  if (head.second.empty()) return PartitionOf(account ^ kOneTokenSeed, head.first);
  if (IsTokenWildcard(head.second) || IsTailWildcard(head.second)) {
    return PartitionOf(account ^ kTailSeed, head.first);
  }
  return PartitionOf(account ^ kTwoTokenSeed, head.both);
}

PartitionSet PartitionsOfSubject(uint64_t account_key, std::string_view subject) {
  const uint64_t account = AccountSeed(account_key);
  const Head head = CutHead(subject);
  PartitionSet set;
  if (head.second.empty()) {
    set.ids[set.count++] = PartitionOf(account ^ kOneTokenSeed, head.first);
  } else {
    set.ids[set.count++] = PartitionOf(account ^ kTwoTokenSeed, head.both);
    set.ids[set.count++] = PartitionOf(account ^ kTailSeed, head.first);
  }
  MR_DCHECK(set.count < std::size(set.ids));
  set.ids[set.count++] = PartitionOf(account ^ kWildcardSeed, {});
  return set;
}

}  // namespace millrace
