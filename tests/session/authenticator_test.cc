// SPDX-License-Identifier: Apache-2.0
// Goal: each way to say who one is leads to the right decision, with nothing to gain from odd mixtures of credentials.
// Method: tables over configurations, answers taken from nats-server 2.15.2; nkey vectors of tests/account; hashes made
//         by Python's crypt.
#include "broker/session/authenticator.h"

#include <gtest/gtest.h>

#include "broker/account/password_hash.h"

namespace millrace {
namespace {

using Kind = Verdict::Kind;

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
  Kind kind;
  std::string_view identity = {};  // name of it
};

Verdict Decide(const Options& options, const ConnectOptions& connect, ConnectionType type = kConnectionStandard,
               std::string_view nonce = kNonce) {
  const Attempt attempt{.credentials = &connect.credentials(), .type = type, .nonce = nonce};
  Verdict verdict = Authenticator(options, AccountTable()).Decide(attempt);
  verdict.user = nullptr;  // it went with the authenticator
  verdict.hash = {};
  return verdict;
}

void Check(const Options& options, const std::vector<Case>& cases) {
  const Authenticator authenticator(options, AccountTable());
  for (const Case& c : cases) {
    const Credentials& said = c.connect.credentials();
    const Verdict verdict = authenticator.Decide({.credentials = &said, .nonce = kNonce});
    EXPECT_EQ(static_cast<int>(verdict.kind), static_cast<int>(c.kind)) << c.name;
    if (c.kind == Kind::kDeny) continue;
    EXPECT_EQ(verdict.user == nullptr ? "" : verdict.user->name, c.identity) << c.name;
    if (c.kind == Kind::kAsk) {
      EXPECT_EQ(verdict.hash, kHash) << c.name;
      EXPECT_EQ(verdict.secret.view(), (said.pass.empty() ? said.auth_token : said.pass).view()) << c.name;
    }
  }
}

TEST(Authenticator, AnOpenServerTakesAnyone) {
  const Authenticator authenticator{Options(), AccountTable()};
  EXPECT_FALSE(authenticator.required());
  EXPECT_FALSE(authenticator.nonce_required());
  Check(Options(), {{"nothing", {}, Kind::kAllow}, {"anything", With("a", "b", "c", "d", "e"), Kind::kAllow}});
}

TEST(Authenticator, OneUserWithAPassword) {
  Options options;
  options.username = "derek";
  options.password = "s3cret";
  Check(options, {
                     {"right", With("derek", "s3cret"), Kind::kAllow},
                     {"wrong password", With("derek", "s3creT"), Kind::kDeny},
                     {"a prefix of the password", With("derek", "s3cre"), Kind::kDeny},
                     {"more than the password", With("derek", "s3cret "), Kind::kDeny},
                     {"wrong user", With("Derek", "s3cret"), Kind::kDeny},
                     {"no user", With("", "s3cret"), Kind::kDeny},
                     {"nothing", {}, Kind::kDeny},
                     {"the password as a token", With("", "", "s3cret"), Kind::kDeny},
                 });
  options.password = kHash;
  Check(options, {{"hashed", With("derek", kHashed), Kind::kAsk},
                  {"hashed, wrong user", With("x", kHashed), Kind::kDeny}});
}

TEST(Authenticator, AToken) {
  Options options;
  options.authorization = "t0ken";
  Check(options, {
                     {"right", With("", "", "t0ken"), Kind::kAllow},
                     {"wrong", With("", "", "t0keN"), Kind::kDeny},
                     {"as user", With("t0ken", ""), Kind::kDeny},
                     {"nothing", {}, Kind::kDeny},
                 });
  options.authorization = kHash;
  Check(options, {{"hashed", With("", "", kHashed), Kind::kAsk}});
}

TEST(Authenticator, UsersAndKeys) {
  Options options;
  options.users = {User{"alice", "wonder"}, User{"bob", std::string(kHash)}, User{"", "", std::string(kUserKey)},
                   User{"web", "w"}};
  options.users[3].allowed_connection_types = kConnectionWebsocket;
  EXPECT_TRUE(Authenticator(options, AccountTable()).nonce_required());
  Check(options,
        {
            {"alice", With("alice", "wonder"), Kind::kAllow, "alice"},
            {"alice, wrong", With("alice", "x"), Kind::kDeny},
            {"bob, hashed", With("bob", "x"), Kind::kAsk, "bob"},
            {"unknown", With("carol", ""), Kind::kDeny},
            {"nothing", {}, Kind::kDeny},
            {"not on this kind of connection", With("web", "w"), Kind::kDeny},
            {"key", With("", "", "", kUserKey, kSignature), Kind::kAllow, kUserKey},
            {"key and user", With("alice", "", "", kUserKey, kSignature), Kind::kAllow, kUserKey},
            {"key, bad signature", With("", "", "", kUserKey, "AAAA"), Kind::kDeny},
            {"key, no signature", With("", "", "", kUserKey, ""), Kind::kDeny},
            {"key, no signature, a user's password", With("alice", "wonder", "", kUserKey, ""), Kind::kDeny},
            {"another key", With("", "", "", "UBAAA", kSignature), Kind::kDeny},
            {"a user's name as key", With("", "wonder", "", "alice", kSignature), Kind::kDeny},
            {"a key as user's name", With(kUserKey, ""), Kind::kDeny},
        });
  const ConnectOptions by_key = With("", "", "", kUserKey, kSignature);
  EXPECT_EQ(Decide(options, by_key, kConnectionStandard, "another nonce").kind, Kind::kDeny);
  EXPECT_EQ(Decide(options, by_key, kConnectionStandard, "another nonce").why, "Signature not verified");
  EXPECT_EQ(Decide(options, With("", "", "", kUserKey, "")).why, "Signature missing");
  EXPECT_EQ(Decide(options, With("web", "w"), kConnectionWebsocket).kind, Kind::kAllow);
}

TEST(Authenticator, AKeyCountsOnlyWhereSomebodyHasOne) {
  Options options;
  options.users = {User{"alice", "wonder"}};
  Check(options, {{"with a password", With("alice", "wonder", "", "UABC", "sig"), Kind::kAllow, "alice"},
                  {"alone", With("", "", "", kUserKey, kSignature), Kind::kDeny}});
  options.users.push_back(User{"", "", std::string(kUserKey)});
  Check(options, {{"with a password", With("alice", "wonder", "", "UABC", "sig"), Kind::kDeny}});
}

// "$2" and a version make a hash of it, whatever follows: the peer never takes such a text for a password.
TEST(Authenticator, AHashThatIsCutShortIsNoPassword) {
  for (const std::string_view cut : {"$2a$04$tooshort", "$2y$11$", "$2x$04$abcdefghijklmnopqrstuu"}) {
    Options options;
    options.users = {User{"bob", std::string(cut)}};
    EXPECT_EQ(Decide(options, With("bob", cut)).kind, Kind::kAsk) << cut;
    EXPECT_FALSE(MatchesHash(cut, Secret(cut))) << cut;
  }
  for (const std::string_view plain : {"$2", "$2c$04$abc", "$2a$4$abc", "$1$abc$def"}) {
    Options options;
    options.users = {User{"bob", std::string(plain)}};
    EXPECT_EQ(Decide(options, With("bob", plain)).kind, Kind::kAllow) << plain;
  }
}

TEST(Authenticator, NoAuthUserIsForThoseWhoSayNothing) {
  Options options;
  options.users = {User{"guest", "g"}, User{"alice", "wonder"}};
  options.no_auth_user = "guest";
  Check(options, {
                     {"nothing", {}, Kind::kAllow, "guest"},
                     {"alice", With("alice", "wonder"), Kind::kAllow, "alice"},
                     {"wrong password", With("guest", "x"), Kind::kDeny},
                     {"unknown user", With("nobody", ""), Kind::kDeny},
                     {"a password alone", With("", "g"), Kind::kDeny},
                     {"a token alone", With("", "", "x"), Kind::kDeny},
                 });
}

// Who becomes it is taken to have said its name and what is stored as its password, which fits no hash.
TEST(Authenticator, ANoAuthUserWithAHashLetsNobodyIn) {
  Options options;
  options.users = {User{"guest", std::string(kHash)}};
  options.no_auth_user = "guest";
  const Verdict verdict = Decide(options, {});
  EXPECT_EQ(verdict.kind, Kind::kDeny);
  EXPECT_TRUE(verdict.by_default);
  EXPECT_EQ(Decide(options, With("guest", kHashed)).kind, Kind::kAsk);
}

TEST(Authenticator, ANoAuthUserWithAKeyNeedsNoSignature) {
  Options options;
  options.users = {User{"", "", std::string(kUserKey)}, User{"alice", "wonder"}};
  options.no_auth_user = kUserKey;
  Check(options, {{"nothing", {}, Kind::kAllow, kUserKey},
                  {"its key", With("", "", "", kUserKey), Kind::kAllow, kUserKey},
                  {"alice", With("alice", "wonder"), Kind::kAllow, "alice"},
                  {"a password alone", With("", "wonder"), Kind::kDeny}});
  EXPECT_FALSE(Authenticator(options, AccountTable()).MayBeginSilently(kConnectionStandard));
  options.no_auth_user = "alice";
  EXPECT_TRUE(Authenticator(options, AccountTable()).MayBeginSilently(kConnectionStandard));
  options.users[1].allowed_connection_types = kConnectionMqtt;
  EXPECT_FALSE(Authenticator(options, AccountTable()).MayBeginSilently(kConnectionStandard));
  EXPECT_EQ(Decide(options, {}).kind, Kind::kDeny);
}

}  // namespace
}  // namespace millrace
