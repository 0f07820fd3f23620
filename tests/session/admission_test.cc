// SPDX-License-Identifier: Apache-2.0
// Goal: who may stay after a reload, and how the others go; what a client has said in confidence is found nowhere.
// Method: one client and two configurations; what it hears is what nats-server 2.15.2 said to the same reload, but
//         where a row says otherwise. Hashes are Python's crypt of cost 4.
#include <gtest/gtest.h>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

constexpr std::string_view kHashOfX = "$2b$04$abcdefghijklmnopqrstuuPp7HPfoAs8I2dCQCQ/fW7zEJv8I8C8e";
constexpr std::string_view kHashOfXAgain = "$2b$04$zbcdefghijklmnopqrstuuURFgUPheFyQ1yX6dKr7irklAcXg5IGC";
constexpr std::string_view kHashOfY = "$2b$04$abcdefghijklmnopqrstuuXjDqIaylMhQ330.M1UjGmVAdGN4Fa8C";

constexpr std::string_view kAsA = "CONNECT {\"user\":\"a\",\"pass\":\"x\",\"verbose\":false}\r\n";
constexpr std::string_view kToken = "CONNECT {\"auth_token\":\"x\",\"verbose\":false}\r\n";
constexpr std::string_view kNobody = "CONNECT {\"verbose\":false}\r\n";
constexpr std::string_view kNoConnect = "PING\r\n";

Options Users(std::vector<User> users, std::string_view no_auth_user = {}) {
  Options options;
  options.users = std::move(users);
  options.no_auth_user = no_auth_user;
  return options;
}
Options Single(std::string_view user, std::string_view password) {
  Options options;
  options.username = user;
  options.password = password;
  return options;
}
Options Token(std::string_view token) {
  Options options;
  options.authorization = token;
  return options;
}
User A(std::string_view password) { return User{"a", std::string(password)}; }
User OnlyBy(ConnectionTypes types) {
  User user = A("x");
  user.allowed_connection_types = types;
  return user;
}

enum class Ends { kStays, kRefused, kMoved };

struct Row {
  std::string_view name;
  Options before;
  Options after;
  std::string_view says;
  Ends ends;
};

const Row kRows[] = {
    {"nothing changes", Users({A("x")}), Users({A("x")}), kAsA, Ends::kStays},
    {"the password", Users({A("x")}), Users({A("y")}), kAsA, Ends::kRefused},
    {"a user is gone", Users({A("x"), User{"b", "x"}}), Users({User{"b", "x"}}), kAsA, Ends::kMoved},
    {"a hash of another password", Users({A(kHashOfX)}), Users({A(kHashOfY)}), kAsA, Ends::kRefused},
    {"another hash of the same", Users({A(kHashOfX)}), Users({A(kHashOfXAgain)}), kAsA, Ends::kStays},
    {"the same hash", Users({A(kHashOfX)}), Users({A(kHashOfX)}), kAsA, Ends::kStays},
    {"plain to a hash", Users({A("x")}), Users({A(kHashOfX)}), kAsA, Ends::kStays},
    {"plain to a hash of another", Users({A("x")}), Users({A(kHashOfY)}), kAsA, Ends::kRefused},
    {"a hash to plain", Users({A(kHashOfX)}), Users({A("x")}), kAsA, Ends::kStays},
    {"a hash to another in plain", Users({A(kHashOfX)}), Users({A("y")}), kAsA, Ends::kRefused},
    {"this kind of connection", Users({A("x")}), Users({OnlyBy(kConnectionMqtt)}), kAsA, Ends::kRefused},
    {"all kinds of connection", Users({OnlyBy(kConnectionStandard)}), Users({A("x")}), kAsA, Ends::kStays},
    {"the token", Token("x"), Token("y"), kToken, Ends::kRefused},
    {"a hash of the token", Token("x"), Token(kHashOfX), kToken, Ends::kStays},
    {"token to users", Token("x"), Users({A("x")}), kToken, Ends::kRefused},
    {"one user's password", Single("a", "x"), Single("a", "y"), kAsA, Ends::kMoved},
    {"one user's hash, of the same", Single("a", kHashOfX), Single("a", kHashOfXAgain), kAsA, Ends::kStays},  // moved
    {"one user to nobody", Single("a", "x"), Options(), kAsA, Ends::kMoved},
    {"users to nobody", Users({A("x")}), Options(), kAsA, Ends::kMoved},
    {"open to users, right", Options(), Users({A("x")}), kAsA, Ends::kStays},
    {"open to users, wrong", Options(), Users({A("y")}), kAsA, Ends::kRefused},
    {"open to users, a hash", Options(), Users({A(kHashOfX)}), kAsA, Ends::kStays},
    {"open to users, nobody", Options(), Users({A("x")}), kNobody, Ends::kRefused},
    {"open to users, not connected", Options(), Users({A("x")}), kNoConnect, Ends::kRefused},
    {"open to users, silent", Options(), Users({A("x")}), "", Ends::kRefused},
    {"users, silent", Users({A("x")}), Users({A("y")}), "", Ends::kRefused},
    {"no_auth_user's password", Users({A("x")}, "a"), Users({A("y")}, "a"), kNobody, Ends::kRefused},
    {"no_auth_user's password, not connected", Users({A("x")}, "a"), Users({A("y")}, "a"), kNoConnect, Ends::kRefused},
    {"no_auth_user's password, silent", Users({A("x")}, "a"), Users({A("y")}, "a"), "", Ends::kStays},
    {"no_auth_user is gone", Users({A("x"), User{"b", "x"}}, "a"), Users({User{"b", "x"}}), kNobody, Ends::kMoved},
    {"no_auth_user is gone, not connected", Users({A("x"), User{"b", "x"}}, "a"), Users({User{"b", "x"}}), kNoConnect,
     Ends::kMoved},
    {"no_auth_user is gone, silent", Users({A("x"), User{"b", "x"}}, "a"), Users({User{"b", "x"}}), "", Ends::kRefused},
};

void AnswerIfAsked(Sessions::Client& client) {
  if (client.asking) client.Answer();
}

TEST(Admission, AReloadJudgesWhatWasSaidOnce) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.name);
    Sessions sessions(1, row.before);
    Sessions::Client& client = sessions.Connect();
    client.Say(row.says);
    AnswerIfAsked(client);
    ASSERT_FALSE(client.closed.has_value());
    client.Hear();
    sessions.SetConfig(row.after);
    client.session().OnConfigChanged(true, false);
    client.session().Invariant();
    AnswerIfAsked(client);
    EXPECT_EQ(client.closed.has_value(), row.ends != Ends::kStays);
    if (row.ends == Ends::kStays && !row.says.empty()) {
      EXPECT_EQ(client.Ask("PING\r\n"), "PONG\r\n");
    } else {
      EXPECT_EQ(client.Hear(), row.ends == Ends::kRefused ? "-ERR 'Authorization Violation'\r\n" : "");
    }
    EXPECT_EQ(client.closed == ClosedReason::kClientClosed, row.ends == Ends::kMoved);
    client.session().Invariant();
  }
}

// A hash that stands as it was is not computed again for all who have proved it.
TEST(Admission, OnlyAnotherHashIsAskedAbout) {
  Sessions sessions(1, Users({A(kHashOfX)}));
  Sessions::Client& client = sessions.Connect();
  client.Say(kAsA).Answer();
  for (const bool other : {false, true}) {
    sessions.SetConfig(Users({A(other ? kHashOfXAgain : kHashOfX), User{"b", "x"}}));
    client.session().OnConfigChanged(true, false);
    EXPECT_EQ(client.asking, other);
  }
}

TEST(Admission, AReloadDuringACheckAsksAgain) {
  for (const bool right : {false, true}) {
    Sessions sessions(1, Users({A(right ? kHashOfY : kHashOfX)}));
    Sessions::Client& client = sessions.Connect();
    client.Say(kAsA).Hear();
    sessions.SetConfig(Users({A(right ? kHashOfX : kHashOfY)}));
    client.session().OnConfigChanged(true, false);
    client.Answer();
    EXPECT_FALSE(client.closed.has_value());
    EXPECT_TRUE(client.asking);
    client.Answer();
    EXPECT_EQ(client.Hear(), right ? "" : "-ERR 'Authorization Violation'\r\n");
    EXPECT_EQ(client.closed.has_value(), !right);
  }
}

// Whoever is in goes on while a reload has its password compared with another hash.
TEST(Admission, AReloadsQuestionHoldsNothingUp) {
  Sessions sessions(1, Users({A(kHashOfX)}));
  Sessions::Client& client = sessions.Connect();
  client.Say(kAsA).Answer();
  client.Hear();
  sessions.SetConfig(Users({A(kHashOfY)}));
  client.session().OnConfigChanged(true, false);
  ASSERT_TRUE(client.asking);
  EXPECT_EQ(client.question.source, "127.0.0.1");
  EXPECT_EQ(client.question.hash, kHashOfY);
  EXPECT_EQ(client.Ask("PING\r\n"), "PONG\r\n");
  // Another reload meanwhile: what the answer is about does not hold any more.
  sessions.SetConfig(Users({A(kHashOfXAgain)}));
  client.session().OnConfigChanged(true, false);
  client.Answer();
  ASSERT_TRUE(client.asking);
  client.Answer();
  EXPECT_EQ(client.Ask("PING\r\n"), "PONG\r\n");
}

// The answer to a reload's question is void for the secret of a CONNECT that came meanwhile.
TEST(Admission, AConnectDuringAReloadsQuestionIsAskedAboutAnew) {
  Sessions sessions(1, Users({A(kHashOfX)}));
  Sessions::Client& client = sessions.Connect();
  client.Say(kAsA).Answer();
  client.Hear();
  sessions.SetConfig(Users({A(kHashOfXAgain)}));
  client.session().OnConfigChanged(true, false);
  client.Say("CONNECT {\"user\":\"a\",\"pass\":\"y\"}\r\nPING\r\n");
  EXPECT_TRUE(client.waits);
  client.Answer();  // that the first secret is right
  EXPECT_TRUE(client.asking && client.waits);
  client.session().Invariant();
  client.Answer();
  EXPECT_EQ(client.Hear(), "-ERR 'Authorization Violation'\r\n");
}

TEST(Admission, WhereTooManyWaitItsTimeIsOver) {
  Sessions sessions(1, Users({A(kHashOfX)}));
  Sessions::Client& client = sessions.Connect();
  client.Hear();
  client.Say(kAsA).AnswerWith(Finding::kNoTime);
  EXPECT_EQ(client.Hear(), "-ERR 'Authentication Timeout'\r\n");
  EXPECT_EQ(client.closed, ClosedReason::kAuthenticationTimeout);
}

TEST(Admission, AReloadDuringACheckMayLetEverybodyIn) {
  Sessions sessions(1, Users({A(kHashOfY)}));
  Sessions::Client& other = sessions.Connect();
  other.Say(kAsA);
  sessions.SetConfig(Options());
  other.session().OnConfigChanged(true, false);
  other.Answer();
  EXPECT_FALSE(other.closed.has_value());
}

// What a second CONNECT leaves out is what the first one said; what it says has to be proved anew.
TEST(Admission, ASecondConnectIsJudgedByBoth) {
  Sessions sessions(1, Users({A(kHashOfX), User{"b", "x"}}));
  Sessions::Client& client = sessions.Connect();
  client.Say(kAsA).Answer();
  client.Hear();
  client.Say("CONNECT {\"user\":\"b\"}\r\n");
  EXPECT_FALSE(client.asking);
  EXPECT_EQ(client.session().principal().user(), "b");
  client.Say("CONNECT {\"user\":\"a\",\"pass\":\"y\"}\r\n");
  EXPECT_TRUE(client.asking);
  client.Answer();
  EXPECT_EQ(client.Hear(), "-ERR 'Authorization Violation'\r\n");
}

// Nothing but names is kept in the open.
TEST(Admission, SecretsAreNotKept) {
  for (const std::string_view said : {"", "user", "auth_token"}) {
    Options options = said.empty() ? Options() : said == "user" ? Users({A("x")}) : Token("x");
    Sessions sessions(1, options);
    Sessions::Client& client = sessions.Connect();
    client.Say("CONNECT {\"user\":\"a\",\"pass\":\"x\",\"auth_token\":\"x\",\"sig\":\"x\",\"jwt\":\"x\"}\r\n");
    ASSERT_FALSE(client.closed.has_value());
    const Credentials& kept = client.session().connect().credentials();
    EXPECT_EQ(kept.user, "a");
    EXPECT_TRUE(kept.pass.empty() && kept.auth_token.empty() && kept.sig.empty() && kept.jwt.empty());
    EXPECT_TRUE(kept.token_said);
  }
}

// ---- the log -------------------------------------------------------------------------------------------------------

std::string LogOf(Sessions& sessions) {
  std::string all;
  for (const std::string& line : sessions.log()) all += line + "\n";
  return all;
}

TEST(Admission, ATracedConnectIsMadeOfWhatWasRead) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"user":"u","pass":"53cr3t","name":"n","protocol":1,"echo":true})",
       R"({"user":"u","pass":"[REDACTED]","name":"n","protocol":1,"echo":true})"},
      {R"({"PASS":"53cr3t"})", R"({"pass":"[REDACTED]"})"},
      {R"({"pass":"x","pass":"53cr3t","Pass":"53cr3t"})",
       R"({"pass":"[REDACTED]","pass":"[REDACTED]","pass":"[REDACTED]"})"},
      {R"({"p\u0061ss":"53cr3t"})", R"({"pass":"[REDACTED]"})"},
      {R"({"auth_token":"53cr3t","nkey":"U","sig":"53cr3t","jwt":"53cr3t"})",
       R"({"auth_token":"[REDACTED]","nkey":"[REDACTED]","sig":"[REDACTED]","jwt":"[REDACTED]"})"},
      {R"({"pass":"5\"3cr3t","lang":"\u00e9"})", "{\"pass\":\"[REDACTED]\",\"lang\":\"\u00e9\"}"},
      {R"({"pass" : {"a":"53cr3t"}})", R"({"pass":"[REDACTED]"})"},
      {R"({"name":{"pass":"53cr3t"}})", R"({"name":"[REDACTED]"})"},
      {R"({"passwd":"53cr3t","verbose":false,"password":"53cr3t"})", R"({"verbose":false})"},
      {R"({"pass":"53cr3t)", "(no JSON object)"},
      {R"(["pass","53cr3t"])", "(no JSON object)"},
  };
  for (const auto& [said, shown] : cases) {
    Options options;
    options.trace = options.debug = true;
    Sessions sessions(1, options);
    sessions.Connect().Say("CONNECT " + std::string(said) + "\r\n");
    const std::string log = LogOf(sessions);
    EXPECT_NE(log.find("<<- [CONNECT " + std::string(shown) + "]\n"), std::string::npos) << said << "\n" << log;
    EXPECT_EQ(log.find("3cr3t"), std::string::npos) << log;
  }
}

// A line that is too long is refused before anybody reads it.
TEST(Admission, AConnectThatIsRefusedUnreadIsNotShown) {
  Options options;
  options.trace = options.debug = true;
  options.max_control_line = 64;
  Sessions sessions(1, options);
  Sessions::Client& client = sessions.Connect();
  client.Say("CONNECT {\"pass\":\"53cr3t\",\"name\":\"" + std::string(4096, 'n') + "\"}\r\n");
  EXPECT_TRUE(client.closed.has_value());
  EXPECT_EQ(LogOf(sessions).find("3cr3t"), std::string::npos) << LogOf(sessions);
}

TEST(Admission, ARefusalIsLoggedWithTheNameThatWasSaid) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"user":"b","pass":"y","auth_token":"t"})", " - authentication error - User \"b\"\n"},
      {R"({"user":"b","nkey":"UX"})", " - authentication error - Nkey \"UX\"\n"},
      {R"({"auth_token":"t"})", " - authentication error - Token \"[REDACTED]\"\n"},
      {R"({"pass":"t"})", " - authentication error\n"},
      {R"({})", " - authentication error\n"},
  };
  for (const auto& [said, logged] : cases) {
    Sessions sessions(1, Users({A("x")}));
    sessions.Connect().Say("CONNECT " + std::string(said) + "\r\n");
    EXPECT_NE(LogOf(sessions).find("cid:5" + std::string(logged)), std::string::npos) << said << LogOf(sessions);
  }
  Sessions sessions(1, Users({A(kHashOfX)}, "a"));
  sessions.Connect().Say(kNobody);
  EXPECT_NE(LogOf(sessions).find("authentication error - User \"a\"\n"), std::string::npos) << LogOf(sessions);
}

}  // namespace
}  // namespace millrace
