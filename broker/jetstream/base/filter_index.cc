// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/filter_index.h"

#include "proto/subject.h"

namespace millrace {

bool FilterIndex::Collides(std::string_view filter, uint64_t except) const {
  // A filter that shares a subject with this one is the same up to the first wildcard of either.
  std::string beginning;
  for (size_t at = 0;;) {
    const size_t end = filter.find('.', at);
    const std::string_view token = filter.substr(at, end == std::string_view::npos ? end : end - at);
    if (token == "*" || token == ">") return CollidesBehind(beginning, filter, except);
    for (const std::string_view wildcard : {"*", ">"}) {
      if (CollidesBehind(beginning + std::string(wildcard), filter, except)) return true;
    }
    beginning.append(token);
    if (end == std::string_view::npos) return Holds(filter, except);
    beginning.push_back('.');
    at = end + 1;
  }
}

bool FilterIndex::Holds(std::string_view filter, uint64_t except) const {
  auto it = filters_.lower_bound(Entry(filter, 0));
  while (it != filters_.end() && it->first == filter && it->second == except) ++it;
  return it != filters_.end() && it->first == filter;
}

bool FilterIndex::CollidesBehind(std::string_view beginning, std::string_view filter, uint64_t except) const {
  for (auto it = filters_.lower_bound(Entry(beginning, 0)); it != filters_.end(); ++it) {
    if (!it->first.starts_with(beginning)) return false;
    if (it->second != except && SubjectsCollide(filter, it->first)) return true;
  }
  return false;
}

}  // namespace millrace
