// SPDX-License-Identifier: Apache-2.0
// StreamReaders: which streams are mirrors of, or source, which others, and which of them have something to read.
// Owner:  shard; part of the engine.  A stream that nobody reads costs one look into an empty table per flush.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/base/list.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/stream/upstream.h"

namespace millrace {

class StreamReaders {
 public:
  // Of what it names as origins, in this account. Wakes it.
  void Add(AccountId account, Upstream* reader);
  // The names of the origins that it read.
  std::vector<std::string> Remove(Upstream* reader);

  // Something became visible in the stream of this name, or it has come into being.
  void WakeReadersOf(AccountId account, std::string_view origin) {
    if (!by_origin_.empty()) WakeAll({account, origin});
  }
  void Wake(Upstream* reader);
  // Loads that were waited for have ended.
  void WakeLoading();
  // Lets readers read. True: there is more to do now.
  bool Run();

  // Some reader still has to copy the message.
  bool Need(const Stream& origin, uint64_t seq, std::string_view subject) const;
  bool HasReadersOf(AccountId account, std::string_view origin) const {
    return by_origin_.contains(AccountNameView(account, origin));
  }
  // A mirror that answers DIRECT.GET in the place of this stream; nullptr: none does.
  Stream* DirectMirrorOf(AccountId account, std::string_view origin) const;

 private:
  void WakeAll(const AccountNameView& origin);

  AccountNameMap<std::vector<Upstream*>> by_origin_;
  List<Upstream> awake_;
  List<Upstream> loading_;
};

}  // namespace millrace
