// SPDX-License-Identifier: Apache-2.0
// AccountsModel: one configuration of accounts as the oracle of `sim --accounts` understands it: who may import what,
// and where a message that is published comes to be heard. The obvious way, on purpose not the broker's.
// Owner:  the simulating thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/account/account_spec.h"
#include "tests/sim/random.h"

namespace millrace::sim {

struct AccountsUser {
  std::string name;
  std::string account;  // empty: there is no such user
};

// The subject of a reply to a service, which the broker makes up.
inline constexpr std::string_view kReplySubject = "_R_.";

// One way on which a published message is heard.
struct Way {
  std::string account = {};            // of those who hear it
  std::string subject = {};            // what it is called there; kReplySubject: any that begins so
  uint32_t place = 0;                  // where subscriptions to it are found; groups share a message at one place
  std::vector<std::string> path = {};  // accounts, from that place back to the publisher's
  bool singleton = false;              // some service that it went through has one reply
};

struct Ways {
  std::vector<Way> all = {};
  uint32_t places = 0;
  bool certain = true;  // no mapping on the way has a choice
};

class AccountsModel {
 public:
  std::vector<AccountSpec> specs;
  std::vector<AccountsUser> users;

  const AccountSpec* Find(std::string_view account) const;
  // Its account; empty when there is no such user.
  std::string AccountOf(std::string_view user) const;
  int64_t ConnectionsOf(std::string_view account) const;

  // The first import that no export allows, in words; empty when there is none.
  std::string Forbidden() const;
  bool MayImport(const AccountSpec& importer, const StreamImport& import) const;
  // The export that allows it; nullptr when there is none.
  const ServiceExport* MayImport(const AccountSpec& importer, const ServiceImport& import) const;

  // What a subject that is published in this account, or sent there by a service, becomes; "": it is dropped.
  std::vector<std::string> Mapped(std::string_view account, const std::string& subject) const;

  // Some configuration; and one that comes after `before`.
  static AccountsModel Draw(Random& random, const AccountsModel* before);
  // What is worth being published or subscribed to in this account, with wildcards.
  std::vector<std::string> Published(std::string_view account) const;
  std::vector<std::string> Heard(std::string_view account) const;

 private:
  static AccountSpec DrawAccount(Random& random, const std::string& name, const std::vector<std::string>& names);
  void DrawImports(Random& random, AccountSpec* account) const;
  void DropWhatIsRefused(Random& random);
};

bool SubjectMatches(std::string_view subject, std::string_view filter);
std::vector<std::string> Tokens(std::string_view subject);
// A subject that the filter takes.
std::string SomeSubject(Random& random, std::string_view filter);

// All ways of a message to `subject` of path.front() while some of `versions` are in force, in any order.
// `is_published`: by a client, so that the account's mappings come first.
Ways FindWays(std::span<const AccountsModel* const> versions, const std::string& subject,
              std::vector<std::string> path, bool is_published);

}  // namespace millrace::sim
