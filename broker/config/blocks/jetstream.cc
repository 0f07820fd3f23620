// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/jetstream.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "absl/strings/str_format.h"
#include "broker/config/language/text.h"
#include "broker/config/table/reading.h"
#include "broker/config/table/table.h"
#include "proto/base/status.h"
#include "proto/subject.h"

namespace millrace {
namespace config {
namespace {

constexpr int64_t kConcurrentIoMin = 4;
constexpr int64_t kConcurrentIoMax = 8192;

// --- values with forms of their own

// What the peer prints for %s, which is meant for strings, of anything.
std::string AsIfText(const Value& value) {
  if (value.AsInteger() != nullptr || value.AsFloat() != nullptr) {
    return absl::StrFormat("%%!s(%s=%s)", PeerTypeName(value), PlainText(value));
  }
  return PlainText(value);
}

// Bytes: a number (whose suffixes the language knows), or a text like "10G" (powers of 1024). Errors as the peer's.
absl::StatusOr<int64_t> StorageSize(const Value& value) {
  if (const int64_t* number = value.AsInteger()) return *number;
  const std::string* text = value.AsString();
  if (text == nullptr) return absl::InvalidArgumentError("must be int64 or string");
  if (text->empty()) return 0;
  std::string_view digits = std::string_view(*text).substr(0, text->size() - 1);
  const std::string quoted = Quoted(digits);
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range && end == digits.data() + digits.size()) {
    return absl::InvalidArgumentError(absl::StrFormat("strconv.ParseInt: parsing %s: value out of range", quoted));
  }
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return absl::InvalidArgumentError(absl::StrFormat("strconv.ParseInt: parsing %s: invalid syntax", quoted));
  }
  const size_t power = std::string_view("KMGT").find(text->back());
  if (power == std::string_view::npos) {
    return absl::InvalidArgumentError("sizes defined as strings must end in K, M, G, T");
  }
  return static_cast<int64_t>(static_cast<uint64_t>(number) << (10 * (power + 1)));
}

std::string_view ErrorName(const Row& row) { return row.error_name.empty() ? row.key : row.error_name; }

template <auto member>
void ReadSize(JetStreamOptions& options, Reading& reading, const Value& value) {
  const auto size = StorageSize(value);
  if (size.ok()) {
    options.*member = *size;
  } else {
    reading.Error(value, absl::StrFormat("%s %s", ErrorName(reading.row()), Message(size.status())));
  }
}

template <auto member>
void ReadCount(JetStreamOptions& options, Reading& reading, const Value& value) {
  if (const int64_t* number = value.AsInteger()) {
    options.*member = *number;
  } else {
    reading.Error(value, absl::StrFormat("Expected a parseable size for %s, got %s", Quoted(reading.key()),
                                         PlainText(value)));
  }
}

void ReadStoreDir(JetStreamOptions& options, Reading& reading, const Value& value) {
  if (!options.store_dir.empty()) {
    reading.Error(value, "Duplicate 'store_dir' configuration");
  } else if (const std::string* directory = reading.String(value)) {
    options.store_dir = *directory;
    reading.Note(kMember<&JetStreamOptions::store_dir>, value);
  }
}

void ReadStrict(JetStreamOptions& options, Reading& reading, const Value& value) {
  if (const bool* on = value.AsBool()) {
    options.strict = *on;
  } else {
    reading.Error(value, absl::StrFormat("Expected 'true' or 'false' for bool value, got '%s'", AsIfText(value)));
  }
}

void ReadUniqueTag(JetStreamOptions& options, Reading& reading, const Value& value) {
  if (const std::string* tag = reading.String(value)) options.unique_tag = Lower(TrimSpace(*tag));
}

void ReadMaxConcurrentIo(JetStreamOptions& options, Reading& reading, const Value& value) {
  const int64_t* number = value.AsInteger();
  if (number != nullptr && *number >= kConcurrentIoMin && *number <= kConcurrentIoMax) {
    options.max_concurrent_io = *number;
    return;
  }
  reading.Error(value, absl::StrFormat("Expected an absolute size for %s between %d and %d, got %s",
                                       Quoted(reading.key()), kConcurrentIoMin, kConcurrentIoMax, PlainText(value)));
}

void ReadSyncInterval(JetStreamOptions& options, Reading& reading, const Value& value) {
  if (const std::string* text = value.AsString(); text != nullptr && Lower(*text) == "always") {
    options.sync_interval = JetStreamOptions().sync_interval;
    options.sync_always = true;
  } else if (const auto interval = reading.Duration(value, DurationForm::kTextOrSeconds, reading.key())) {
    options.sync_interval = *interval;
  }
}

std::string SyncIntervalValue(const JetStreamOptions& options) {
  return options.sync_always ? "always" : FormatDuration(options.sync_interval);
}

std::string SyncIntervalDuration(const JetStreamOptions& options) { return FormatDuration(options.sync_interval); }

std::optional<std::string_view> CanonicalCipher(std::string_view text) {
  if (OneOf("chacha|chachapoly", Lower(text))) return "chacha";
  if (Lower(text) == "aes") return "aes";
  return std::nullopt;
}

// Without a key it means nothing; a wrong name is an error all the same.
void ReadCipher(JetStreamOptions& options, Reading& reading, const Value& value) {
  const std::string* name = reading.String(value);
  if (name == nullptr) return;
  if (const auto cipher = CanonicalCipher(*name)) {
    options.cipher = *cipher;
  } else {
    reading.Error(value, "Unknown cipher type: " + Quoted(*name));
  }
}

std::string CipherText(const JetStreamOptions& options) { return std::string(CipherName(options.cipher)); }

std::string NotStrictText(const JetStreamOptions& options) { return options.strict ? "false" : "true"; }

// --- limits

using enum OnReload;

constexpr Row kBatchKeys[] = {
    {.key = "max_inflight_per_stream", .order = 620,
     .member = &kMember<&JetStreamLimits::batch_max_inflight_per_stream>, .on_reload = kIgnore},
    {.key = "max_inflight_total", .order = 630, .member = &kMember<&JetStreamLimits::batch_max_inflight_total>,
     .on_reload = kIgnore},
    {.key = "max_msgs", .order = 640, .member = &kMember<&JetStreamLimits::batch_max_msgs>, .on_reload = kIgnore},
    {.key = "timeout", .order = 650, .member = &kMember<&JetStreamLimits::batch_timeout>,
     .form = DurationForm::kTextWithoutPlace, .on_reload = kIgnore},
};
constexpr Block kBatchBlock = {
    .rows = kBatchKeys,
    .inside = &kSameStruct<JetStreamLimits>,
    .not_a_map = "Expected a map to define batch limits, got %T",
};

constexpr Row kLimitsKeys[] = {
    {.key = "max_request_batch", .order = 560, .member = &kMember<&JetStreamLimits::max_request_batch>,
     .on_reload = kIgnore},
    {.key = "max_ack_pending", .order = 570, .member = &kMember<&JetStreamLimits::max_ack_pending>,
     .on_reload = kIgnore},
    {.key = "max_ha_assets", .order = 580, .member = &kMember<&JetStreamLimits::max_ha_assets>, .on_reload = kIgnore},
    {.key = "default_max_consumers", .order = 590, .member = &kMember<&JetStreamLimits::default_max_consumers>,
     .zero_is_default = true, .on_reload = kIgnore},
    {.key = "duplicate_window", .order = 600, .member = &kMember<&JetStreamLimits::duplicate_window>,
     .form = DurationForm::kTextWithoutPlace, .on_reload = kIgnore},
    {.key = "batch", .order = 610, .block = &kBatchBlock, .on_reload = kIgnore},
};
constexpr Block kLimitsBlock = {
    .rows = kLimitsKeys,
    .inside = &kWithinNew<&JetStreamOptions::limits>,
    .not_a_map = "Expected a map to define JetStreamLimits, got %T",
};

// --- the block

constexpr HelpGroup kJetStreamHelp = {"JetStream Options", 30};
constexpr Lacking kTpm = {"JetStream keys in a TPM", Lacking::Policy::kRefuse};
constexpr Lacking kClustered = {"JetStream in clusters", Lacking::Policy::kWarn};
constexpr Lacking kExtending = {"extending a JetStream domain by leafnodes", Lacking::Policy::kWarn};
constexpr Lacking kPlacing = {"placing JetStream replicas", Lacking::Policy::kWarn};

constexpr Row kTpmKeys[] = {
    {.key = "keys_file"}, {.key = "encryption_password"}, {.key = "srk_password"}, {.key = "pcr"}, {.key = "cipher"},
};
constexpr Block kTpmBlock = {.rows = kTpmKeys, .unknown = "unknown field %s"};

constexpr Row kJetStreamKeys[] = {
    {.key = "enabled", .aliases = "enable", .flags = "-js|--jetstream", .help = "Turn JetStream on",
     .group = &kJetStreamHelp, .order = 380, .member = &kMember<&JetStreamOptions::enabled>, .on_reload = kIgnore},
    {.key = "store_dir", .aliases = "store|storedir", .flags = "-sd|--store_dir", .value_name = "<dir>",
     .help = "Directory for what JetStream stores (in it: jetstream)", .group = &kJetStreamHelp, .order = 390,
     .member = &kMember<&JetStreamOptions::store_dir>, .read = kHook<ReadStoreDir>, .on_reload = kIgnore},
    {.key = "strict", .order = 400, .member = &kMember<&JetStreamOptions::strict>, .read = kHook<ReadStrict>,
     .peer_name = "NoJetStreamStrict", .reload_value = kHook<NotStrictText>},
    {.key = "max_memory_store", .aliases = "max_mem_store|max_mem", .error_name = "max_mem_store", .order = 410,
     .member = &kMember<&JetStreamOptions::max_memory_store>,
     .read = kHook<ReadSize<&JetStreamOptions::max_memory_store>>, .on_reload = kIgnore},
    {.key = "max_file_store", .aliases = "max_file", .order = 420,
     .member = &kMember<&JetStreamOptions::max_file_store>,
     .read = kHook<ReadSize<&JetStreamOptions::max_file_store>>, .on_reload = kIgnore},
    {.key = "domain", .order = 430, .member = &kMember<&JetStreamOptions::domain>, .peer_name = "JetStreamDomain"},
    {.key = "extension_hint", .order = 440, .member = &kMember<&JetStreamOptions::extension_hint>,
     .lacking = &kExtending, .peer_name = "JetStreamExtHint"},
    {.key = "unique_tag", .order = 450, .member = &kMember<&JetStreamOptions::unique_tag>, .read = kHook<ReadUniqueTag>,
     .lacking = &kPlacing, .peer_name = "JetStreamUniqueTag"},
    {.key = "request_queue_limit", .order = 460, .member = &kMember<&JetStreamOptions::request_queue_limit>,
     .read = kHook<ReadCount<&JetStreamOptions::request_queue_limit>>, .peer_name = "JetStreamRequestQueueLimit"},
    {.key = "info_queue_limit", .order = 470, .member = &kMember<&JetStreamOptions::info_queue_limit>,
     .read = kHook<ReadCount<&JetStreamOptions::info_queue_limit>>, .peer_name = "JetStreamInfoQueueLimit"},
    {.key = "max_concurrent_io", .order = 480, .member = &kMember<&JetStreamOptions::max_concurrent_io>,
     .read = kHook<ReadMaxConcurrentIo>, .peer_name = "JetStreamConcurrentIOs"},
    {.key = "max_buffered_msgs", .order = 490, .member = &kMember<&JetStreamOptions::max_buffered_msgs>,
     .read = kHook<ReadCount<&JetStreamOptions::max_buffered_msgs>>, .peer_name = "StreamMaxBufferedMsgs"},
    {.key = "max_buffered_size", .order = 500, .member = &kMember<&JetStreamOptions::max_buffered_size>,
     .read = kHook<ReadSize<&JetStreamOptions::max_buffered_size>>, .peer_name = "StreamMaxBufferedSize"},
    {.key = "sync_interval", .aliases = "sync", .order = 510, .member = &kMember<&JetStreamOptions::sync_interval>,
     .read = kHook<ReadSyncInterval>, .print_value = kHook<SyncIntervalValue>, .peer_name = "SyncInterval",
     .reload_value = kHook<SyncIntervalDuration>},
    {.key = "key", .aliases = "ek|encryption_key", .flags = "--js-key", .value_name = "<key>",
     .help = "Encrypts what JetStream stores (better in the file, as $VARIABLE)", .group = &kJetStreamHelp,
     .order = 520, .member = &kMember<&JetStreamOptions::key>, .secret = true, .peer_name = "JetStreamKey"},
    {.key = "prev_key", .aliases = "prev_ek|prev_encryption_key", .flags = "--js-prev-key", .value_name = "<key>",
     .help = "The key before, when it is changed", .group = &kJetStreamHelp, .order = 530,
     .member = &kMember<&JetStreamOptions::prev_key>, .secret = true, .peer_name = "JetStreamOldKey"},
    {.key = "cipher", .flags = "--js-cipher", .value_name = "<chacha|aes>",
     .help = "Cipher of that encryption (default: chacha)", .group = &kJetStreamHelp, .order = 540,
     .member = &kMember<&JetStreamOptions::cipher>, .words = "chacha|chachapoly|aes", .canonical = CanonicalCipher,
     .read = kHook<ReadCipher>, .peer_name = "JetStreamCipher", .reload_value = kHook<CipherText>},
    {.key = "limits", .order = 550, .block = &kLimitsBlock, .on_reload = kIgnore},
    {.key = "tpm", .is_hint = false, .order = 551, .block = &kTpmBlock, .lacking = &kTpm, .on_reload = kIgnore},
    {.key = "meta_compact", .is_hint = false, .order = 552, .lacking = &kClustered, .on_reload = kIgnore},
    {.key = "meta_compact_size", .is_hint = false, .order = 553, .lacking = &kClustered, .on_reload = kIgnore},
    {.key = "meta_compact_sync", .is_hint = false, .order = 554, .lacking = &kClustered, .on_reload = kIgnore},
    {.key = "max_outstanding_catchup", .is_hint = false, .order = 555, .lacking = &kClustered, .on_reload = kIgnore},
};
constexpr Block kJetStreamKeysBlock = {
    .rows = kJetStreamKeys,
    .inside = &kWithin<&JetStreamBlock::jetstream>,
    .wrong_types_at_key = true,
};

void ReadJetStream(JetStreamBlock& block, Reading& reading, const Value& value) {
  bool& enabled = block.jetstream.enabled;
  const Block& keys = *reading.row().block;
  if (const bool* on = value.AsBool()) {
    enabled = *on;
  } else if (const std::string* word = value.AsString()) {
    const std::string lower = Lower(*word);
    if (!OneOf("enabled|enable|disabled|disable", lower)) {
      return reading.Error(
          value, absl::StrFormat("Expected 'enabled' or 'disabled' for string value, got '%s'", *word));
    }
    enabled = OneOf("enabled|enable", lower);
  } else if (value.AsMap() != nullptr) {
    enabled = true;
  } else {
    return reading.Error(value, absl::StrFormat("Expected map, bool or string to define JetStream, got %s",
                                                PeerTypeName(value)));
  }
  reading.Note(kMember<&JetStreamOptions::enabled>, value);
  if (value.AsMap() != nullptr) reading.ReadBlock(keys, value, &block);
}

void ReadStoreDirAtTop(JetStreamBlock& block, Reading& reading, const Value& value) {
  ReadStoreDir(block.jetstream, reading, value);
}

// --- reload

// The limits may grow while JetStream runs, but neither shrink nor begin or cease to depend on the machine.
absl::Status CheckGrowth(int64_t old, int64_t now) {
  std::string_view wrong;
  if (now < 0) {
    wrong = "jetstream max memory and max store";
  } else if (old < 0) {
    wrong = "jetstream dynamic max memory and store";
  } else if (now < old) {
    wrong = "decreasing jetstream max memory and store";
  }
  if (wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("config reload not supported for %s", wrong));
}

absl::Status PlanLimit(const JetStreamOptions& old, const JetStreamOptions& now, int64_t JetStreamOptions::*limit,
                       const Member& member, PlannedChanges* plan) {
  if (!old.enabled || old.*limit == now.*limit) return absl::OkStatus();
  MR_RETURN_IF_ERROR(CheckGrowth(old.*limit, now.*limit));
  const std::string name(ErrorName(RowOf(kJetStreamKeys, member)));
  plan->changes.push_back({name, absl::StrFormat("Reloaded: JetStream %s = %s", name, FriendlyBytes(now.*limit))});
  plan->jetstream = true;
  return absl::OkStatus();
}

absl::Status PlanJetStream(const JetStreamBlock& old_block, const JetStreamBlock& new_block, PlannedChanges* plan) {
  const JetStreamOptions& old = old_block.jetstream;
  const JetStreamOptions& now = new_block.jetstream;
  const auto text = [](bool on) { return on ? "true" : "false"; };
  // The peer can; here a shard opens its store before it serves, or never.
  if (old.enabled != now.enabled) return ReloadRefusal("JetStream", text(old.enabled), text(now.enabled));
  if (old.sync_always != now.sync_always) {
    return ReloadRefusal("SyncAlways", text(old.sync_always), text(now.sync_always));
  }
  if (old.enabled && old.store_dir != now.store_dir) {
    return absl::InvalidArgumentError(now.store_dir.empty()
                                          ? "config reload not supported for jetstream storage dir"
                                          : "config reload not supported for jetstream storage directory");
  }
  MR_RETURN_IF_ERROR(PlanLimit(old, now, &JetStreamOptions::max_memory_store,
                               kMember<&JetStreamOptions::max_memory_store>, plan));
  MR_RETURN_IF_ERROR(
      PlanLimit(old, now, &JetStreamOptions::max_file_store, kMember<&JetStreamOptions::max_file_store>, plan));
  if (old.limits != now.limits) {
    plan->changes.push_back({"jetstream_limits", "Reloaded: JetStream limits"});
    plan->jetstream = true;
  }
  if (plan->jetstream) plan->statsz = true;
  return absl::OkStatus();
}

constexpr Row kRows[] = {
    {.key = "jetstream", .order = 360, .block = &kJetStreamKeysBlock, .read = kHook<ReadJetStream>,
     .on_reload = kIgnore, .plan = kPairHook<PlanJetStream>},
    {.key = "store_dir", .aliases = "storedir", .order = 370, .read = kHook<ReadStoreDirAtTop>, .on_reload = kIgnore},
};

// What is ours.
constexpr Row kOwnRows[] = {
    {.key = "store_lock_wait", .flags = "--store_lock_wait", .value_name = "<duration>",
     .help = "Wait so long at start for the server that has the store (default: 0s)", .group = &kTuningHelp,
     .order = 1050, .member = &kMember<&JetStreamOptions::store_lock_wait>, .form = DurationForm::kTextOrSeconds,
     .is_not_negative = true, .on_reload = kIgnore},
    {.key = "js_durability", .flags = "--js-durability", .value_name = "<durable|async>",
     .help = "When JetStream acknowledges: on disk, or at once (default: durable)", .group = &kTuningHelp,
     .order = 1060, .member = &kMember<&JetStreamOptions::durability>, .words = "durable|async"},
    {.key = "js_wal_file_bytes", .flags = "--js-wal-file-bytes", .value_name = "<bytes>",
     .help = "One file of JetStream's write-ahead log (default: 16777216)", .group = &kTuningHelp, .order = 1070,
     .member = &kMember<&JetStreamOptions::wal_file_bytes>, .least = 1 << 20, .most = int64_t{4} << 30,
     .power_of_two = true},
    {.key = "js_wal_files", .flags = "--js-wal-files", .value_name = "<n>",
     .help = "Files of that log kept, in use and ready (default: 3)", .group = &kTuningHelp, .order = 1080,
     .member = &kMember<&JetStreamOptions::wal_files>, .least = 2, .most = 1024},
    {.key = "js_block_cache_bytes", .flags = "--js-block-cache-bytes", .value_name = "<bytes>",
     .help = "Memory for stored messages that are read again (default: 16777216)", .group = &kTuningHelp,
     .order = 1090, .member = &kMember<&JetStreamOptions::block_cache_bytes>, .least = 1 << 20,
     .most = int64_t{1} << 40},
    {.key = "js_scrub_bytes_per_second", .flags = "--js-scrub-bytes-per-second", .value_name = "<bytes>",
     .help = "Stored bytes read a second to find damage, 0: none (default: 8388608)", .group = &kTuningHelp,
     .order = 1100, .member = &kMember<&JetStreamOptions::scrub_bytes_per_second>, .least = 0,
     .most = int64_t{1} << 40},
    {.key = "js_block_bytes", .flags = "--js-block-bytes", .value_name = "<bytes>",
     .help = "One block of stored messages (default: 262144)", .group = &kTuningHelp, .order = 1110,
     .member = &kMember<&JetStreamOptions::block_bytes>, .least = 16384, .most = 64 << 20, .power_of_two = true},
};

// --- checks

void CompleteJetStream(JetStreamBlock& block, const Blocks&) {
  JetStreamOptions& options = block.jetstream;
  options.max_memory_store = std::max<int64_t>(options.max_memory_store, -1);
  options.max_file_store = std::max<int64_t>(options.max_file_store, -1);
  if (options.request_queue_limit <= 0) options.request_queue_limit = JetStreamOptions().request_queue_limit;
  // Without a limit of its own, this queue has that of the other.
  if (options.info_queue_limit <= 0) options.info_queue_limit = options.request_queue_limit;
}

absl::Status CheckJetStream(const JetStreamBlock& block) {
  const JetStreamOptions& options = block.jetstream;
  if (!options.domain.empty()) {
    const std::string api = "$JS." + options.domain + ".API.>";
    if (!IsValidSubject(api)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("invalid domain name: derived %s is not a valid subject", Quoted(api)));
    }
    if (options.domain.find_first_of(".*>") != std::string::npos) {
      return absl::InvalidArgumentError("invalid domain name: may not contain ., * or >");
    }
  }
  if (options.sync_always && options.durability == Durability::kAsync) {
    return absl::InvalidArgumentError(absl::StrFormat("%s is always but %s is async",
                                                      NameOf<&JetStreamOptions::sync_interval>(kJetStreamKeys),
                                                      NameOf<&JetStreamOptions::durability>(kOwnRows)));
  }
  return absl::OkStatus();
}

// What bounds queues and threads that are not there, or counts in clusters only: said by name, so that nobody counts on
// it.
void AddConcerns(const JetStreamBlock& block, std::vector<std::string>* concerns) {
  const JetStreamOptions& options = block.jetstream;
  const JetStreamOptions defaults;
  constexpr std::string_view kNoQueue = "messages do not wait in front of a stream";
  const auto add = [concerns](bool is_set, std::span<const Row> rows, const Member& member, std::string_view why) {
    if (!is_set) return;
    concerns->push_back(absl::StrFormat("jetstream %s is without effect: %s", RowOf(rows, member).key, why));
  };
  add(options.max_buffered_msgs != defaults.max_buffered_msgs, kJetStreamKeys,
      kMember<&JetStreamOptions::max_buffered_msgs>, kNoQueue);
  add(options.max_buffered_size != defaults.max_buffered_size, kJetStreamKeys,
      kMember<&JetStreamOptions::max_buffered_size>, kNoQueue);
  add(options.info_queue_limit != 0 && options.info_queue_limit != options.request_queue_limit, kJetStreamKeys,
      kMember<&JetStreamOptions::info_queue_limit>,
      "all requests wait in one queue, bounded by request_queue_limit");
  add(options.limits.max_ha_assets != 0, kLimitsKeys, kMember<&JetStreamLimits::max_ha_assets>,
      "it counts in clusters only");
  add(options.max_concurrent_io != defaults.max_concurrent_io, kJetStreamKeys,
      kMember<&JetStreamOptions::max_concurrent_io>, "no thread waits for the disk");
}

}  // namespace

std::string_view CipherName(std::string_view cipher) { return cipher == "aes" ? "AES-GCM" : "ChaCha20-Poly1305"; }

}  // namespace config

constexpr config::Table JetStreamBlock::kTable = {
    .type = &config::kTypeTag<JetStreamBlock>,
    .rows = config::kRows,
    .own_rows = config::kOwnRows,
    .own = &config::kWithin<&JetStreamBlock::jetstream>,
    .complete = config::kHook<config::CompleteJetStream>,
    .check = config::kHook<config::CheckJetStream>,
    .concerns = config::kHook<config::AddConcerns>,
};

}  // namespace millrace
