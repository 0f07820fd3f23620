// SPDX-License-Identifier: Apache-2.0
// JetStreamEngineOptions: what the engine of one shard is told when it is made, and by a reload.
// Owner:  immutable, as far as who reads it is concerned: a reload puts another one in its place between two turns.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/account/account_table.h"
#include "broker/jetstream/api/stream_check.h"
#include "proto/base/nanos.h"

namespace millrace {

// Of batches of publishes. The built-in limits are nats-server's; the last two are ours, since a batch is staged in
// memory.
struct BatchLimits {
  uint64_t atomic_per_stream = 50;
  uint64_t atomic_total = 1000;
  uint64_t messages = 1000;  // of one atomic batch
  uint64_t fast_per_stream = 1000;
  uint64_t fast_total = 50'000;
  Nanos timeout = std::chrono::seconds(10);  // without a message
  uint64_t bytes = 64 << 20;                 // of one atomic batch
  uint64_t bytes_total = 256 << 20;
};

// Of streams that nobody uses.
struct StreamTableOptions {
  size_t awake_max = 4096;                      // up to so many stay objects, used or not
  Nanos rest_after = std::chrono::seconds(10);  // without use; 0: at the end of every turn
};

// An account as the engine is told of it.
struct EngineAccount {
  Account account;
  // False: another account answers what is asked under $JS.API here, by an import.
  bool answers_api = true;
};

struct JetStreamEngineOptions {
  // All that exist, with JetStream or without: those without are told so when they ask. Streams of an account that
  // is not here are kept, and not served.
  std::vector<EngineAccount> accounts;
  AccountId unnamed_account = kNoAccount;  // whose the streams are of which the store does not say it
  AccountId system_account = kNoAccount;   // it hears of what concerns the server, and has no JetStream
  std::string domain;
  std::string server_name;
  std::string server_id;
  ServerLimits limits;
  bool strict = true;         // requests with unknown fields are refused
  bool async = false;         // streams that do not say otherwise are confirmed before they are durable
  uint32_t block_bytes = 256 * 1024;
  // Bytes of messages, as StreamLogState counts them: with more than that nothing is stored, and max_bytes of all
  // streams together may not exceed it.
  int64_t memory_max = 0;
  int64_t storage_max = 0;
  uint64_t max_payload = 1 << 20;
  uint64_t max_pending = 64 << 20;
  uint64_t request_queue_max = 10'000;
  BatchLimits batches;
  StreamTableOptions streams;
};

}  // namespace millrace
