// SPDX-License-Identifier: Apache-2.0
#include "store/shard/shard_objects.h"

#include <utility>

namespace millrace {

StoredLog& StoredStream::Wake(uint64_t uid, StoredLogs& logs, Journal& journal) {
  if (stored != nullptr) return *stored;
  stored = logs.Create(uid, options, journal);
  MR_CHECK(stored != nullptr && stored->log()->uid() == uid);
  if (at_rest != nullptr) {
    const absl::Status restored = stored->Restore(*at_rest);
    MR_CHECK(restored.ok());  // it was made by the same process
    at_rest.reset();
  }
  return *stored;
}

bool StoredStream::Rest() {
  if (!unused || stored == nullptr || changed() || !stored->hollow()) return false;
  MR_CHECK(at_rest == nullptr);
  if (stored->log()->state().last_seq > 0) {
    std::string state;
    stored->EncodeCheckpoint(&state);
    at_rest = std::make_unique<const std::string>(std::move(state));
  }
  stored.reset();
  return true;
}

}  // namespace millrace
