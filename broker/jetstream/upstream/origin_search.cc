// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/upstream/origin_search.h"

#include <algorithm>

#include "proto/base/check.h"

namespace millrace {

bool OriginSearches::AreFree(AccountId account, const std::vector<std::string>& names) const {
  if (!host_.work().AnyHeld()) return true;
  return std::none_of(names.begin(), names.end(), [this, account](const std::string& name) {
    const Stream* stream = directory_.streams().FindAwake(account, name);
    return stream != nullptr && stream->MustWait();
  });
}

uint64_t OriginSearches::Start(Wanted wanted, const Stream& origin, const Filters& filters, uint64_t from) {
  const uint64_t number = ++last_;
  searches_[number].from = from;
  host_.work().RunLong(origin.uid(), [this, number, wanted, uid = origin.uid(), filters, from] {
    Run(number, wanted, uid, filters, from);
  });
  return number;
}

void OriginSearches::Run(uint64_t number, Wanted wanted, uint64_t uid, const Filters& filters, uint64_t from) {
  Stream* origin = host_.FindAwake(uid);
  const uint64_t end = origin == nullptr ? 0 : origin->log().state().last_seq;
  uint64_t found = 0;
  if (origin != nullptr && wanted == Wanted::kNext) found = origin->log().Next(filters, from);
  if (origin != nullptr && wanted == Wanted::kCount) found = origin->log().Count(filters, from, false);
  const auto search = searches_.find(number);
  if (search == searches_.end()) return;  // nobody wants to know any more
  MR_CHECK(!search->second.done && search->second.from == from);
  MR_CHECK(wanted == Wanted::kCount || found == 0 || found >= from);
  const bool awaited = search->second.awaited;
  search->second = {from, end, found, true, false};
  if (awaited && origin != nullptr) host_.OnLoaded();
}

}  // namespace millrace
