// SPDX-License-Identifier: Apache-2.0
// Option table: one row per setting. File keys, flags, help, --print-config and reload all come
// from it, so that a setting is described once.
// Owner:  immutable.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "broker/config/options.h"
#include "broker/config/language/value.h"

namespace millrace::config {

struct Reading;  // read_file.h

using Field =
    std::variant<std::monostate, bool Options::*, int Options::*, int64_t Options::*, std::string Options::*,
                 std::chrono::nanoseconds Options::*, double Options::*, bool Tuning::*, int Tuning::*,
                 int64_t Tuning::*, bool JetStreamOptions::*, int64_t JetStreamOptions::*,
                 std::string JetStreamOptions::*, std::chrono::nanoseconds JetStreamOptions::*,
                 Durability JetStreamOptions::*, int64_t JetStreamLimits::*,
                 std::chrono::nanoseconds JetStreamLimits::*>;

// What a field of the variant points at, wherever in the options it lives.
template <typename AnyOptions, typename Owner, typename Type>
auto& FieldOf(AnyOptions& options, Type Owner::*field) {
  if constexpr (std::is_same_v<Owner, Tuning>) {
    return options.tuning.*field;
  } else if constexpr (std::is_same_v<Owner, JetStreamOptions>) {
    return options.jetstream.*field;
  } else if constexpr (std::is_same_v<Owner, JetStreamLimits>) {
    return options.jetstream.limits.*field;
  } else {
    return options.*field;
  }
}

// The block of the file that a key stands in.
enum class Block : uint8_t { kTop, kJetStream, kJetStreamLimits, kJetStreamBatch, kTuning };

enum class HelpGroup : uint8_t { kNone, kServer, kLogging, kJetStream, kAuthorization, kTuning };

// What a changed value means for a reload.
enum class OnReload : uint8_t {
  kRefuse,  // the whole reload is refused, with peer_name in the text
  kApply,   // applied and logged: `reloaded`, followed by the new value when it ends in a blank
  kIgnore,
};

struct OptionRow {
  std::string_view key = {};      // in the file; our own tuning stands in the block `millrace`
  std::string_view aliases = {};  // more keys, '|' between
  std::string_view flags = {};    // without dashes, '|' between
  std::string_view value_name = {};  // "<port>" in the help text
  std::string_view help = {};
  HelpGroup group = HelpGroup::kNone;
  Block block = Block::kTop;
  Field field = {};
  void (*read)(Reading& reading, const Value& value) = nullptr;  // null: by the field's type
  std::string_view peer_name = {};  // in refusals of a reload
  OnReload on_reload = OnReload::kRefuse;
  std::string_view reloaded = {};
  int64_t least = 0;  // bounds of tuning options
  int64_t most = 0;   // 0: no bounds
  bool power_of_two = false;

  bool IsTuning() const { return block == Block::kTuning; }
  // Whether the field's type is one of these.
  template <typename... Types>
  bool Holds() const {
    return std::visit(
        []<typename Member>(Member) {
          if constexpr (std::is_same_v<Member, std::monostate>) {
            return false;
          } else {
            return (std::is_same_v<Types, TypeOf<Member>> || ...);
          }
        },
        field);
  }
  bool IsBool() const { return Holds<bool>(); }

 private:
  template <typename Owner, typename Type>
  static Type TypeOfMember(Type Owner::*);
  template <typename Member>
  using TypeOf = decltype(TypeOfMember(Member{}));
};

// In the order in which the peer applies and logs changes.
std::span<const OptionRow> OptionTable();

// True when `name` is one of the '|'-separated words.
bool OneOf(std::string_view words, std::string_view name);
const OptionRow* FindByKey(std::string_view lower_key);  // at the top of the file
const OptionRow* FindInBlock(Block block, std::string_view lower_key);
std::string KeysOf(Block block);  // with aliases, '|' after each
const OptionRow* FindByFlag(std::string_view flag);

std::string_view DurabilityText(Durability durability);  // "durable", "async"
std::optional<Durability> ParseDurability(std::string_view text);

// "chacha", "aes"; nothing for other words (row J-37).
std::optional<std::string_view> ParseCipher(std::string_view text);
std::string_view CipherName(std::string_view cipher);  // as the peer writes it: "ChaCha20-Poly1305", "AES-GCM"

std::string FieldText(const OptionRow& row, const Options& options);  // as in %v
int64_t FieldNumber(const OptionRow& row, const Options& options);  // of int and int64 fields; else 0
bool FieldEqual(const OptionRow& row, const Options& a, const Options& b);
bool IsSecret(const OptionRow& row);

}  // namespace millrace::config
