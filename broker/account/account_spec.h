// SPDX-License-Identifier: Apache-2.0
// AccountSpec: one account as the configuration (or its claims) states it: plain values, comparable, so that equal
// specs mean that nothing changed (A-30..A-37, A-60..A-64, G-29..G-31).
// Owner:  caller (values).  What the peer calls by the same names; subjects are checked where specs are compiled.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_id.h"
#include "broker/account/jetstream_limits.h"

namespace millrace {

// Who may import: everybody when `accounts` is empty and no position is given.
struct ExportScope {
  std::vector<std::string> accounts = {};  // names
  uint32_t token_position = 0;             // from 1: this token of the imported subject is the importer's name; 0: none
  bool operator==(const ExportScope&) const = default;
};

struct StreamExport {
  std::string subject = {};
  ExportScope scope = {};
  bool operator==(const StreamExport&) const = default;
};

enum class ServiceResponse : uint8_t { kSingleton, kStreamed, kChunked };

struct ServiceLatency {
  static constexpr int kByHeader = 0;

  std::string subject = {};  // where the exporter is told
  int sampling = 100;        // per cent, or kByHeader
  bool operator==(const ServiceLatency&) const = default;
};

struct ServiceExport {
  static constexpr std::chrono::nanoseconds kDefaultThreshold = std::chrono::minutes(2);

  std::string subject = {};
  ExportScope scope = {};
  ServiceResponse response = ServiceResponse::kSingleton;
  std::chrono::nanoseconds threshold{0};  // how long a reply is waited for; 0: kDefaultThreshold
  std::optional<ServiceLatency> latency = {};
  bool allow_trace = false;
  bool operator==(const ServiceExport&) const = default;
};

struct StreamImport {
  std::string account = {};  // the exporter's name
  std::string subject = {};  // there
  std::string prefix = {};   // in front of it here; or
  std::string to = {};       // its name here; neither: the same
  bool allow_trace = false;
  bool operator==(const StreamImport&) const = default;
};

struct ServiceImport {
  std::string account = {};  // the exporter's name
  std::string subject = {};  // there
  std::string to = {};       // its name here
  bool share = false;        // the exporter is told who asks
  bool operator==(const ServiceImport&) const = default;
};

struct MappingTarget {
  std::string subject = {};
  uint8_t weight = 100;      // per cent
  std::string cluster = {};  // only in this cluster; empty: everywhere
  bool operator==(const MappingTarget&) const = default;
};

struct Mapping {
  std::string source = {};
  std::vector<MappingTarget> targets = {};
  bool operator==(const Mapping&) const = default;
};

// -1: unlimited.
struct AccountLimits {
  int64_t connections = -1;
  int64_t subscriptions = -1;
  int64_t payload = -1;
  int64_t leafnodes = -1;
  bool operator==(const AccountLimits&) const = default;
};

// Where events of messages go that carry a `traceparent` header and do not say so themselves.
struct AccountTrace {
  std::string dest = {};  // empty: they are not traced
  int sampling = 100;     // per cent of them
  bool operator==(const AccountTrace&) const = default;
};

struct AccountSpec {
  std::string name = {};
  std::string nkey = {};  // public account key, "A..."
  std::vector<StreamExport> stream_exports = {};
  std::vector<ServiceExport> service_exports = {};
  std::vector<StreamImport> stream_imports = {};
  std::vector<ServiceImport> service_imports = {};
  std::vector<Mapping> mappings = {};
  AccountLimits limits = {};
  AccountJetStream jetstream = {};
  AccountTrace trace = {};
  bool operator==(const AccountSpec&) const = default;
};

// The account of those who are in no other: a file says little of it, and cannot make it.
inline bool IsGlobalAccount(std::string_view name) { return name == kGlobalAccountName; }
// The name of the server's own account, when `system_account` is this; "" stands for the usual one.
inline std::string_view SystemAccountName(std::string_view system_account) {
  return system_account.empty() ? kSystemAccountName : system_account;
}
inline AccountSpec GlobalAccountSpec() { return {.name = std::string(kGlobalAccountName)}; }

}  // namespace millrace
