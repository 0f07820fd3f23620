// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/engine/settings.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <initializer_list>
#include <limits>

#include "absl/numeric/int128.h"
#include "absl/strings/str_format.h"
#include "broker/config/blocks/jetstream.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/message_headers.h"
#include "proto/base/status.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr int64_t kMemoryWhenUnknown = int64_t{256} << 20;
constexpr int64_t kStorageWhenUnknown = int64_t{1} << 40;
constexpr mode_t kDirectoryMode = 0700;
constexpr std::string_view kOurDirectory = "jetstream";

int64_t MemoryOfMachine() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0 || info.totalram == 0) return 0;
  return static_cast<int64_t>(info.totalram) * static_cast<int64_t>(info.mem_unit);
}

int64_t FreeBytes(const std::string& directory) {
  struct statvfs info {};
  if (statvfs(directory.c_str(), &info) != 0) return -1;
  return static_cast<int64_t>(uint64_t{info.f_bavail} * uint64_t{info.f_frsize});
}

std::string TemporaryDirectory() {
  const char* named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/tmp";
}

std::string Join(std::string_view directory, std::string_view name) {
  std::string path(directory);
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!path.ends_with('/')) path += '/';
  return path.append(name);
}

std::string ErrorText(int error) {
  // As Go words it: "permission denied".
  std::string text = strerrordesc_np(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

// mkdir -p. Returns "mkdir /a/b: permission denied" or nothing.
std::string MakeDirectories(const std::string& path) {
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), kDirectoryMode) == 0) continue;
    const int error = errno;
    struct stat info {};
    if (error == EEXIST && stat(part.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) continue;
    return absl::StrFormat("mkdir %s: %s", part, ErrorText(error == EEXIST ? ENOTDIR : error));
  }
  return {};
}

JetStreamLimitsInfo LimitsInfoOf(const JetStreamLimits& limits) {
  JetStreamLimitsInfo info;
  info.max_request_batch = limits.max_request_batch;
  info.max_ack_pending = limits.max_ack_pending;
  info.max_ha_assets = limits.max_ha_assets;
  info.max_duplicate_window_ns = limits.duplicate_window.count();
  info.max_batch_inflight_per_stream = limits.batch_max_inflight_per_stream;
  info.max_batch_inflight_total = limits.batch_max_inflight_total;
  info.max_batch_size = limits.batch_max_msgs;
  info.max_batch_timeout_ns = limits.batch_timeout.count();
  info.default_max_consumers = limits.default_max_consumers;
  return info;
}

// What accounts are promised together. Wide, so that no sum of limits is too much for it.
struct Promises {
  absl::int128 memory = 0;
  absl::int128 storage = 0;

  explicit Promises(const AccountJetStream& account = {}) {
    for (const auto& [tier, limits] : account.tiers) {
      memory += std::max<int64_t>(limits.max_memory, 0);
      storage += std::max<int64_t>(limits.max_storage, 0);
    }
  }
  Promises& operator+=(const Promises& more) {
    memory += more.memory;
    storage += more.storage;
    return *this;
  }
  Promises& operator-=(const Promises& less) {
    memory -= less.memory;
    storage -= less.storage;
    return *this;
  }
};

absl::Status NotEnabled(std::string_view why) {
  return absl::UnavailableError(absl::StrFormat("Error enabling jetstream on configured accounts: %s", why));
}

absl::Status CheckPromises(const Promises& promises, const JetStreamSettings& settings, bool look_at_storage) {
  const auto refuse = [](ApiErrorId id) {
    const ApiError error = MakeError(id);
    return NotEnabled(absl::StrFormat("%s (%d)", error.description, error.err_code));
  };
  if (promises.memory > settings.config.max_memory) return refuse(ApiErrorId::kMemoryResourcesExceeded);
  if (look_at_storage && promises.storage > settings.config.max_storage)
    return refuse(ApiErrorId::kStorageResourcesExceeded);
  return absl::OkStatus();
}

}  // namespace

JetStreamSettings ResolveJetStream(const JetStreamOptions& options) {
  JetStreamSettings settings;
  JetStreamConfigInfo& config = settings.config;
  config.sync_interval_ns = options.sync_interval.count();
  config.sync_always = options.sync_always;
  config.domain = options.domain;
  config.unique_tag = options.unique_tag;
  config.strict = options.strict;
  settings.durability = options.durability;
  if (!options.key.empty()) settings.cipher = config::CipherName(options.cipher);
  settings.temporary = options.store_dir.empty();
  // The peer takes limits of 0 for a wish that it looks into the machine, and another temporary directory then.
  settings.dynamic = options.max_memory_store <= 0 || options.max_file_store <= 0;
  config.compress_ok = !settings.dynamic;
  std::string base = options.store_dir;
  if (settings.temporary) base = settings.dynamic ? Join(TemporaryDirectory(), "nats") : TemporaryDirectory();
  config.store_dir = Join(base, kOurDirectory);

  config.max_memory = options.max_memory_store;
  if (config.max_memory < 0) {
    const int64_t memory = MemoryOfMachine();
    config.max_memory = memory > 0 ? memory / 4 * 3 : kMemoryWhenUnknown;
  }
  config.max_storage = options.max_file_store;
  if (config.max_storage < 0) {
    MakeDirectories(config.store_dir);  // PrepareStoreDir says what is wrong
    const int64_t free = FreeBytes(config.store_dir);
    config.max_storage = free >= 0 ? free / 4 * 3 : kStorageWhenUnknown;
    settings.storage_is_estimated = true;
  }

  settings.limits = LimitsInfoOf(options.limits);
  return settings;
}

JetStreamSettings ChangedSettings(const JetStreamSettings& old, const JetStreamOptions& options) {
  JetStreamSettings settings = old;
  if (options.max_memory_store > 0) settings.config.max_memory = options.max_memory_store;
  if (options.max_file_store > 0) settings.config.max_storage = options.max_file_store;
  settings.limits = LimitsInfoOf(options.limits);
  return settings;
}

int64_t FinishMaxStorage(const JetStreamSettings& settings, int64_t recovered_bytes) {
  const int64_t now = settings.config.max_storage;
  if (!settings.storage_is_estimated || recovered_bytes <= 0) return now;
  const int64_t ours = recovered_bytes / 4 * 3;
  return now > std::numeric_limits<int64_t>::max() - ours ? std::numeric_limits<int64_t>::max() : now + ours;
}

absl::Status CheckAccounts(const AccountTable& accounts, const JetStreamSettings& settings) {
  Promises sum;
  for (const Account& account : accounts.all()) {
    sum += Promises(account.jetstream);
    // An estimate grows with what is found.
    MR_RETURN_IF_ERROR(CheckPromises(sum, settings, !settings.storage_is_estimated));
  }
  return absl::OkStatus();
}

absl::Status CheckSystemAccount(const std::vector<AccountSpec>& specs, std::string_view system) {
  for (const AccountSpec& spec : specs) {
    if (spec.name == SystemAccountName(system) && spec.jetstream.enabled)
      return absl::UnavailableError("Not allowed to enable JetStream on the system account");
  }
  return absl::OkStatus();
}

absl::Status GrantJetStream(const AccountTable& before, const JetStreamSettings& settings, std::string_view system,
                            std::vector<AccountSpec>* specs) {
  absl::Status first;
  // Who gives something back does so first. Of the others each has what he had until there is more for him.
  Promises sum;
  std::vector<AccountSpec*> growing;
  const auto had = [&](const AccountSpec& spec) {
    const Account* const account = spec.jetstream.enabled ? before.Find(spec.name) : nullptr;
    return account == nullptr ? AccountJetStream{} : account->jetstream;
  };
  for (AccountSpec& spec : *specs) {
    if (spec.jetstream.enabled && spec.name == SystemAccountName(system)) {
      first = NotEnabled("jetstream can not be enabled on the system account");
      spec.jetstream = {};
    }
    const Promises wanted(spec.jetstream);
    const Promises has(had(spec));
    const bool grows = wanted.memory > has.memory || wanted.storage > has.storage;
    if (grows) growing.push_back(&spec);
    sum += grows ? has : wanted;
  }
  for (AccountSpec* spec : growing) {
    Promises next = sum;
    next -= Promises(had(*spec));
    next += Promises(spec->jetstream);
    const absl::Status checked = CheckPromises(next, settings, true);
    if (checked.ok()) {
      sum = next;
      continue;
    }
    if (first.ok()) first = checked;
    spec->jetstream = had(*spec);
  }
  return first;
}

absl::Status PrepareStoreDir(const std::string& directory) {
  struct stat info {};
  if (stat(directory.c_str(), &info) != 0) {
    if (errno != ENOENT) return absl::UnavailableError("storage directory is not a directory");
    const std::string error = MakeDirectories(directory);
    if (error.empty()) return absl::OkStatus();
    return absl::UnavailableError(absl::StrFormat("could not create storage directory - %s", error));
  }
  if (!S_ISDIR(info.st_mode)) return absl::UnavailableError("storage directory is not a directory");
  // Another server may be at work in it: asked, not tried.
  if (access(directory.c_str(), W_OK | X_OK) != 0) return absl::UnavailableError("storage directory is not writable");
  return absl::OkStatus();
}

ServerLimits ServerLimitsOf(const JetStreamLimits& limits) {
  ServerLimits server;
  server.max_ack_pending = limits.max_ack_pending;
  server.max_request_batch = limits.max_request_batch;
  server.duplicate_window_ns = limits.duplicate_window.count();
  server.default_max_consumers = limits.default_max_consumers;
  return server;
}

std::vector<EngineAccount> EngineAccountsOf(const AccountTable& accounts, const std::vector<AccountSpec>& specs) {
  std::vector<EngineAccount> told;
  for (const Account& account : accounts.all()) {
    if (!account.exists) continue;
    told.push_back({account});
    if (accounts.is_system(account.id)) told.back().account.jetstream = {};
  }
  const auto takes_api = [](const ServiceImport& import) {
    return SubjectMatches("$JS.API.INFO", import.to.empty() ? import.subject : import.to);
  };
  for (const AccountSpec& spec : specs) {
    if (std::none_of(spec.service_imports.begin(), spec.service_imports.end(), takes_api)) continue;
    for (EngineAccount& each : told) {
      if (each.account.name == spec.name) each.answers_api = each.account.jetstream.enabled;
    }
  }
  return told;
}

JetStreamEngineOptions EngineOptionsOf(const Options& options, const JetStreamSettings& settings) {
  const JetStreamOptions& jetstream = options.jetstream;
  JetStreamEngineOptions engine;
  engine.domain = jetstream.domain;
  engine.limits = ServerLimitsOf(jetstream.limits);
  engine.strict = jetstream.strict;
  engine.async = jetstream.durability == Durability::kAsync;
  engine.block_bytes = static_cast<uint32_t>(jetstream.block_bytes);
  engine.memory_max = settings.config.max_memory;
  engine.storage_max = settings.config.max_storage;
  engine.max_payload = static_cast<uint64_t>(options.max_payload);
  engine.max_pending = static_cast<uint64_t>(options.max_pending);
  engine.request_queue_max = static_cast<uint64_t>(jetstream.request_queue_limit);
  // One setting stands for both kinds of batches, as in the peer.
  const auto set = [](int64_t configured, std::initializer_list<uint64_t*> targets) {
    if (configured <= 0) return;
    for (uint64_t* target : targets) *target = static_cast<uint64_t>(configured);
  };
  const JetStreamLimits& limits = jetstream.limits;
  BatchLimits& batches = engine.batches;
  set(limits.batch_max_inflight_per_stream, {&batches.atomic_per_stream, &batches.fast_per_stream});
  set(limits.batch_max_inflight_total, {&batches.atomic_total, &batches.fast_total});
  set(limits.batch_max_msgs, {&batches.messages});
  if (limits.batch_timeout.count() > 0) batches.timeout = limits.batch_timeout;
  return engine;
}

ShardStoreOptions StoreOptionsOf(const JetStreamOptions& options) {
  ShardStoreOptions store;
  store.wal_file_bytes = static_cast<uint64_t>(options.wal_file_bytes);
  store.wal_files = static_cast<uint32_t>(options.wal_files);
  store.seen_header = kMsgIdHeader;
  return store;
}

KeyOptions KeyOptionsOf(const JetStreamOptions& options) {
  KeyOptions keys;
  keys.key = options.key;
  keys.prev_key = options.prev_key;
  keys.cipher = options.cipher == "aes" ? Cipher::kAes : Cipher::kChaCha;
  return keys;
}

}  // namespace millrace
