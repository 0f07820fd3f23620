// SPDX-License-Identifier: Apache-2.0
// Goal: each way to say who one is leads to the right decision, with nothing to gain from odd mixtures of credentials.
// Method: tables over configurations; nkey vectors of tests/account; hashes made by Python's crypt.
#include "broker/session/authenticator.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Verdict = Authenticator::Verdict;

constexpr std::string_view kUserKey = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";
constexpr std::string_view kNonce = "nonce-of-15-chr";
constexpr std::string_view kSignature =
    "ud1L7KBjLRJPfnDgPAA_8KY456RRbB7ZSe3o5XWZ3thqMv0VKwBmoSnxHT5WjpZXdu-Em2zD7IwaQh8exwZbBg";
constexpr std::string_view kHash = "$2b$04$abcdefghijklmnopqrstuu1hXAFcmr2CPLqjljXPlXLPQpFji6.EW";
constexpr std::string_view kHashed = "s3cr\xC3\xA9t pass";

ConnectOptions With(std::string_view user, std::string_view pass, std::string_view token = {},
                    std::string_view nkey = {}, std::string_view sig = {}) {
  ConnectOptions connect;
  connect.own_credentials.Own().user = user;
  connect.own_credentials.Own().pass = pass;
  connect.own_credentials.Own().auth_token = token;
  connect.own_credentials.Own().nkey = nkey;
  connect.own_credentials.Own().sig = sig;
  return connect;
}

struct Case {
  std::string_view name;
  ConnectOptions connect;
  Verdict verdict;
  std::string_view identity = {};  // name of it
};

void Check(const Options& options, const std::vector<Case>& cases) {
  const Authenticator authenticator(options, AccountTable());
  for (const Case& c : cases) {
    const Authenticator::Decision decision = authenticator.Decide(c.connect, kConnectionStandard, kNonce);
    EXPECT_EQ(static_cast<int>(decision.verdict), static_cast<int>(c.verdict)) << c.name;
    if (c.verdict == Verdict::kDeny) continue;
    EXPECT_EQ(decision.user == nullptr ? "" : decision.user->name, c.identity) << c.name;
    if (c.verdict == Verdict::kCheckHash) {
      EXPECT_TRUE(Authenticator::IsHash(decision.hash)) << c.name;
      const Credentials& said = c.connect.credentials();
      EXPECT_EQ(decision.secret, said.pass.empty() ? said.auth_token : said.pass) << c.name;
    }
  }
}

TEST(Authenticator, AnOpenServerTakesAnyone) {
  const Authenticator authenticator{Options(), AccountTable()};
  EXPECT_FALSE(authenticator.required());
  EXPECT_FALSE(authenticator.nonce_required());
  Check(Options(), {{"nothing", {}, Verdict::kAllow}, {"anything", With("a", "b", "c", "d", "e"), Verdict::kAllow}});
}

TEST(Authenticator, OneUserWithAPassword) {
  Options options;
  options.username = "derek";
  options.password = "s3cret";
  Check(options, {
                     {"right", With("derek", "s3cret"), Verdict::kAllow},
                     {"wrong password", With("derek", "s3creT"), Verdict::kDeny},
                     {"a prefix of the password", With("derek", "s3cre"), Verdict::kDeny},
                     {"more than the password", With("derek", "s3cret "), Verdict::kDeny},
                     {"wrong user", With("Derek", "s3cret"), Verdict::kDeny},
                     {"no user", With("", "s3cret"), Verdict::kDeny},
                     {"nothing", {}, Verdict::kDeny},
                     {"the password as a token", With("", "", "s3cret"), Verdict::kDeny},
                 });
  options.password = kHash;
  Check(options, {{"hashed", With("derek", kHashed), Verdict::kCheckHash},
                  {"hashed, wrong user", With("x", kHashed), Verdict::kDeny}});
}

TEST(Authenticator, AToken) {
  Options options;
  options.authorization = "t0ken";
  Check(options, {
                     {"right", With("", "", "t0ken"), Verdict::kAllow},
                     {"wrong", With("", "", "t0keN"), Verdict::kDeny},
                     {"as user", With("t0ken", ""), Verdict::kDeny},
                     {"nothing", {}, Verdict::kDeny},
                 });
  options.authorization = kHash;
  Check(options, {{"hashed", With("", "", kHashed), Verdict::kCheckHash}});
}

TEST(Authenticator, UsersAndKeys) {
  Options options;
  options.users = {User{"alice", "wonder"}, User{"bob", std::string(kHash)}, User{"", "", std::string(kUserKey)},
                   User{"web", "w"}};
  options.users[3].allowed_connection_types = kConnectionWebsocket;
  EXPECT_TRUE(Authenticator(options, AccountTable()).nonce_required());
  Check(options,
        {
            {"alice", With("alice", "wonder"), Verdict::kAllow, "alice"},
            {"alice, wrong", With("alice", "x"), Verdict::kDeny},
            {"bob, hashed", With("bob", "x"), Verdict::kCheckHash, "bob"},
            {"unknown", With("carol", ""), Verdict::kDeny},
            {"nothing", {}, Verdict::kDeny},
            {"not on this kind of connection", With("web", "w"), Verdict::kDeny},
            {"key", With("", "", "", kUserKey, kSignature), Verdict::kAllow, kUserKey},
            {"key and user", With("alice", "", "", kUserKey, kSignature), Verdict::kAllow, kUserKey},
            {"key, bad signature", With("", "", "", kUserKey, "AAAA"), Verdict::kDeny},
            {"key, no signature", With("", "", "", kUserKey, ""), Verdict::kDeny},
            {"key, no signature, a user's password", With("alice", "wonder", "", kUserKey, ""), Verdict::kDeny},
            {"another key", With("", "", "", "UBAAA", kSignature), Verdict::kDeny},
            {"a user's name as key", With("", "wonder", "", "alice", kSignature), Verdict::kDeny},
            {"a key as user's name", With(kUserKey, ""), Verdict::kDeny},
        });
  EXPECT_EQ(static_cast<int>(Authenticator(options, AccountTable())
                                 .Decide(With("", "", "", kUserKey, kSignature), kConnectionStandard, "another nonce")
                                 .verdict),
            static_cast<int>(Verdict::kDeny));
  EXPECT_EQ(static_cast<int>(
                Authenticator(options, AccountTable()).Decide(With("web", "w"), kConnectionWebsocket, kNonce).verdict),
            static_cast<int>(Verdict::kAllow));
}

TEST(Authenticator, NoAuthUserIsForThoseWhoSayNothing) {
  Options options;
  options.users = {User{"guest", "g"}, User{"alice", "wonder"}};
  options.no_auth_user = "guest";
  Check(options, {
                     {"nothing", {}, Verdict::kAllow, "guest"},
                     {"alice", With("alice", "wonder"), Verdict::kAllow, "alice"},
                     {"wrong password", With("guest", "x"), Verdict::kDeny},
                     {"unknown user", With("nobody", ""), Verdict::kDeny},
                     {"a password alone", With("", "g"), Verdict::kDeny},
                     {"a token alone", With("", "", "x"), Verdict::kDeny},
                 });
}

TEST(Authenticator, HashesAreRecognisedAndCompared) {
  for (const std::string_view kind : {"$2a$", "$2b$", "$2y$"}) {
    std::string hash(kHash);
    hash.replace(0, 4, kind);
    EXPECT_TRUE(Authenticator::IsHash(hash));
    EXPECT_TRUE(Authenticator::CheckHash(hash, std::string(kHashed)));
    EXPECT_FALSE(Authenticator::CheckHash(hash, "s3cret pass"));
    EXPECT_FALSE(Authenticator::CheckHash(hash, ""));
    EXPECT_FALSE(Authenticator::CheckHash(hash, std::string(kHashed) + std::string(1, '\0')));
  }
  for (const std::string_view no : {"", "$2", "plain", "$1$abc$def", "$2a$04$tooshort"}) {
    EXPECT_FALSE(Authenticator::IsHash(no)) << no;
  }
  EXPECT_FALSE(Authenticator::CheckHash("not a hash", "x"));
  EXPECT_TRUE(Authenticator::CheckHash("$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq", ""));
}

}  // namespace
}  // namespace millrace
