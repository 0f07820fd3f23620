// SPDX-License-Identifier: Apache-2.0
// KeptStreams: streams that are not served, because their account is not there or has no JetStream: what is needed to
//         serve them again. Their messages stay in the store; so do their consumers, positions of sources and message
//         ids, of which this says at a checkpoint what they hold.
// Owner:  shard; part of StreamDirectory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "broker/jetstream/api/consumer_config.h"
#include "broker/jetstream/api/stored_config.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/base/name_map.h"
#include "broker/jetstream/base/store_records.h"
#include "broker/jetstream/stream/message_ids.h"
#include "broker/jetstream/stream/stream_host.h"
#include "store/shard/shard_store.h"

namespace millrace {

struct KeptConsumer {
  uint64_t uid = 0;
  ConsumerConfig config;
  int64_t created_ns = 0;
  std::string state;  // as Consumer::EncodeState writes it; empty: it has had no turn yet
};

struct KeptStream {
  uint64_t uid = 0;
  StreamConfig config;
  int64_t created_ns = 0;
  Applied applied = Applied::kWhole;
  std::vector<LostRange> lost;
  std::vector<KeptConsumer> consumers;
  uint64_t sources_uid = 0;  // of the record of its sources' positions; 0: none
  std::string sources;
  std::unique_ptr<MessageIds> ids;
};

class KeptStreams final : public RecordOwner {
 public:
  explicit KeptStreams(StreamHost& host) : host_(host) {}
  ~KeptStreams();
  KeptStreams(const KeptStreams&) = delete;
  KeptStreams& operator=(const KeptStreams&) = delete;

  size_t size() const { return size_; }
  size_t size(std::string_view account) const;
  void Put(std::string_view account, KeptStream stream);
  // All of an account; its records have no owner from here on.
  std::vector<KeptStream> Take(std::string_view account);
  // Says in the log of each account how many there are, and why.
  void Tell() const;
  // Nothing happens by itself any more.
  void Stop();

  void EncodeRecord(uint64_t uid, std::string* out) override;

 private:
  void Own(uint64_t uid, const std::string* text);
  void Disown(uint64_t uid);

  StreamHost& host_;
  NameMap<std::vector<std::unique_ptr<KeptStream>>> by_account_;
  absl::flat_hash_map<uint64_t, const std::string*> records_;  // what each holds, in by_account_
  size_t size_ = 0;
};

}  // namespace millrace
