// SPDX-License-Identifier: Apache-2.0
// Enums: how the peer spells the values of enums in JSON, and what it says of a spelling it does not know.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/requests.h"
#include "proto/quoted.h"

namespace millrace {

// Texts in the order of the enum's values, in quotes as they stand in JSON.
template <typename E>
struct EnumTexts;

template <>
struct EnumTexts<Retention> {
  static constexpr std::string_view kTexts[] = {"\"limits\"", "\"interest\"", "\"workqueue\""};
};
template <>
struct EnumTexts<Discard> {
  static constexpr std::string_view kTexts[] = {"\"old\"", "\"new\""};
};
template <>
struct EnumTexts<Storage> {
  static constexpr std::string_view kTexts[] = {"\"file\"", "\"memory\""};
};
template <>
struct EnumTexts<Compression> {
  static constexpr std::string_view kTexts[] = {"\"none\"", "\"s2\""};
};
template <>
struct EnumTexts<PersistMode> {
  static constexpr std::string_view kTexts[] = {"\"default\"", "\"async\""};
};
template <>
struct EnumTexts<DeliverPolicy> {
  static constexpr std::string_view kTexts[] = {
      "\"all\"", "\"last\"", "\"new\"", "\"by_start_sequence\"", "\"by_start_time\"", "\"last_per_subject\""};
};
template <>
struct EnumTexts<AckPolicy> {
  static constexpr std::string_view kTexts[] = {"\"none\"", "\"all\"", "\"explicit\"", "\"flow_control\""};
};
template <>
struct EnumTexts<ReplayPolicy> {
  static constexpr std::string_view kTexts[] = {"\"instant\"", "\"original\""};
};
template <>
struct EnumTexts<PriorityPolicy> {
  static constexpr std::string_view kTexts[] = {"\"none\"", "\"overflow\"", "\"pinned_client\"", "\"prioritized\""};
};
template <>
struct EnumTexts<ConsumerAction> {
  static constexpr std::string_view kTexts[] = {"\"\"", "\"update\"", "\"create\""};
};

// A second spelling of the first value; empty: there is none.
template <typename E>
constexpr std::string_view EnumAlias() {
  if constexpr (std::is_same_v<E, DeliverPolicy>) return "\"undefined\"";
  if constexpr (std::is_same_v<E, PersistMode>) return "\"\"";
  return "";
}

// raw: the value as it stands in JSON.
template <typename E>
std::string UnknownEnumError(std::string_view raw) {
  if constexpr (std::is_same_v<E, ConsumerAction>) return absl::StrFormat("unknown consumer action: %s", raw);
  if constexpr (std::is_same_v<E, PriorityPolicy>) return absl::StrFormat("unknown priority policy: %s", raw);
  return absl::StrFormat("can not unmarshal %s", Quoted(raw));
}

template <typename E>
std::string_view EnumText(E value) {
  const std::string_view quoted = EnumTexts<E>::kTexts[static_cast<size_t>(value)];
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace millrace
