// SPDX-License-Identifier: Apache-2.0
// Goal: every verb does what the protocol says, with exactly the peer's bytes, and every offence
//       has its text and its end.
// Method: conversations with real sessions over a router of one shard, most of them as rows of a
//       table; barrier_test.cc has
// what takes more shards, tests/interop/cases.py the same against the peer itself.
#include "broker/session/session.h"

#include <gtest/gtest.h>

#include "tests/session/sessions.h"

namespace millrace {
namespace {

constexpr std::string_view kQuiet = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";
constexpr std::string_view kInfo =
    "INFO {\"server_id\":\"NSERVER\",\"server_name\":\"test\",\"version\":\"2.15.2\",\"proto\":1,\"go\":\"go1.26.8\","
    "\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,";

struct Conversation {
  std::string_view name;
  std::string said;
  std::string_view heard;
  std::optional<ClosedReason> closed = std::nullopt;
};

// Runs each row on a fresh server; what is said arrives whole and, a second time, byte by byte.
void Check(const Options& options, const std::vector<Conversation>& rows) {
  for (const Conversation& row : rows) {
    for (const bool bytewise : {false, true}) {
      Sessions sessions(1, options);
      Sessions::Client& client = sessions.Connect();
      client.Hear();
      if (bytewise) {
        for (const char& c : row.said) client.Say({&c, 1});
      } else {
        client.Say(row.said);
      }
      EXPECT_EQ(Escaped(client.Hear()), Escaped(row.heard)) << row.name << (bytewise ? ", byte by byte" : "");
      EXPECT_EQ(client.closed.has_value(), row.closed.has_value()) << row.name;
      if (row.closed.has_value() && client.closed.has_value()) {
        EXPECT_EQ(ClosedReasonText(*client.closed), ClosedReasonText(*row.closed)) << row.name;
      }
    }
  }
}

std::string Quiet(std::string_view rest) { return std::string(kQuiet).append(rest); }

// ---- greeting ------------------------------------------------------------------------------------------------------

TEST(Session, GreetsWithInfo) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  EXPECT_EQ(
      client.Hear(),
      std::string(kInfo) + "\"max_payload\":1048576,\"client_id\":5,\"client_ip\":\"127.0.0.1\",\"api_lvl\":5} \r\n");
  EXPECT_FALSE(client.session().expects_connect());
}

TEST(Session, InfoSaysWhetherCredentialsAreNeeded) {
  struct Case {
    std::string_view name;
    Options options;
    std::string_view part;
    bool there;
  };
  Options user;
  user.username = "u";
  user.password = "p";
  Options key;
  key.users = {User{"", "", "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"}};
  Options guest;
  guest.users = {User{"g", "g"}};
  guest.no_auth_user = "g";
  const Case cases[] = {
      {"open", {}, "auth_required", false},
      {"user", user, "\"auth_required\":true,", true},
      {"user", user, "nonce", false},
      {"key", key, "\"auth_required\":true,", true},
      {"key", key, "\"nonce\":\"bm5ubm5ubm5ubm4\",", true},
      {"guest", guest, "auth_required", false},
  };
  for (const Case& c : cases) {
    Sessions sessions(1, c.options);
    EXPECT_EQ(sessions.Connect().Hear().find(c.part) != std::string::npos, c.there) << c.name << " " << c.part;
  }
}

TEST(Session, TheFirstPongIsFollowedByInfoOfTheConnection) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  client.Say("CONNECT {\"verbose\":false,\"protocol\":1}\r\n");
  const std::string first = client.Ask("PING\r\n");
  EXPECT_EQ(first, "PONG\r\n" + std::string(kInfo) +
                       "\"max_payload\":1048576,\"client_id\":5,\"client_ip\":\"127.0.0.1\",\"connect_info\":true,"
                       "\"remote_account\":\"$G\",\"api_lvl\":5} \r\n");
  EXPECT_EQ(client.Ask("PING\r\n"), "PONG\r\n");

  Sessions::Client& old = sessions.Connect();
  old.Say(kQuiet);
  EXPECT_EQ(old.Ask("PING\r\n"), "PONG\r\n") << "protocol 0 is not sent INFO";
}

// ---- verbs ---------------------------------------------------------------------------------------------------------

TEST(Session, AnswersEveryVerb) {
  const std::string all = Quiet("SUB x 1\r\nPUB x 2\r\nhi\r\n");
  Check({}, {
                {"PING needs no CONNECT", "PING\r\n", "PONG\r\n"},
                {"verbose is the default", "CONNECT {}\r\nPING\r\n", "+OK\r\nPONG\r\n"},
                {"not verbose", Quiet("PING\r\n"), "PONG\r\n"},
                {"a publish comes back", all, "MSG x 1 2\r\nhi\r\n"},
                {"without echo it does not",
                 "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB x 1\r\nPUB x 2\r\nhi\r\nPING\r\n", "PONG\r\n"},
                {"with a reply", Quiet("SUB x 1\r\nPUB x _INBOX.r 2\r\nhi\r\n"), "MSG x 1 _INBOX.r 2\r\nhi\r\n"},
                {"wildcard", Quiet("SUB a.> 1\r\nPUB a.b.c 0\r\n\r\n"), "MSG a.b.c 1 0\r\n\r\n"},
                {"queue", Quiet("SUB x q 1\r\nPUB x 0\r\n\r\nUNSUB 1\r\nPUB x 0\r\n\r\nPING\r\n"),
                 "MSG x 1 0\r\n\r\nPONG\r\n"},
                {"headers", Quiet("SUB x 1\r\nHPUB x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
                 "HMSG x 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"},
                {"sizes as they were written", Quiet("SUB x 1\r\nPUB x 002\r\nhi\r\n"), "MSG x 1 002\r\nhi\r\n"},
                {"UNSUB", Quiet("SUB x 1\r\nUNSUB 1\r\nPUB x 0\r\n\r\nPING\r\n"), "PONG\r\n"},
                {"UNSUB with a maximum", Quiet("SUB x 1\r\nUNSUB 1 1\r\nPUB x 0\r\n\r\nPUB x 0\r\n\r\nPING\r\n"),
                 "MSG x 1 0\r\n\r\nPONG\r\n"},
                {"UNSUB with a maximum already reached",
                 Quiet("SUB x 1\r\nPUB x 0\r\n\r\nUNSUB 1 1\r\nPUB x 0\r\n\r\nPING\r\n"), "MSG x 1 0\r\n\r\nPONG\r\n"},
                {"UNSUB of an unknown sid", Quiet("UNSUB 9\r\nPING\r\n"), "PONG\r\n"},
                {"a second SUB with the sid changes nothing",
                 Quiet("SUB x 1\r\nSUB y 1\r\nPUB y 0\r\n\r\nPUB x 0\r\n\r\n"), "MSG x 1 0\r\n\r\n"},
                {"a bad subject is no end", Quiet("SUB a..b 1\r\nSUB .a 2\r\nSUB a.>.b 3\r\nPING\r\n"),
                 "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\nPONG\r\n"},
                {"the system's queue is refused", Quiet("SUB x _sys_ 1\r\n"),
                 "-ERR 'Permissions Violation for Subscription to \"x\" using queue \"_sys_\"'\r\n"},
                {"PONG is taken silently", Quiet("PONG\r\nPING\r\n"), "PONG\r\n"},
                {"+OK is taken silently", Quiet("+OK\r\nPING\r\n"), "PONG\r\n"},
                {"INFO is taken silently", Quiet("INFO {}\r\nPING\r\n"), "PONG\r\n"},
                {"verbose answers each but PING",
                 "CONNECT {\"headers\":true,\"pedantic\":false}\r\nSUB x 1\r\nUNSUB 1\r\nPUB x 0\r\n\r\n"
                 "HPUB x 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n",
                 "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\nPONG\r\n"},
                {"verbose: +OK comes before what the publish delivers", "CONNECT {}\r\nSUB x 1\r\nPUB x 1\r\n!\r\n",
                 "+OK\r\n+OK\r\n+OK\r\nMSG x 1 1\r\n!\r\n"},
                {"pedantic complains and goes on",
                 "CONNECT {\"verbose\":false,\"pedantic\":true}\r\nSUB > 1\r\nPUB a.* 0\r\n\r\n",
                 "-ERR 'Invalid Publish Subject'\r\nMSG a.* 1 0\r\n\r\n"},
                {"a raft subject is refused", Quiet("PUB $NRG.x 0\r\n\r\n"),
                 "-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n"},
                {"a reserved reply is refused", Quiet("PUB x $JS.ACK.a 0\r\n\r\n"),
                 "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.a\"'\r\n"},
            });
}

// What servers say to each other is not for clients; what only looks like it is.
TEST(Session, SubjectsOfServersAreRefused) {
  const auto about_subject = [](std::string_view subject) {
    return "-ERR 'Permissions Violation for Publish to \"" + std::string(subject) + "\"'\r\n";
  };
  const auto about_reply = [](std::string_view reply) {
    return "-ERR 'Permissions Violation for Publish with Reply of \"" + std::string(reply) + "\"'\r\n";
  };
  const struct {
    std::string_view subject;
    bool may_publish;
    bool may_be_reply;
  } kSubjects[] = {
      {"_GR_.a", false, false}, {"$GR.a", false, false},  {"$NRG.a", false, true},      {"$NRG.", false, true},
      {"_R_.a", true, false},   {"_R_.", true, false},    {"$JS.ACK.a", true, false},   {"$JS.ACK", true, true},
      {"$JS.a", true, true},    {"_INBOX.a", true, true}, {"$SYS.a", true, true},       {"a", true, true},
  };
  for (const auto& each : kSubjects) {
    Sessions sessions(1);
    Sessions::Client& client = sessions.Connect();
    client.Say(kQuiet);
    const std::string subject(each.subject);
    EXPECT_EQ(client.Ask("PUB " + subject + " 0\r\n\r\nPING\r\n"),
              (each.may_publish ? "" : about_subject(subject)) + "PONG\r\n");
    EXPECT_EQ(client.Ask("PUB x " + subject + " 0\r\n\r\nPING\r\n"),
              (each.may_be_reply ? "" : about_reply(subject)) + "PONG\r\n");
  }
}

TEST(Session, EveryOffenceHasItsEnd) {
  Options small;
  small.max_payload = 10;
  small.max_control_line = 100;
  small.max_subscriptions = 2;
  small.max_sub_tokens = 3;
  Check(small,
        {
            {"unknown operation", "FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n", ClosedReason::kProtocolViolation},
            {"payload too large", Quiet("PUB x 11\r\n"), "-ERR 'Maximum Payload Violation'\r\n",
             ClosedReason::kMaxPayloadExceeded},
            {"control line too long", Quiet("PUB " + std::string(200, 'x')), "-ERR 'maximum control line exceeded'\r\n",
             ClosedReason::kMaxControlLineExceeded},
            {"too few words", Quiet("SUB x\r\n"), "", ClosedReason::kProtocolViolation},
            {"HPUB without headers", "CONNECT {\"verbose\":false}\r\nHPUB x 12 12\r\n", "",
             ClosedReason::kProtocolViolation},
            {"broken JSON", "CONNECT {\"verbose\":maybe}\r\n", "", ClosedReason::kProtocolViolation},
            {"a wrong type", "CONNECT {\"verbose\":1}\r\n", "", ClosedReason::kProtocolViolation},
            {"INFO that is no JSON", Quiet("INFO {x}\r\n"), "", ClosedReason::kProtocolViolation},
            {"an -ERR of the client", Quiet("-ERR 'bad'\r\n"), "", ClosedReason::kParseError},
            {"unknown protocol level", "CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\n",
             ClosedReason::kBadClientProtocolVersion},
            {"negative protocol level", "CONNECT {\"protocol\":-1}\r\n", "-ERR 'invalid client protocol'\r\n",
             ClosedReason::kBadClientProtocolVersion},
            {"no responders without headers", "CONNECT {\"no_responders\":true}\r\n",
             "-ERR 'no responders requires headers support'\r\n", ClosedReason::kNoRespondersRequiresHeaders},
            {"naming an account", "CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\n",
             ClosedReason::kAuthenticationViolation},
            {"a new account", "CONNECT {\"new_account\":true}\r\n", "-ERR 'Authorization Violation'\r\n",
             ClosedReason::kAuthenticationViolation},
            {"too many subscriptions do not close", Quiet("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 1\r\nSUB c 3\r\n"),
             "-ERR 'maximum subscriptions exceeded'\r\n"},
            {"too many tokens do not close", Quiet("SUB a.b.c.d 1\r\nSUB a.b.c 2\r\n"),
             "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\n"},
            {"nothing behind the end is carried out", Quiet("FOO\r\nPING\r\n"),
             "-ERR 'Unknown Protocol Operation'\r\n", ClosedReason::kProtocolViolation},
        });
}

TEST(Session, WithoutHeaderSupportNobodyHasHeaders) {
  Options options;
  options.no_header_support = true;
  Check(options, {{"HPUB", Quiet("HPUB x 12 12\r\n"), "", ClosedReason::kProtocolViolation},
                  {"no responders", "CONNECT {\"headers\":true,\"no_responders\":true}\r\n",
                   "-ERR 'no responders requires headers support'\r\n", ClosedReason::kNoRespondersRequiresHeaders}});
}

TEST(Session, ASecondConnectDropsTheSubscriptions) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  client.Say(Quiet("SUB x 1\r\n"));
  EXPECT_EQ(client.session().subscription_count(), 1u);
  EXPECT_EQ(client.Ask("CONNECT {\"name\":\"again\"}\r\nPUB x 0\r\n\r\nPING\r\n"), "PONG\r\n") << "verbose stays off";
  EXPECT_EQ(client.session().subscription_count(), 0u);
  EXPECT_EQ(client.session().connect().name, "again");
  EXPECT_EQ(client.connected, 2);
}

TEST(Session, HeadersAreStrippedForThoseWhoDoNotTakeThem) {
  Sessions sessions(1);
  Sessions::Client& plain = sessions.Connect();
  Sessions::Client& full = sessions.Connect();
  Sessions::Client& publisher = sessions.Connect();
  plain.Say("CONNECT {\"verbose\":false}\r\nSUB x 1\r\n").Hear();
  full.Say(Quiet("SUB x 1\r\n")).Hear();
  publisher.Say(Quiet("HPUB x r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"));
  EXPECT_EQ(plain.Hear(), "MSG x 1 r 2\r\nhi\r\n");
  EXPECT_EQ(full.Hear(), "HMSG x 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
}

TEST(Session, TabsSeparateAsBlanksDoAlsoInARow) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  client.Say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB x 1\r\n").Hear();
  const std::string payload(40, '.');
  std::string input;
  std::string expected;
  for (int i = 0; i < 6; ++i) {
    input += "PUB\tx\t40\r\n" + payload + "\r\n";
    expected += "MSG x 1 40\r\n" + payload + "\r\n";
  }
  EXPECT_EQ(client.Ask(input), expected);
}

TEST(Session, CountsWhatComesIn) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  client.Say(Quiet("PUB x 5\r\nhello\r\nHPUB x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"));
  EXPECT_EQ(client.Describe().in_msgs, 2);
  EXPECT_EQ(client.Describe().in_bytes, 19);
  EXPECT_EQ(sessions.shards()[0].counters.in_messages.Get(), 2u);
  EXPECT_EQ(sessions.shards()[0].counters.in_bytes.Get(), 19u);
}

// By whichever way messages come in and go out, an account's totals are what was said and heard.
TEST(Session, TotalsAreWhatWasSaidAndHeard) {
  Sessions sessions(1);
  Sessions::Client& publisher = sessions.Connect();
  Sessions::Client& subscriber = sessions.Connect();
  publisher.Say(kQuiet);
  subscriber.Say(Quiet("SUB x 1\r\nSUB y 2\r\n"));
  const std::string payload(60, '.');
  uint64_t messages = 0, bytes = 0;
  const auto publish = [&](std::string_view subject, int times, std::string_view body) {
    std::string text;
    for (int i = 0; i < times; ++i) {
      text += "PUB " + std::string(subject) + " " + std::to_string(body.size()) + "\r\n" + std::string(body) + "\r\n";
    }
    publisher.Say(text);
    messages += static_cast<uint64_t>(times);
    bytes += static_cast<uint64_t>(times) * body.size();
  };
  publish("x", 1, "one");
  publish("x", 50, payload);  // a run, and then such as look like the last one
  publish("y", 3, payload);
  publish("x reply", 2, payload);
  AccountTally tally;
  publisher.session().AddTotals(&tally, true);
  subscriber.session().AddTotals(&tally, true);
  const AccountTotals& totals = tally[kGlobalAccount];
  EXPECT_EQ(totals.in_messages, messages);
  EXPECT_EQ(totals.in_bytes, bytes);
  EXPECT_EQ(totals.out_messages, messages);
  EXPECT_EQ(totals.out_bytes, bytes);
  EXPECT_EQ(totals.connections, 2u);
  EXPECT_EQ(sessions.shards()[0].counters.in_messages.Get(), messages);
  EXPECT_EQ(sessions.shards()[0].counters.in_bytes.Get(), bytes);
  EXPECT_EQ(sessions.shards()[0].counters.out_messages.Get(), messages);
  EXPECT_EQ(sessions.shards()[0].counters.out_bytes.Get(), bytes);
  // One that has closed is there no more, but what it has done is.
  AccountTally gone;
  subscriber.session().AddTotals(&gone, false);
  EXPECT_EQ(gone[kGlobalAccount].out_messages, messages);
  EXPECT_EQ(gone[kGlobalAccount].connections, 0u);
}

TEST(Session, WhatIsBehindASpentTurnIsLeftForTheNextOne) {
  Sessions sessions(1);
  Router& router = sessions.shared(0).router;
  RouterLimits limits = router.limits();
  limits.turn_deliveries = 2;
  router.outlet().set_limits(limits);
  Sessions::Client& client = sessions.Connect();
  client.Say(Quiet("SUB a 1\r\n"));
  client.Hear();
  const std::string_view message = "MSG a 1 1\r\nx\r\n";
  // Unlike ones first, then such as look like the one before.
  router.outlet().BeginTurn();
  client.Say("PUB a 1\r\nx\r\nPUB a  1\r\nx\r\nPUB a 1\r\nx\r\nPING\r\n");
  EXPECT_EQ(client.Hear(), std::string(message).append(message));
  router.outlet().BeginTurn();
  client.Go();
  EXPECT_EQ(client.Hear(), std::string(message).append("PONG\r\n"));
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += "PUB a 1\r\nx\r\n";
  router.outlet().BeginTurn();
  client.Say(flood);
  size_t heard = client.Hear().size() / message.size();
  EXPECT_LT(heard, 1000u);
  for (int turn = 0; turn < 20 && heard < 1000; ++turn) {
    router.outlet().BeginTurn();
    client.Go();
    heard += client.Hear().size() / message.size();
  }
  EXPECT_EQ(heard, 1000u);
}

TEST(Session, ItsLabelSaysWhoItIs) {
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  EXPECT_EQ(client.session().label(), "127.0.0.1:5000 - cid:5");
  client.Say("CONNECT {\"name\":\"n\",\"lang\":\"go\",\"version\":\"1.2\",\"user\":\"u\"}\r\n");
  EXPECT_EQ(client.session().label(), "127.0.0.1:5000 - cid:5 - \"v1.2:go:n\" - \"$G/user:u\"");
}

// ---- no responders -------------------------------------------------------------------------------------------------

TEST(Session, ARequestWithoutRespondersIsAnsweredAtOnce) {
  constexpr std::string_view kRequester = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
  constexpr std::string_view kAnswer = "NATS/1.0 503\r\nNats-Subject: x\r\n\r\n\r\n";
  Sessions sessions(1);
  Sessions::Client& client = sessions.Connect();
  client.Say(kRequester).Say("SUB _INBOX.* 7\r\n");
  EXPECT_EQ(client.Ask("PUB x _INBOX.1 0\r\n\r\n"), "HMSG _INBOX.1 7 33 33\r\n" + std::string(kAnswer));
  EXPECT_EQ(client.Ask("PUB x 0\r\n\r\n"), "") << "no request";
  EXPECT_EQ(client.Ask("PUB x other 0\r\n\r\n"), "") << "nobody listens for the answer";

  Sessions::Client& responder = sessions.Connect();
  responder.Say(Quiet("SUB x 1\r\n"));
  EXPECT_EQ(client.Ask("PUB x _INBOX.1 0\r\n\r\n"), "");
  responder.Say("UNSUB 1\r\n");
  EXPECT_NE(client.Ask("PUB x _INBOX.1 0\r\n\r\n"), "");

  Sessions::Client& other = sessions.Connect();
  other.Say(Quiet("SUB _INBOX.* 1\r\n"));
  EXPECT_EQ(other.Ask("PUB x _INBOX.1 0\r\n\r\n"), "") << "it did not ask for it";
}

// ---- authentication ------------------------------------------------------------------------------------------------

TEST(Session, CredentialsComeFirst) {
  Options options;
  options.username = "u";
  options.password = "p";
  constexpr std::string_view kRefused = "-ERR 'Authorization Violation'\r\n";
  Check(options, {
                     {"right", "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\nPING\r\n", "+OK\r\nPONG\r\n"},
                     {"wrong", "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\nPING\r\n", kRefused,
                      ClosedReason::kAuthenticationViolation},
                     {"PING first", "PING\r\n", kRefused, ClosedReason::kAuthenticationViolation},
                     {"PUB first", "PUB x 0\r\n\r\n", kRefused, ClosedReason::kAuthenticationViolation},
                     {"nonsense first", "FOO\r\n", kRefused, ClosedReason::kAuthenticationViolation},
                 });
}

TEST(Session, AnAuthenticationTimeoutEndsOnlyThoseWhoHaveNotConnected) {
  Options options;
  options.username = "u";
  options.password = "p";
  Sessions sessions(1, options);
  Sessions::Client& late = sessions.Connect();
  Sessions::Client& done = sessions.Connect();
  EXPECT_TRUE(late.session().expects_connect());
  done.Say("CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n");
  late.Hear();
  late.session().OnAuthTimeout();
  done.session().OnAuthTimeout();
  EXPECT_EQ(late.Hear(), "-ERR 'Authentication Timeout'\r\n");
  EXPECT_EQ(late.closed, ClosedReason::kAuthenticationTimeout);
  EXPECT_FALSE(done.closed.has_value());
}

TEST(Session, AHashIsComparedElsewhereWhileInputWaits) {
  Options options;
  options.users = {User{"bob", "$2b$04$abcdefghijklmnopqrstuu1hXAFcmr2CPLqjljXPlXLPQpFji6.EW"}};
  Sessions sessions(1, options);
  Sessions::Client& bob = sessions.Connect();
  bob.Hear();
  bob.Say("CONNECT {\"user\":\"bob\",\"pass\":\"s3cr\\u00e9t pass\"}\r\nPING\r\n");
  EXPECT_TRUE(bob.asking);
  EXPECT_EQ(bob.Hear(), "");
  bob.Answer();
  EXPECT_EQ(bob.Hear(), "+OK\r\nPONG\r\n");
  EXPECT_EQ(bob.session().principal().user(), "bob");

  Sessions::Client& mallory = sessions.Connect();
  mallory.Hear();
  mallory.Say("CONNECT {\"user\":\"bob\",\"pass\":\"guess\"}\r\nPING\r\n");
  mallory.Answer();
  EXPECT_EQ(mallory.Hear(), "-ERR 'Authorization Violation'\r\n");
  EXPECT_EQ(mallory.closed, ClosedReason::kAuthenticationViolation);

  Sessions::Client& gone = sessions.Connect();
  gone.Say("CONNECT {\"user\":\"bob\",\"pass\":\"guess\"}\r\n");
  gone.Close();
  gone.Hear();
  EXPECT_EQ(gone.Hear(), "");
}

TEST(Session, NoAuthUserIsWhoSaysNothing) {
  Options options;
  options.users = {User{"guest", "g"}, User{"alice", "a"}};
  options.users[0].permissions.emplace().publish = SubjectPermission{std::vector<std::string>{"pub.>"}, {}};
  options.no_auth_user = "guest";
  Check(options,
        {
            {"without CONNECT", "PUB pub.x 0\r\n\r\nPUB x 0\r\n\r\nPING\r\n",
             "+OK\r\n-ERR 'Permissions Violation for Publish to \"x\"'\r\nPONG\r\n"},
            {"with an empty CONNECT", "CONNECT {\"verbose\":false}\r\nPUB x 0\r\n\r\n",
             "-ERR 'Permissions Violation for Publish to \"x\"'\r\n"},
            {"as somebody", "CONNECT {\"verbose\":false,\"user\":\"alice\",\"pass\":\"a\"}\r\nPUB x 0\r\n\r\nPING\r\n",
             "PONG\r\n"},
            {"wrong", "CONNECT {\"user\":\"guest\",\"pass\":\"x\"}\r\n", "-ERR 'Authorization Violation'\r\n",
             ClosedReason::kAuthenticationViolation},
        });
}

TEST(Session, AnNkeyUserSignsTheNonce) {
  Options options;
  options.users = {User{"", "", "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"}};
  // The nonce of these tests is bm5ubm5ubm5ubm4; signed with the seed 00 01 .. 1f by tests/interop/nkeys.py.
  constexpr std::string_view kSigned =
      "qae6R0qF71ophHVY2CYoBlAoeYn6jxFiWvI4BgB_YBxWbyQrMD2Xh9cy5m41LwBg_cwrbbgXF5Pyw2_rSvkbAQ";
  const std::string connect =
      "CONNECT {\"nkey\":\"" + options.users[0].nkey + "\",\"sig\":\"" + std::string(kSigned) + "\"}\r\n";
  Check(options, {{"signed", connect, "+OK\r\n"},
                  {"not signed", "CONNECT {\"nkey\":\"" + options.users[0].nkey + "\"}\r\n",
                   "-ERR 'Authorization Violation'\r\n", ClosedReason::kAuthenticationViolation}});
}

// ---- permissions ---------------------------------------------------------------------------------------------------

class Permitted : public testing::Test {
 protected:
  Permitted() {
    Permissions alice;
    alice.publish.emplace().allow.emplace().push_back("req.>");
    alice.publish->deny.emplace().push_back("req.no");
    std::vector<SubscribeEntry>& deny = alice.subscribe.emplace().deny.emplace();
    deny.resize(2);
    deny[0].subject = "d.secret";
    deny[1].subject = "q.*";
    deny[1].queue = "no";
    Permissions service;
    service.publish.emplace().allow.emplace();
    service.response.emplace().max = 2;
    service.response->expires = std::chrono::minutes(1);
    options.users.resize(3);
    options.users[0].user = "alice";
    options.users[0].permissions = alice;
    options.users[1].user = "service";
    options.users[1].permissions = service;
    options.users[2].user = "root";
    for (User& user : options.users) user.password = user.user.substr(0, 1);
  }
  Sessions::Client& Login(Sessions* sessions, std::string_view user) {
    Sessions::Client& client = sessions->Connect();
    client.Say("CONNECT {\"verbose\":false,\"user\":\"" + std::string(user) + "\",\"pass\":\"" +
               std::string(user.substr(0, 1)) + "\"}\r\n");
    client.Hear();
    return client;
  }
  Options options;
};

TEST_F(Permitted, PublishAndSubscribeAreCheckedAndTheTextQuotes) {
  Sessions sessions(1, options);
  Sessions::Client& alice = Login(&sessions, "alice");
  EXPECT_EQ(alice.Ask("PUB req.a 0\r\n\r\nPING\r\n"), "PONG\r\n");
  for (const std::string_view subject : {"req", "req.no", "other"}) {
    for (int i = 0; i < 2; ++i) {  // the second answer comes from the session's cache
      EXPECT_EQ(alice.Ask("PUB " + std::string(subject) + " 0\r\n\r\n"),
                "-ERR 'Permissions Violation for Publish to \"" + std::string(subject) + "\"'\r\n");
    }
  }
  EXPECT_EQ(alice.Ask("PUB a\"b 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"a\\\"b\"'\r\n");
  EXPECT_EQ(alice.Ask("SUB d.secret 1\r\n"), "-ERR 'Permissions Violation for Subscription to \"d.secret\"'\r\n");
  EXPECT_EQ(alice.Ask("SUB q.x no 2\r\n"),
            "-ERR 'Permissions Violation for Subscription to \"q.x\" using queue \"no\"'\r\n");
  EXPECT_EQ(alice.session().subscription_count(), 0u);
}

TEST_F(Permitted, AWildcardOverADeniedSubjectIsFiltered) {
  Sessions sessions(1, options);
  Sessions::Client& alice = Login(&sessions, "alice");
  Sessions::Client& root = Login(&sessions, "root");
  alice.Say("SUB d.* 1\r\n");
  root.Say("PUB d.secret 0\r\n\r\nPUB d.open 0\r\n\r\n");
  EXPECT_EQ(alice.Hear(), "MSG d.open 1 0\r\n\r\n");
}

TEST_F(Permitted, AResponseMayBeSentAsOftenAndAsLongAsAllowed) {
  Sessions sessions(1, options);
  Sessions::Client& service = Login(&sessions, "service");
  Sessions::Client& root = Login(&sessions, "root");
  service.Say("SUB svc 1\r\n");
  const auto refused = [](std::string_view subject) {
    return "-ERR 'Permissions Violation for Publish to \"" + std::string(subject) + "\"'\r\n";
  };
  EXPECT_EQ(service.Ask("PUB in.1 0\r\n\r\n"), refused("in.1"));
  root.Say("PUB svc in.1 0\r\n\r\n");
  EXPECT_EQ(service.Hear(), "MSG svc 1 in.1 0\r\n\r\n");
  EXPECT_EQ(service.Ask("PUB in.1 0\r\n\r\nPUB in.1 0\r\n\r\n"), "");
  EXPECT_EQ(service.Ask("PUB in.1 0\r\n\r\n"), refused("in.1"));
  root.Say("PUB svc in.2 0\r\n\r\n");
  sessions.Advance(std::chrono::minutes(1) + Nanos{1});
  EXPECT_EQ(service.Ask("PUB in.2 0\r\n\r\n"), refused("in.2"));
}

TEST_F(Permitted, AReloadTakesPermissionsAndUsersAway) {
  Sessions sessions(1, options);
  Sessions::Client& alice = Login(&sessions, "alice");
  Sessions::Client& root = Login(&sessions, "root");
  alice.Say("SUB a 1\r\nSUB b 2\r\n");
  Options next = options;
  next.users[0].permissions->subscribe->deny->push_back({"b", {}});
  next.users.pop_back();
  sessions.SetConfig(next);
  alice.session().OnConfigChanged(true, false);
  root.session().OnConfigChanged(true, false);
  EXPECT_EQ(alice.Hear(), "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'\r\n");
  EXPECT_EQ(alice.session().subscription_count(), 1u);
  EXPECT_EQ(alice.session().principal().user(), "alice");
  EXPECT_FALSE(alice.session().principal().unrestricted());
  EXPECT_EQ(root.Hear(), "");  // as in the peer, whose user is gone is told nothing
  EXPECT_EQ(root.closed, ClosedReason::kClientClosed);
}

// A trace is published with the rights of who asks for it.
TEST_F(Permitted, ATraceGoesOnlyWhereItsPublisherMayPublish) {
  Sessions sessions(1, options);
  Sessions::Client& alice = Login(&sessions, "alice");
  Sessions::Client& root = Login(&sessions, "root");
  alice.Say("CONNECT {\"verbose\":false,\"headers\":true,\"user\":\"alice\",\"pass\":\"a\"}\r\n");
  root.Say("SUB > 1\r\n").Hear();
  const auto traced = [](std::string_view dest) {
    const std::string headers = "NATS/1.0\r\nNats-Trace-Dest: " + std::string(dest) + "\r\n\r\n";
    const std::string bytes = std::to_string(headers.size());
    return "HPUB req.a " + bytes + " " + bytes + "\r\n" + headers + "\r\n";
  };
  for (const std::string_view no : {"req.no", "other"}) {
    EXPECT_EQ(alice.Ask(traced(no)), "-ERR 'Permissions Violation for Publish to \"" + std::string(no) + "\"'\r\n");
    EXPECT_EQ(root.Hear(), "") << no;
  }
  EXPECT_EQ(alice.Ask(traced("req.trace")), "");
  const std::string heard = root.Hear();
  EXPECT_NE(heard.find("MSG req.a 1 "), std::string::npos) << heard;
  EXPECT_NE(heard.find("MSG req.trace 1 "), std::string::npos) << heard;
}

// Who said nothing is from then on who it became; another no_auth_user is for others.
TEST(Session, AReloadLooksAtThoseWhoSaidNothing) {
  enum class Next { kSame, kOther, kNobody, kNoUsers };
  for (const Next next : {Next::kSame, Next::kOther, Next::kNobody, Next::kNoUsers}) {
    for (const bool with_connect : {false, true}) {
      Options options;
      options.users = {User{"guest", "g"}, User{"other", "o"}};
      options.no_auth_user = "guest";
      Sessions sessions(1, options);
      Sessions::Client& client = sessions.Connect();
      client.Say(with_connect ? "CONNECT {}\r\nSUB x 1\r\n" : "SUB x 1\r\n").Hear();
      EXPECT_EQ(client.session().principal().user(), "guest");
      if (next == Next::kOther) options.no_auth_user = "other";
      if (next == Next::kNobody) options.no_auth_user.clear();
      if (next == Next::kNoUsers) options.users.clear(), options.no_auth_user.clear();
      sessions.SetConfig(options);
      client.session().OnConfigChanged(true, false);
      EXPECT_EQ(client.closed.has_value(), next == Next::kNoUsers);
      if (next == Next::kNoUsers) {
        EXPECT_EQ(client.Hear(), "");
        continue;
      }
      EXPECT_EQ(client.session().principal().user(), "guest");
      EXPECT_EQ(client.Ask("PUB x 0\r\n\r\nPING\r\n"), "+OK\r\nMSG x 1 0\r\n\r\nPONG\r\n");
      client.session().Invariant();
    }
  }
}

// ---- keep-alive ----------------------------------------------------------------------------------------------------

TEST(Session, PingsAQuietClientAndGivesItUp) {
  Options options;
  options.ping_interval = std::chrono::minutes(2);
  options.ping_max = 2;
  Sessions sessions(1, options);
  Sessions::Client& client = sessions.Connect();
  client.Say(kQuiet).Say("PONG\r\n").Hear();
  for (int i = 0; i < 2; ++i) {
    sessions.Advance(options.ping_interval);
    client.session().OnKeepAliveTimer();
    EXPECT_FALSE(client.closed.has_value());
    EXPECT_EQ(client.Hear(), "PING\r\n");
  }
  sessions.Advance(options.ping_interval);
  client.session().OnKeepAliveTimer();
  EXPECT_TRUE(client.closed.has_value());
  EXPECT_EQ(client.Hear(), "-ERR 'Stale Connection'\r\n");
  EXPECT_EQ(client.closed, ClosedReason::kStaleConnection);
  EXPECT_EQ(sessions.shards()[0].counters.stale_connections.Get(), 1u);
}

// The first PING comes however busy the client is, and however long the machine has been up.
TEST(Session, TheFirstPingComesToEveryClient) {
  for (const Nanos start : {Nanos{0}, Nanos{1}, Nanos{std::chrono::seconds(1)}, Nanos{std::chrono::hours(1)},
                            Nanos{std::chrono::hours(400 * 24)}}) {
    Sessions sessions(1, {}, start);
    Sessions::Client& client = sessions.Connect();
    client.Say(kQuiet).Hear();
    sessions.Advance(std::chrono::seconds(2));
    EXPECT_EQ(client.Ask("PUB x 0\r\n\r\n"), "");
    client.session().OnKeepAliveTimer();
    EXPECT_FALSE(client.closed.has_value());
    EXPECT_EQ(client.Hear(), "PING\r\n") << start.count();
    sessions.Advance(std::chrono::milliseconds(3));
    client.Say("PONG\r\n");
    EXPECT_EQ(client.Describe().rtt_ns, 3'000'000);
  }
}

TEST(Session, APongForgivesAllPings) {
  Options options;
  Sessions sessions(1, options);
  Sessions::Client& client = sessions.Connect();
  client.Say(kQuiet).Hear();
  for (int i = 0; i < 10; ++i) {
    sessions.Advance(options.ping_interval);
    client.session().OnKeepAliveTimer();
    EXPECT_FALSE(client.closed.has_value());
    EXPECT_EQ(client.Hear(), "PING\r\n");
    sessions.Advance(std::chrono::milliseconds(3));
    client.Say("PONG\r\n");
    EXPECT_EQ(client.Describe().rtt_ns, 3'000'000);
  }
}

TEST(Session, ABusyClientIsNotPinged) {
  Options options;
  Sessions sessions(1, options);
  Sessions::Client& client = sessions.Connect();
  client.Say(kQuiet).Hear();
  sessions.Advance(options.ping_interval);
  client.session().OnKeepAliveTimer();  // the first measures the round trip
  client.Say("PONG\r\n").Hear();
  sessions.Advance(options.ping_interval);
  client.Say("PUB x 0\r\n\r\n");
  client.session().OnKeepAliveTimer();
  EXPECT_FALSE(client.closed.has_value());
  EXPECT_EQ(client.Hear(), "");
}

// However busy it is, its round trip is measured once an hour.
TEST(Session, ABusyClientIsPingedOnceAnHour) {
  Options options;
  options.ping_interval = std::chrono::minutes(2);
  Sessions sessions(1, options);
  Sessions::Client& client = sessions.Connect();
  client.Say(kQuiet).Hear();
  int pings = 0;
  for (int minute = 0; minute < 3 * 60; ++minute) {
    client.session().OnKeepAliveTimer();
    const std::string heard = client.Hear();
    if (heard == "PING\r\n") ++pings, client.Say("PONG\r\n");
    sessions.Advance(std::chrono::minutes(1));
    client.Say("PUB x 0\r\n\r\n");
  }
  EXPECT_EQ(pings, 3);
  EXPECT_FALSE(client.closed.has_value());
}

// ---- log -----------------------------------------------------------------------------------------------------------

TEST(Session, ATracedConnectHidesItsSecrets) {
  Options options;
  options.trace = true;
  Sessions sessions(1, options);
  sessions.Connect().Say(
      "CONNECT {\"user\":\"u\",\"pass\":\"top\\\"secret\",\"auth_token\":\"hidden\",\"name\":\"shown\"}\r\nPUB x "
      "2\r\nhi\r\n");
  std::string all;
  for (const std::string& line : sessions.log()) all += line + "\n";
  EXPECT_EQ(all.find("secret"), std::string::npos) << all;
  EXPECT_EQ(all.find("hidden"), std::string::npos) << all;
  EXPECT_NE(all.find("shown"), std::string::npos) << all;
  EXPECT_NE(all.find("<<- [PUB x 2]"), std::string::npos) << all;
  EXPECT_NE(all.find("<<- MSG_PAYLOAD: [\"hi\"]"), std::string::npos) << all;
}

}  // namespace
}  // namespace millrace
