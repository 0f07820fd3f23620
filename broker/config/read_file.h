// SPDX-License-Identifier: Apache-2.0
// Read file: turns the tree of a configuration file into Options (rows G-16, G-17, G-20..G-27).
// Owner:  caller (pure).
// Errors: collected in Diagnostics, in the order of the file; the texts are the peer's.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "broker/config/diagnostics.h"
#include "broker/config/options.h"
#include "broker/config/language/value.h"

namespace millrace::config {

// Where each option got its value: key → "file:line" or "flag --port"; absent: the default.
using Origins = std::map<std::string, std::string, std::less<>>;

struct OptionRow;

struct Reading {
  const Document& document;
  Options& options;
  Diagnostics& diagnostics;
  Origins& origins;
  std::string key;  // as the file spells it, while a row of the table reads its value
  // The peer reports a value of the wrong type at the key that holds the whole block; null: at the value.
  const Value* block = nullptr;

  void Error(const Position& at, std::string_view reason);
  void Error(const Value& value, std::string_view reason) { Error(value.at, reason); }
  void Warn(const Value& value, std::string_view field, std::string_view reason);
  void Unknown(const Value& value, std::string_view field, std::string_view nearest);
  // `row` of the table has its value from here.
  void Note(std::string_view row_key, const Value& value);

  // The value when it has the wanted type; otherwise the error is noted.
  const std::string* String(const Value& value);
  const bool* Bool(const Value& value);
  const int64_t* Integer(const Value& value);
  // For int fields: also refuses what does not fit.
  std::optional<int> Int(const Value& value);

 private:
  void WrongType(const Value& value, std::string_view wanted);
};

void ReadOptions(Reading& reading);  // all of document.root

// One reader per row that its field's type does not describe.
void ReadServerName(Reading& reading, const Value& value);
void ReadListen(Reading& reading, const Value& value);
void ReadTraceVerbose(Reading& reading, const Value& value);
void ReadTraceHeaders(Reading& reading, const Value& value);
void ReadMaxConnections(Reading& reading, const Value& value);
void ReadMaxSubTokens(Reading& reading, const Value& value);
void ReadSystemAccount(Reading& reading, const Value& value);
void ReadAuthorization(Reading& reading, const Value& value);  // read_authorization.cc
void ReadPingInterval(Reading& reading, const Value& value);
void ReadWriteDeadline(Reading& reading, const Value& value);
void ReadWriteTimeout(Reading& reading, const Value& value);
void ReadHttp(Reading& reading, const Value& value);
void ReadHttps(Reading& reading, const Value& value);
void ReadMaxControlLine(Reading& reading, const Value& value);
void ReadMaxPayload(Reading& reading, const Value& value);
// Block jetstream: read_jetstream.cc.
void ReadJetStream(Reading& reading, const Value& value);
void ReadStoreDir(Reading& reading, const Value& value);
void ReadStrict(Reading& reading, const Value& value);
void ReadMaxMemoryStore(Reading& reading, const Value& value);
void ReadMaxFileStore(Reading& reading, const Value& value);
void ReadUniqueTag(Reading& reading, const Value& value);
void ReadRequestQueueLimit(Reading& reading, const Value& value);
void ReadInfoQueueLimit(Reading& reading, const Value& value);
void ReadMaxConcurrentIo(Reading& reading, const Value& value);
void ReadMaxBufferedMsgs(Reading& reading, const Value& value);
void ReadMaxBufferedSize(Reading& reading, const Value& value);
void ReadSyncInterval(Reading& reading, const Value& value);
void ReadCipher(Reading& reading, const Value& value);
void ReadJetStreamLimits(Reading& reading, const Value& value);
void ReadDuplicateWindow(Reading& reading, const Value& value);
void ReadJetStreamBatch(Reading& reading, const Value& value);
void ReadBatchTimeout(Reading& reading, const Value& value);
void ReadDurability(Reading& reading, const Value& value);
void ReadStoreLockWait(Reading& reading, const Value& value);
void ReadLameDuckDuration(Reading& reading, const Value& value);
void ReadLameDuckGracePeriod(Reading& reading, const Value& value);
void ReadServerTags(Reading& reading, const Value& value);
void ReadServerMetadata(Reading& reading, const Value& value);
void ReadFeatureFlags(Reading& reading, const Value& value);
void ReadIgnoredBool(Reading& reading, const Value& value);
void ReadTuning(Reading& reading, const Value& value);

// By the type of the row's field.
void ReadPlain(const OptionRow& row, Reading& reading, const Value& value);
// A duration, or (as once was usual) a number of seconds.
std::optional<std::chrono::nanoseconds> DurationOrSeconds(Reading& reading, const Value& value,
                                                          std::string_view field);

// Nearest of the '|'-separated words, or "" when none is near: for "did you mean".
std::string_view Nearest(std::string_view words, std::string_view name);

}  // namespace millrace::config
