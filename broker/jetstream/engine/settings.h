// SPDX-License-Identifier: Apache-2.0
// Settings: what the configuration of JetStream means on this machine: limits by its memory and disk, the directory.
// Owner:  control thread, before the shards start; afterwards immutable.
// Source: spec 5a.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "broker/config/options.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/base/options.h"
#include "broker/monitor/snapshot.h"
#include "store/shard/shard_store.h"

namespace millrace {

struct JetStreamSettings {
  JetStreamConfigInfo config;   // as /varz and /jsz show it; the directory is the one that is ours alone
  JetStreamLimitsInfo limits;
  Durability durability = Durability::kDurable;
  std::string sync_method;      // for the banner, once the store has measured it; may be empty
  std::string cipher;           // of what is stored, by its name; empty: it is not encrypted
  bool dynamic = false;         // at least one limit comes from the machine
  bool temporary = false;       // no directory was configured
  // max_storage is an estimate from free space: the store adds 3/4 of what it finds of its own (FinishMaxStorage).
  bool storage_is_estimated = false;
};

// Looks at the machine; creates the directory when it has to know how much room there is, as the peer does.
JetStreamSettings ResolveJetStream(const JetStreamOptions& options);
// After a reload: limits may have grown, and what streams and consumers may ask for may differ.
JetStreamSettings ChangedSettings(const JetStreamSettings& old, const JetStreamOptions& options);
// Limits stay the same from start to start although the store grows.
int64_t FinishMaxStorage(const JetStreamSettings& settings, int64_t recovered_bytes);
// What accounts may use together is there: limits are promises. The text is the peer's.
absl::Status CheckAccounts(const AccountTable& accounts, const JetStreamSettings& settings);
// `system`: the name of the system account as configured. The text is the peer's.
absl::Status CheckSystemAccount(const std::vector<AccountSpec>& specs, std::string_view system);
// A reload that promises more than there is goes on without that: who is given too much keeps what he had under
// `before`, also nothing. Not OK: what the peer logs of the first of them.
absl::Status GrantJetStream(const AccountTable& before, const JetStreamSettings& settings, std::string_view system,
                            std::vector<AccountSpec>* specs);
// Creates it, or finds out that it cannot be used. The text is the peer's.
absl::Status PrepareStoreDir(const std::string& directory);

ServerLimits ServerLimitsOf(const JetStreamLimits& limits);
// As the engine is told of them. The system account has no JetStream, whatever is said (CheckAccounts); and where an
// import takes what is asked under $JS.API, its exporter answers.
std::vector<EngineAccount> EngineAccountsOf(const AccountTable& accounts, const std::vector<AccountSpec>& specs);
// Everything but the server's name and id, and accounts.
JetStreamEngineOptions EngineOptionsOf(const Options& options, const JetStreamSettings& settings);
// Everything but the random identity and the progress.
ShardStoreOptions StoreOptionsOf(const JetStreamOptions& options);
// Everything but the randomness.
KeyOptions KeyOptionsOf(const JetStreamOptions& options);

}  // namespace millrace
