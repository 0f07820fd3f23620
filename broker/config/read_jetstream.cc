// SPDX-License-Identifier: Apache-2.0
// Read JetStream: the block `jetstream` and the blocks within (rows J-01, J-05, J-72).
#include <charconv>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "broker/config/option_table.h"
#include "broker/config/read_file.h"
#include "broker/config/language/text.h"
#include "broker/config/unsupported.h"

namespace millrace::config {
namespace {

constexpr int64_t kConcurrentIoMin = 4;
constexpr int64_t kConcurrentIoMax = 8192;

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
  const std::string quoted = Quote(digits);
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

void ReadSize(Reading& reading, const Value& value, std::string_view name, int64_t* target) {
  const auto size = StorageSize(value);
  if (size.ok()) {
    *target = *size;
  } else {
    reading.Error(value, absl::StrFormat("%s %s", name, Message(size.status())));
  }
}

void ReadCount(Reading& reading, const Value& value, int64_t* target) {
  if (const int64_t* number = value.AsInteger()) {
    *target = *number;
  } else {
    reading.Error(value, absl::StrFormat("Expected a parseable size for %s, got %s", Quote(reading.key),
                                         PlainText(value)));
  }
}

// The peer loses the place of these.
void ReadDurationWithoutPlace(Reading& reading, const Value& value, std::chrono::nanoseconds* target) {
  const std::string* text = reading.String(value);
  if (text == nullptr) return;
  const auto duration = ParseDuration(*text);
  if (duration.ok()) {
    *target = *duration;
  } else {
    reading.diagnostics.errors.push_back(Message(duration.status()));
  }
}

void ReadBlock(Reading& reading, const Map& map, Block block) {
  for (const auto* entry : InFileOrder(map)) {
    const auto& [key, value] = *entry;
    const std::string name = Lower(key);
    reading.key = key;
    const OptionRow* row = FindInBlock(block, name);
    if (row != nullptr) {
      if (row->read != nullptr) {
        row->read(reading, value);
      } else {
        ReadPlain(*row, reading, value);
      }
      if (!std::holds_alternative<std::monostate>(row->field)) reading.Note(row->key, value);
    }
    const Feature* feature = block == Block::kJetStream ? FindFeature("jetstream." + name) : nullptr;
    if (feature != nullptr) CheckFeature(*feature, reading, value);
    if (row == nullptr && feature == nullptr) reading.Unknown(value, key, Nearest(KeysOf(block), name));
  }
}

}  // namespace

void ReadJetStream(Reading& reading, const Value& value) {
  bool& enabled = reading.options.jetstream.enabled;
  if (const bool* on = value.AsBool()) {
    enabled = *on;
  } else if (const std::string* word = value.AsString()) {
    const std::string lower = Lower(*word);
    if (!OneOf("enabled|enable|disabled|disable", lower)) {
      reading.Error(value,
                    absl::StrFormat("Expected 'enabled' or 'disabled' for string value, got '%s'", *word));
      return;
    }
    enabled = OneOf("enabled|enable", lower);
  } else if (const Map* map = value.AsMap()) {
    enabled = true;
    reading.Note("enabled", value);
    reading.block = &value;
    ReadBlock(reading, *map, Block::kJetStream);
    reading.block = nullptr;
    return;
  } else {
    reading.Error(value, absl::StrFormat("Expected map, bool or string to define JetStream, got %s",
                                         PeerTypeName(value)));
    return;
  }
  reading.Note("enabled", value);
}

void ReadStoreDir(Reading& reading, const Value& value) {
  std::string& store_dir = reading.options.jetstream.store_dir;
  if (!store_dir.empty()) {
    reading.Error(value, "Duplicate 'store_dir' configuration");
  } else if (const std::string* directory = reading.String(value)) {
    store_dir = *directory;
    reading.Note("store_dir", value);
  }
}

void ReadStrict(Reading& reading, const Value& value) {
  if (const bool* on = value.AsBool()) {
    reading.options.jetstream.strict = *on;
  } else {
    reading.Error(value,
                  absl::StrFormat("Expected 'true' or 'false' for bool value, got '%s'", AsIfText(value)));
  }
}

void ReadMaxMemoryStore(Reading& reading, const Value& value) {
  ReadSize(reading, value, "max_mem_store", &reading.options.jetstream.max_memory_store);
}

void ReadMaxFileStore(Reading& reading, const Value& value) {
  ReadSize(reading, value, "max_file_store", &reading.options.jetstream.max_file_store);
}

void ReadUniqueTag(Reading& reading, const Value& value) {
  if (const std::string* tag = reading.String(value)) reading.options.jetstream.unique_tag = Lower(TrimSpace(*tag));
}

void ReadRequestQueueLimit(Reading& reading, const Value& value) {
  ReadCount(reading, value, &reading.options.jetstream.request_queue_limit);
}

void ReadInfoQueueLimit(Reading& reading, const Value& value) {
  ReadCount(reading, value, &reading.options.jetstream.info_queue_limit);
}

void ReadMaxConcurrentIo(Reading& reading, const Value& value) {
  const int64_t* number = value.AsInteger();
  if (number != nullptr && *number >= kConcurrentIoMin && *number <= kConcurrentIoMax) {
    reading.options.jetstream.max_concurrent_io = *number;
    return;
  }
  reading.Error(value, absl::StrFormat("Expected an absolute size for %s between %d and %d, got %s",
                                       Quote(reading.key), kConcurrentIoMin, kConcurrentIoMax, PlainText(value)));
}

void ReadMaxBufferedMsgs(Reading& reading, const Value& value) {
  ReadCount(reading, value, &reading.options.jetstream.max_buffered_msgs);
}

void ReadMaxBufferedSize(Reading& reading, const Value& value) {
  ReadSize(reading, value, "max_buffered_size", &reading.options.jetstream.max_buffered_size);
}

void ReadSyncInterval(Reading& reading, const Value& value) {
  JetStreamOptions& options = reading.options.jetstream;
  if (const std::string* text = value.AsString(); text != nullptr && Lower(*text) == "always") {
    options.sync_interval = JetStreamOptions().sync_interval;
    options.sync_always = true;
  } else if (const auto interval = DurationOrSeconds(reading, value, reading.key)) {
    options.sync_interval = *interval;
  }
}

// Without a key it means nothing; a wrong name is an error all the same.
void ReadCipher(Reading& reading, const Value& value) {
  const std::string* name = reading.String(value);
  if (name == nullptr) return;
  if (const auto cipher = ParseCipher(*name)) {
    reading.options.jetstream.cipher = *cipher;
  } else {
    reading.Error(value, "Unknown cipher type: " + Quote(*name));
  }
}

void ReadJetStreamLimits(Reading& reading, const Value& value) {
  reading.options.jetstream.limits = {};
  if (const Map* map = value.AsMap()) {
    ReadBlock(reading, *map, Block::kJetStreamLimits);
  } else {
    reading.Error(value,
                  absl::StrFormat("Expected a map to define JetStreamLimits, got %s", PeerTypeName(value)));
  }
}

void ReadDuplicateWindow(Reading& reading, const Value& value) {
  ReadDurationWithoutPlace(reading, value, &reading.options.jetstream.limits.duplicate_window);
}

void ReadJetStreamBatch(Reading& reading, const Value& value) {
  if (const Map* map = value.AsMap()) {
    ReadBlock(reading, *map, Block::kJetStreamBatch);
  } else {
    reading.Error(value, absl::StrFormat("Expected a map to define batch limits, got %s", PeerTypeName(value)));
  }
}

void ReadBatchTimeout(Reading& reading, const Value& value) {
  ReadDurationWithoutPlace(reading, value, &reading.options.jetstream.limits.batch_timeout);
}

void ReadStoreLockWait(Reading& reading, const Value& value) {
  const auto duration = DurationOrSeconds(reading, value, "store_lock_wait");
  if (!duration) return;
  if (*duration < std::chrono::nanoseconds(0)) return reading.Error(value, "store_lock_wait must not be negative");
  reading.options.jetstream.store_lock_wait = *duration;
}

void ReadDurability(Reading& reading, const Value& value) {
  const std::string* word = reading.String(value);
  if (word == nullptr) return;
  if (const auto durability = ParseDurability(*word)) {
    reading.options.jetstream.durability = *durability;
  } else {
    reading.Error(value, "js_durability must be 'durable' or 'async'");
  }
}

}  // namespace millrace::config
