// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/subject_filters.h"

#include <algorithm>

#include "proto/subject.h"

namespace millrace {

bool IsValidAssetName(std::string_view name) {
  return !name.empty() && name.find_first_of(" \t\r\n\f.*>\\/") == std::string_view::npos;
}

bool FiltersOverlap(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& filter) { return CollidesWithAny(filter, b); });
}

bool FiltersContainEachOther(const std::vector<std::string>& filters) {
  for (size_t i = 0; i < filters.size(); ++i) {
    for (size_t j = 0; j < filters.size(); ++j) {
      if (i != j && IsSubset(filters[i], filters[j])) return true;
    }
  }
  return false;
}

bool IsSubsetOfAny(std::string_view filter, const std::vector<std::string>& filters) {
  return std::any_of(filters.begin(), filters.end(), [&](const std::string& other) { return IsSubset(filter, other); });
}

bool CollidesWithAny(std::string_view filter, const std::vector<std::string>& filters) {
  return std::any_of(filters.begin(), filters.end(),
                     [&](const std::string& other) { return SubjectsCollide(filter, other); });
}

}  // namespace millrace
