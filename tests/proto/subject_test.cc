// SPDX-License-Identifier: Apache-2.0
// Goal: subjects mean what they mean to the peer, and partitions never hide a filter from a subject it takes.
// Method: tables; naive twins over a million random pairs; relations checked by listing all subjects of a small
//         alphabet.
#include "proto/subject.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/proto/naive_subject.h"
#include "tests/proto/seeded.h"

namespace millrace {
namespace {

// A few tokens of a few kinds, so that random pairs meet often.
std::string RandomSubject(SeededRandom* random, bool odd) {
  static constexpr std::string_view kTokens[] = {"a", "b", "cc", "a", "*", ">", "*a", ">>", "", "x y"};
  std::string subject;
  const size_t count = 1 + random->Below(5);
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) subject += '.';
    subject += kTokens[random->Below(odd ? std::size(kTokens) : 4)];
  }
  return subject;
}

TEST(SubjectTest, FiltersAreValidOrNot) {
  for (const std::string_view good : {"a", "a.b.c", "*", ">", "a.*", "a.>", "*.*.>", "foo*", "a.>b", "\x80\xff.x",
                                      "a.**", "$SYS.>", "_INBOX.abc"}) {
    EXPECT_TRUE(IsValidSubject(good)) << good;
  }
  for (const std::string_view bad : {"", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\tb", "a\r", "\n", "a\fb"}) {
    EXPECT_FALSE(IsValidSubject(bad)) << Escaped(bad);
  }
}

TEST(SubjectTest, LiteralsHaveNoWildcardToken) {
  EXPECT_TRUE(IsValidLiteral("a.b*.>c"));
  EXPECT_TRUE(IsValidLiteral("a b"));
  for (const std::string_view bad : {"", "a..b", "a.*", ">", "a.>", "a."}) EXPECT_FALSE(IsValidLiteral(bad));
  EXPECT_TRUE(IsLiteral("a.b*.>c"));
  EXPECT_FALSE(IsLiteral("a.*.b"));
  EXPECT_FALSE(IsLiteral("*"));
  EXPECT_FALSE(IsLiteral("a.>"));
}

TEST(SubjectTest, MatchingFollowsTheRules) {
  EXPECT_TRUE(SubjectMatches("a.b.c", "a.*.c"));
  EXPECT_TRUE(SubjectMatches("a.b.c", "a.>"));
  EXPECT_TRUE(SubjectMatches("a.b.c", ">"));
  EXPECT_FALSE(SubjectMatches("a", "a.>"));
  EXPECT_FALSE(SubjectMatches("a.b", "a"));
  EXPECT_FALSE(SubjectMatches("a..b", ">"));
  EXPECT_FALSE(SubjectMatches("", ">"));
  EXPECT_TRUE(SubjectMatches("a.*", "a.*")) << "a published star is an ordinary token";
  EXPECT_FALSE(SubjectMatches("a.*", "a.b"));
  EXPECT_FALSE(SubjectMatches("foo1", "foo*"));
  EXPECT_TRUE(SubjectMatches("foo*", "foo*"));
}

TEST(SubjectTest, TokensAreCountedAndFound) {
  EXPECT_EQ(CountTokens(""), 0u);
  EXPECT_EQ(CountTokens("a"), 1u);
  EXPECT_EQ(CountTokens("a.b.c"), 3u);
  EXPECT_EQ(TokenAt("a.bb.c", 1), "bb");
  EXPECT_EQ(TokenAt("a.bb.c", 3), "");
}

TEST(SubjectTest, AMillionRandomPairsAgreeWithTheNaiveTwins) {
  SeededRandom random(5);
  for (size_t i = Rounds(1'000'000); i > 0; --i) {
    const std::string subject = RandomSubject(&random, random.OneIn(3));
    const std::string filter = RandomSubject(&random, random.OneIn(2));
    ASSERT_EQ(IsValidSubject(filter), NaiveIsValid(filter)) << filter;
    if (NaiveIsValid(filter)) {
      ASSERT_EQ(SubjectMatches(subject, filter), NaiveMatches(subject, filter)) << subject << " " << filter;
    }
    const std::vector<std::string> tokens = NaiveTokens(subject);
    ASSERT_EQ(CountNamedTokens(subject), NaiveNamedTokens(subject)) << subject;
    const std::string longer = subject + "." + filter;
    ASSERT_EQ(CountNamedTokens(longer), NaiveNamedTokens(longer)) << longer;
    size_t at = 0;
    for (const std::string& token : tokens) {
      const size_t end = FindTokenEnd(subject, at);
      ASSERT_EQ(subject.substr(at, end - at), token);
      at = end + 1;
    }
    ASSERT_EQ(at, subject.size() + 1);
  }
}

// All subjects of up to four tokens from {a, b, c}; filters of up to three tokens of {a, b, *, >}.
TEST(SubjectTest, SubsetAndCollisionAreWhatTheSetsOfSubjectsSay) {
  std::vector<std::string> subjects;
  std::vector<std::string> filters;
  const auto grow = [](const std::vector<std::string>& tokens, size_t depth, std::vector<std::string>* out) {
    std::vector<std::string> level = tokens;
    for (size_t d = 1;; ++d) {
      out->insert(out->end(), level.begin(), level.end());
      if (d == depth) return;
      std::vector<std::string> next;
      for (const std::string& head : level) {
        for (const std::string& token : tokens) next.push_back(head + "." + token);
      }
      level.swap(next);
    }
  };
  grow({"a", "b", "c"}, 4, &subjects);
  grow({"a", "b", "*", ">"}, 3, &filters);
  std::erase_if(filters, [](const std::string& f) { return !IsValidSubject(f); });
  for (const std::string& a : filters) {
    for (const std::string& b : filters) {
      bool subset = true;
      bool collide = false;
      for (const std::string& s : subjects) {
        const bool in_a = NaiveMatches(s, a);
        const bool in_b = NaiveMatches(s, b);
        subset = subset && (!in_a || in_b);
        collide = collide || (in_a && in_b);
      }
      ASSERT_EQ(IsSubset(a, b), subset) << a << " " << b;
      ASSERT_EQ(SubjectsCollide(a, b), collide) << a << " " << b;
    }
  }
}

TEST(SubjectTest, AFilterLiesInAPartitionThatEachOfItsSubjectsAsks) {
  SeededRandom random(6);
  size_t matches = 0;
  for (size_t i = Rounds(1'000'000); i > 0; --i) {
    const std::string subject = RandomSubject(&random, random.OneIn(3));
    const std::string filter = RandomSubject(&random, true);
    if (!IsValidSubject(filter) || !SubjectMatches(subject, filter)) continue;
    ++matches;
    const uint64_t account = random.Below(4);
    const PartitionSet asked = PartitionsOfSubject(account, subject);
    const uint32_t home = PartitionOfFilter(account, filter);
    ASSERT_LT(home, kPartitionCount);
    ASSERT_TRUE(std::find(asked.ids.begin(), asked.ids.begin() + asked.count, home) !=
                asked.ids.begin() + asked.count)
        << subject << " " << filter;
  }
  EXPECT_GT(matches, Rounds(10'000));
}

TEST(SubjectTest, PartitionsAndHashesSpread) {
  std::vector<int> hits(kPartitionCount);
  std::unordered_set<uint64_t> hashes;
  for (int i = 0; i < 102'400; ++i) {
    const std::string subject = "_INBOX." + std::to_string(i) + ".x";
    ++hits[PartitionOfFilter(7, subject)];
    hashes.insert(HashSubject(subject));
  }
  EXPECT_EQ(hashes.size(), 102'400u);
  for (const int n : hits) {
    EXPECT_GT(n, 50);
    EXPECT_LT(n, 160);
  }
  std::unordered_set<uint64_t> low_bits;
  for (int i = 0; i < 1'000'000; ++i) low_bits.insert(HashSubject("t." + std::to_string(i)) & 0xffffffff);
  EXPECT_GT(low_bits.size(), 999'700u);  // 116 collisions are to be expected in 32 bits
}

TEST(SubjectTest, HashesOfAllLengthsDependOnEveryByte) {
  for (size_t n = 0; n < 100; ++n) {
    std::string text(n, 'a');
    const uint64_t hash = HashSubject(text);
    EXPECT_NE(hash, HashSubject(text + "a"));
    for (size_t i = 0; i < n; ++i) {
      text[i] = 'b';
      EXPECT_NE(HashSubject(text), hash) << n << " " << i;
      text[i] = 'a';
    }
  }
}

}  // namespace
}  // namespace millrace
