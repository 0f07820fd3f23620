// SPDX-License-Identifier: Apache-2.0
// Subject: what subjects and filters are, how they relate, and where they hash to.
// Owner:  caller (pure).  A subject is tokens between dots. In a filter `*` stands for one token and a final `>` for
// one or more, each only as a whole token; in a subject that is published they are ordinary bytes.
// Source: spec C-30, C-31.
#pragma once

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/hash.h"

namespace millrace {

inline constexpr char kTokenSeparator = '.';
inline constexpr char kTokenWildcard = '*';
inline constexpr char kTailWildcard = '>';
inline constexpr uint32_t kPartitionCount = 1024;

// A filter that may be subscribed to: no empty token, `>` only last, no blank byte (space \t \n \f \r).
bool IsValidSubject(std::string_view subject);

// The same, but blanks are not looked for: SUB's line has been split at blanks already (a form feed passes).
bool IsWellFormedFilter(std::string_view filter);

// What pedantic clients may publish to: no empty token and no wildcard token. (The peer looks at nothing else here.)
bool IsValidLiteral(std::string_view subject);

// No token is a wildcard. Says nothing about empty tokens.
bool IsLiteral(std::string_view subject);

// Bit i: the byte at i is a separator; n is 1 to 16.
inline uint32_t SeparatorMask(const char* at, size_t n) {
  const auto mask_of = [](__m128i bytes) {
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(kTokenSeparator))));
  };
  const auto load = [](uint64_t word) { return _mm_cvtsi64_si128(static_cast<int64_t>(word)); };
  if (n == 16) return mask_of(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  if (n >= 8) return mask_of(load(LoadBytes8(at))) | mask_of(load(LoadBytes8(at + n - 8))) << (n - 8);
  if (n >= 4) return mask_of(load(LoadBytes4(at))) | mask_of(load(LoadBytes4(at + n - 4))) << (n - 4);
  uint32_t mask = 0;
  for (size_t i = 0; i < n; ++i) mask |= static_cast<uint32_t>(at[i] == kTokenSeparator) << i;
  return mask;
}

// How many tokens there are, or 0 when one of them is empty.
size_t CountNamedTokensOfLong(std::string_view subject);
inline size_t CountNamedTokens(std::string_view subject) {
  if (subject.empty() || subject.size() > 16) return CountNamedTokensOfLong(subject);
  const uint32_t separators = SeparatorMask(subject.data(), subject.size());
  if ((separators & (separators << 1 | 1)) != 0 || separators >> (subject.size() - 1) != 0) return 0;
  return static_cast<size_t>(std::popcount(separators)) + 1;
}

// No token is empty: the condition for a published subject to match anything.
inline bool HasOnlyNamedTokens(std::string_view subject) { return CountNamedTokens(subject) > 0; }

// The filter takes this published subject, whose wildcard characters are ordinary bytes.
bool SubjectMatches(std::string_view subject, std::string_view filter);

// Every subject that a takes is taken by b as well; a may be a literal.
bool IsSubset(std::string_view a, std::string_view b);

// Some subject is taken by both filters.
bool SubjectsCollide(std::string_view a, std::string_view b);

size_t CountTokens(std::string_view subject);

// The token with this index from 0; empty when there is none.
std::string_view TokenAt(std::string_view subject, size_t index);

// Index of the separator that ends the token at offset, or the subject's size.
inline size_t FindTokenEnd(std::string_view subject, size_t offset) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  while (offset + 8 <= subject.size()) {
    const uint64_t word = LoadBytes8(subject.data() + offset) ^ (kOnes * '.');
    const uint64_t zeros = (word - kOnes) & ~word & kHighs;  // lowest set bit: first byte that is zero
    if (zeros != 0) return offset + static_cast<size_t>(std::countr_zero(zeros)) / 8;
    offset += 8;
  }
  while (offset < subject.size() && subject[offset] != kTokenSeparator) ++offset;
  return offset;
}

// for (TokenCursor t(subject); !t.done(); t.Advance()) use(t.token()). An empty subject has one empty token.
class TokenCursor {
 public:
  explicit TokenCursor(std::string_view subject) : rest_(subject) { Cut(); }
  bool done() const { return done_; }
  bool last() const { return last_; }
  std::string_view token() const { return token_; }
  void Advance() {
    if (last_) {
      done_ = true;
    } else {
      Cut();
    }
  }

 private:
  void Cut() {
    const size_t dot = rest_.find(kTokenSeparator);
    last_ = dot == std::string_view::npos;
    token_ = rest_.substr(0, dot);
    if (!last_) rest_.remove_prefix(dot + 1);
  }
  std::string_view rest_;
  std::string_view token_;
  bool last_ = false;
  bool done_ = false;
};

inline uint64_t HashSubject(std::string_view subject) { return HashBytes(subject, 0); }

// The partition whose home shard owns interest in this filter: by its first two tokens, by its first, or the account's
// one partition for filters that begin with a wildcard (docs/architecture.md). account_key is any stable 64-bit number.
uint32_t PartitionOfFilter(uint64_t account_key, std::string_view filter);

// The partitions that a match of this published subject rests on: filters outside of them cannot take it.
struct PartitionSet {
  std::array<uint16_t, 3> ids{};
  uint8_t count = 0;
};
PartitionSet PartitionsOfSubject(uint64_t account_key, std::string_view subject);

}  // namespace millrace
