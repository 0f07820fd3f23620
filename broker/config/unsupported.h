// SPDX-License-Identifier: Apache-2.0
// Unsupported: the one list of features that files and flags of the peer may ask for and that this
// build lacks. To build a feature is to take its row out.
// Owner:  immutable.
#pragma once

#include <string_view>

#include "broker/config/read_file.h"

namespace millrace::config {

enum class Policy : uint8_t {
  kRefuse,  // going on without it would be unsafe or useless
  kWarn,    // official client suites carry it in every configuration
};

struct Feature {
  std::string_view path = {};     // "cluster", "authorization.users.nkey"; aliases with '|'
  std::string_view flags = {};    // without dashes, '|' between
  std::string_view name = {};     // how we call it in the text
  Policy policy = Policy::kRefuse;
  std::string_view schema = {};   // of the block, for finding unknown keys; see unsupported.cc
  bool (*wanted)(const Value& value) = nullptr;  // null: not false, 0, "", [] or {}
};

// By the path of a key in the file, lower case. Null: this build has it, or nobody knows it.
const Feature* FindFeature(std::string_view path);
const Feature* FindFeatureByFlag(std::string_view flag);
bool IsBoolFlag(const Feature& feature, std::string_view flag);

// Notes the feature if the value asks for it, and the unknown keys within.
void CheckFeature(const Feature& feature, Reading& reading, const Value& value);
// For flags and for options of the table: `origin` is "flag --tls" or "file:line:column".
void NoteFeature(const Feature& feature, std::string_view origin, Diagnostics* diagnostics);

// All top-level keys, for "did you mean"; '|' between.
std::string FeatureKeys();

}  // namespace millrace::config
