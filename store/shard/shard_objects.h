// SPDX-License-Identifier: Apache-2.0
// What a shard's store knows of its streams and consumers, and how their configuration is written.
// Owner:  shard.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "store/journal.h"
#include "store/stored_log.h"

namespace millrace {

// A configuration in the form in which it is written, held until the catalog has it.
using PendingRecord = std::unique_ptr<const std::string>;

struct StoredStream {
  std::unique_ptr<StoredLog> stored;  // nullptr: at rest
  PendingRecord at_rest;              // what makes it again, when that is more than an empty log
  StreamLogOptions options;
  PendingRecord record;       // as EncodeStream gives it; there while config_dirty
  Lsn config_lsn = 0;
  Lsn state_lsn = 0;          // the catalog's state contains every record up to here
  bool config_dirty = false;  // the catalog does not have it yet
  bool state_dirty = false;   // besides stored->dirty(): a checkpoint that had encoded it failed
  bool unused = false;        // nobody has its log
  bool awaits_rest = false;   // it is listed to be looked at after a checkpoint
  absl::InlinedVector<uint64_t, 1> consumers;

  // The catalog lacks some of its messages' state.
  bool changed() const { return !options.memory && (state_dirty || (stored != nullptr && stored->dirty())); }
  // Its log, made again if it is at rest.
  StoredLog& Wake(uint64_t uid, StoredLogs& logs, Journal& journal);
  // Destroys the log if nobody has it and nothing is lost by that. Not while a checkpoint runs: it may fail, and want
  // the log once more.
  bool Rest();
};

struct StoredConsumer {
  uint64_t stream_uid = 0;
  PendingRecord record;  // as EncodeConsumerConfig gives it; there while config_dirty
  Lsn config_lsn = 0;
  Lsn state_lsn = 0;
  bool config_dirty = false;
  bool state_dirty = false;
};

struct DeletedObject {
  uint64_t uid = 0;
  Lsn lsn = 0;          // of its deletion
  bool marked = false;  // the catalog may have a kDeleted of it
};

struct ShardObjects {
  absl::flat_hash_map<uint64_t, StoredStream> streams;
  absl::flat_hash_map<uint64_t, StoredConsumer> consumers;
  uint64_t next_uid = 1;
  std::vector<DeletedObject> deleted;  // to be taken out of the catalog by the next checkpoint
};

// Body of kStreamPut and entry of the catalog: version u8, flags u8, reserved u16, block_bytes u32, configuration.
inline std::string EncodeStream(std::string_view config, const StreamLogOptions& options) {
  std::string record(8, '\0');
  record[0] = 1;
  record[1] = static_cast<char>((options.memory ? 1 : 0) | (options.compress ? 2 : 0) | (options.async ? 4 : 0));
  std::memcpy(record.data() + 4, &options.block_bytes, 4);
  record.append(config);
  return record;
}

inline bool DecodeStream(std::string_view record, std::string_view* config, StreamLogOptions* options) {
  if (record.size() < 8 || record[0] != 1) return false;
  options->memory = (record[1] & 1) != 0;
  options->compress = (record[1] & 2) != 0;
  options->async = (record[1] & 4) != 0;
  std::memcpy(&options->block_bytes, record.data() + 4, 4);
  *config = record.substr(8);
  return true;
}

// Body of kConsumerPut and entry of the catalog: stream uid u64, configuration.
inline std::string EncodeConsumerConfig(uint64_t stream_uid, std::string_view config) {
  std::string record(8, '\0');
  std::memcpy(record.data(), &stream_uid, 8);
  record.append(config);
  return record;
}

inline bool DecodeConsumerConfig(std::string_view record, uint64_t* stream_uid, std::string_view* config) {
  if (record.size() < 8) return false;
  std::memcpy(stream_uid, record.data(), 8);
  *config = record.substr(8);
  return true;
}

}  // namespace millrace
