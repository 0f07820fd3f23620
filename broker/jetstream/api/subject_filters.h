// SPDX-License-Identifier: Apache-2.0
// Subject filters: how sets of filters relate, for streams and consumers of JetStream.
// Owner:  caller (pure).  Of proto/subject.h: IsSubset, SubjectsCollide, SubjectMatches, IsValidSubject, IsLiteral.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// A name of a stream or consumer: not empty, no blank, none of . * > \ /
bool IsValidAssetName(std::string_view name);

// Some subject is in both sets.
bool FiltersOverlap(const std::vector<std::string>& a, const std::vector<std::string>& b);

// One of the filters is taken whole by another one of the list.
bool FiltersContainEachOther(const std::vector<std::string>& filters);

// Every subject that `filter` takes is in the set.
bool IsSubsetOfAny(std::string_view filter, const std::vector<std::string>& filters);

// Some subject is taken by `filter` and the set.
bool CollidesWithAny(std::string_view filter, const std::vector<std::string>& filters);

}  // namespace millrace
