// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/directory/kept_streams.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"

namespace millrace {

KeptStreams::~KeptStreams() {
  for (const auto& [uid, text] : records_) host_.records().Remove(uid);
}

size_t KeptStreams::size(std::string_view account) const {
  const auto at = by_account_.find(account);
  return at == by_account_.end() ? 0 : at->second.size();
}

void KeptStreams::Put(std::string_view account, KeptStream stream) {
  auto& kept = by_account_[std::string(account)].emplace_back(std::make_unique<KeptStream>(std::move(stream)));
  for (const KeptConsumer& consumer : kept->consumers) Own(consumer.uid, &consumer.state);
  if (kept->sources_uid != 0) Own(kept->sources_uid, &kept->sources);
  ++size_;
}

std::vector<KeptStream> KeptStreams::Take(std::string_view account) {
  std::vector<KeptStream> taken;
  const auto at = by_account_.find(account);
  if (at == by_account_.end()) return taken;
  for (const std::unique_ptr<KeptStream>& kept : at->second) {
    for (const KeptConsumer& consumer : kept->consumers) Disown(consumer.uid);
    if (kept->sources_uid != 0) Disown(kept->sources_uid);
    taken.push_back(std::move(*kept));
  }
  MR_CHECK(size_ >= taken.size());
  size_ -= taken.size();
  by_account_.erase(at);
  return taken;
}

void KeptStreams::Tell() const {
  for (const auto& [account, streams] : by_account_) {
    const JetStreamAccount* known = host_.accounts().Find(std::string_view(account));
    host_.port().log().Warn(absl::StrFormat("JetStream: account '%s' %s, %d streams of it are kept, and not served",
                                            account, known == nullptr ? "is not there" : "has no JetStream",
                                            streams.size()));
  }
}

void KeptStreams::Stop() {
  for (const auto& [account, streams] : by_account_) {
    for (const std::unique_ptr<KeptStream>& stream : streams) {
      if (stream->ids != nullptr) stream->ids->Stop();
    }
  }
}

void KeptStreams::EncodeRecord(uint64_t uid, std::string* out) {
  const auto at = records_.find(uid);
  MR_CHECK(at != records_.end());
  out->append(*at->second);
}

void KeptStreams::Own(uint64_t uid, const std::string* text) {
  MR_CHECK(records_.emplace(uid, text).second);
  host_.records().Add(uid, this);
}

void KeptStreams::Disown(uint64_t uid) {
  MR_CHECK(records_.erase(uid) == 1);
  host_.records().Remove(uid);
}

}  // namespace millrace
