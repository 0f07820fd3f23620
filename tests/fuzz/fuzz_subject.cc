// SPDX-License-Identifier: Apache-2.0
// Lines of `+filter`, `-filter` and `subject` against a trie and a list of filters with the naive matcher.
#include "proto/subject.h"

#include <algorithm>
#include <map>

#include "proto/subject_trie.h"
#include "tests/fuzz/fuzz_driver.h"
#include "tests/proto/naive_subject.h"

namespace millrace {
namespace {

void MatchBoth(const SubjectTrie<int>& trie, const std::map<std::string, int>& list, std::string_view subject) {
  std::vector<int> found;
  trie.Match(subject, [&](int value) { found.push_back(value); });
  std::vector<int> expected;
  const PartitionSet asked = PartitionsOfSubject(1, subject);
  for (const auto& [filter, value] : list) {
    const bool matches = NaiveMatches(subject, filter);
    FUZZ_REQUIRE(SubjectMatches(subject, filter) == matches);
    if (!matches) continue;
    expected.push_back(value);
    FUZZ_REQUIRE(std::count(asked.ids.begin(), asked.ids.begin() + asked.count,
                            PartitionOfFilter(1, filter)) > 0);
    FUZZ_REQUIRE(!IsLiteral(subject) || IsSubset(subject, filter));
    FUZZ_REQUIRE(!IsLiteral(subject) || SubjectsCollide(subject, filter));
  }
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  FUZZ_REQUIRE(found == expected);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  std::string_view rest(reinterpret_cast<const char*>(bytes), std::min<size_t>(size, 4000));
  SubjectTrie<int> trie;
  std::map<std::string, int> list;
  int next = 0;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string_view subject = line.substr(line.empty() ? 0 : 1);
    if (line.starts_with('+')) {
      FUZZ_REQUIRE(IsValidSubject(subject) == NaiveIsValid(subject));
      if (!IsValidSubject(subject)) continue;
      int* const value = trie.Insert(subject);
      FUZZ_REQUIRE(value != nullptr);
      list[std::string(subject)] = *value = ++next;
    } else if (line.starts_with('-')) {
      FUZZ_REQUIRE(trie.Erase(subject) == (list.erase(std::string(subject)) == 1));
    } else {
      MatchBoth(trie, list, line);
    }
    FUZZ_REQUIRE(trie.filter_count() == list.size());
  }
  size_t listed = 0;
  trie.ForEach([&](std::string_view filter, int value) {
    ++listed;
    FUZZ_REQUIRE(list.at(std::string(filter)) == value);
  });
  FUZZ_REQUIRE(listed == list.size());
  for (const auto& [filter, value] : list) FUZZ_REQUIRE(trie.Erase(filter));
  FUZZ_REQUIRE(trie.node_count() == 1);
  return 0;
}

std::vector<std::string> FuzzSeeds() {
  return {"+foo.*.bar\n+foo.>\n+foo.a.bar\nfoo.a.bar\n-foo.>\nfoo.a.bar\n+>\nfoo\n",
          "+*\n+*.*\n+*.>\n+a.b\na.b\na\na.b.c\n-*.*\na.b\n",
          "+_INBOX.abcdefghijklmnopqrstuvwxyz0123456789.*\n_INBOX.abcdefghijklmnopqrstuvwxyz0123456789.1\n",
          "+a.a.a.a\n+a.a.a.b\n+a.*.a.*\n+*.a.*.a\n+*.*.*.*\na.a.a.a\n-a.a.a.a\na.a.a.a\n"};
}
