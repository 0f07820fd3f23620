// SPDX-License-Identifier: Apache-2.0
// Goal:   each account has a JetStream of its own: names, subjects, limits, counts, advisories; what one does is not
//         seen by another; streams of an account without JetStream are kept until it has it again (spec J-02, G-65).
// Method: the engine with two accounts that use the same names. tests/interop/js_accounts.py asks nats-server the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/engine/pages.h"
#include "tests/jetstream/requests.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr AccountId kA = 2;
constexpr AccountId kB = 3;
constexpr AccountId kBare = 4;  // without JetStream

EngineAccount Named(AccountId id, const std::string& name, const AccountJetStream& jetstream) {
  return {{.id = id, .name = name, .jetstream = jetstream}};
}

JetStreamEngineOptions Accounts(const AccountJetStream& a = UnlimitedJetStream(),
                                const AccountJetStream& b = UnlimitedJetStream()) {
  JetStreamEngineOptions options;
  options.server_name = "here";
  options.memory_max = options.storage_max = int64_t{1} << 40;
  options.accounts = {Named(kGlobalAccount, "$G", {}), Named(kSystemAccount, "$SYS", {}), Named(kA, "A", a),
                      Named(kB, "B", b), Named(kBare, "BARE", {})};
  options.system_account = kSystemAccount;
  return options;
}

AccountJetStream Flat(const JetStreamAccountLimits& limits) { return {true, {{"", limits}}}; }

class In {
 public:
  In(EngineHarness& js, AccountId account) : js_(js), before_(js.account) { js.account = account; }
  ~In() { js_.account = before_; }

 private:
  EngineHarness& js_;
  const AccountId before_;
};

std::string Ask(EngineHarness& js, AccountId account, std::string_view subject, std::string_view body = "") {
  const In in(js, account);
  return js.Request(subject, body);
}

std::string Make(EngineHarness& js, AccountId account, const std::string& name, const std::string& more = "") {
  const In in(js, account);
  return CreateStream(js, name, more);
}

StreamLogState Look(EngineHarness& js, AccountId account, std::string_view stream) {
  const In in(js, account);
  return StateOf(js, stream);
}

std::string Error(int code, int err_code, const std::string& description) {
  return "\"error\":{\"code\":" + std::to_string(code) + ",\"err_code\":" + std::to_string(err_code) +
         ",\"description\":\"" + description + "\"}";
}

TEST(JetStreamAccounts, TheSameNamesAndSubjectsDoNotMeet) {
  EngineHarness js(Accounts());
  for (const AccountId account : {kA, kB})
    EXPECT_THAT(Make(js, account, "S", R"(,"subjects":["s.>"])"), HasSubstr("did_create"));
  EXPECT_THAT(Make(js, kA, "T", R"(,"subjects":["s.1"])"), HasSubstr("10065")) << "within one they do";
  EXPECT_EQ(Ask(js, kA, "s.1", "x"), R"({"stream":"S","seq":1})");
  EXPECT_EQ(Ask(js, kA, "s.1", "y"), R"({"stream":"S","seq":2})");
  EXPECT_EQ(Ask(js, kB, "s.1", "z"), R"({"stream":"S","seq":1})");
  EXPECT_EQ(Ask(js, kBare, "s.1", "z"), "no responders");
  EXPECT_EQ(Look(js, kA, "S").messages, 2u);
  EXPECT_EQ(Look(js, kB, "S").messages, 1u);

  // Consumers, and their acknowledgements.
  EngineHarness::Client a(js, 5, kA);
  EngineHarness::Client b(js, 6, kB);
  for (const AccountId account : {kA, kB}) {
    EXPECT_THAT(Ask(js, account, "$JS.API.CONSUMER.CREATE.S.C",
                    R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}})"),
                HasSubstr(R"("stream_name":"S")"));
  }
  a.Subscribe("in");
  b.Subscribe("in");
  {
    const In in(js, kA);
    js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":2})", "in");
    js.Settle();
  }
  const auto got = a.Take();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(b.Take().empty());
  EXPECT_EQ(Ask(js, kB, got[0].reply, "+ACK"), "") << "taken for another message, of another stream";
  EXPECT_THAT(Ask(js, kA, "$JS.API.CONSUMER.INFO.S.C"), HasSubstr(R"("num_ack_pending":2)"));
  Ask(js, kA, got[0].reply, "+ACK");
  EXPECT_THAT(Ask(js, kA, "$JS.API.CONSUMER.INFO.S.C"), HasSubstr(R"("num_ack_pending":1)"));
  // The second form of these subjects names the account by its hash.
  const std::string rest = got[1].reply.substr(std::string("$JS.ACK.").size());
  EXPECT_EQ(Ask(js, kA, "$JS.ACK._." + ShortHash("B") + "." + rest + ".x", "+ACK"), "no responders");
  EXPECT_EQ(Ask(js, kA, "$JS.ACK._." + ShortHash("A") + "." + rest + ".x", "+ACK"), "");
  EXPECT_THAT(Ask(js, kA, "$JS.API.CONSUMER.INFO.S.C"), HasSubstr(R"("num_ack_pending":0)"));

  EXPECT_THAT(Ask(js, kA, "$JS.API.STREAM.DELETE.S"), HasSubstr("success"));
  EXPECT_THAT(Ask(js, kA, "$JS.API.STREAM.NAMES"), HasSubstr(R"("total":0)"));
  EXPECT_THAT(Ask(js, kB, "$JS.API.STREAM.NAMES"), HasSubstr(R"("streams":["S"])"));
  EXPECT_EQ(Look(js, kB, "S").messages, 1u);
}

TEST(JetStreamAccounts, MirrorsAndSourcesReadTheirOwn) {
  EngineHarness js(Accounts());
  for (const AccountId account : {kA, kB}) {
    Make(js, account, "O", R"(,"subjects":["o.>"])");
    Ask(js, account, "o.1", account == kA ? "of a" : "of b");
  }
  Make(js, kA, "M", R"(,"mirror":{"name":"O"})");
  Make(js, kB, "M", R"(,"sources":[{"name":"O"}])");
  js.Settle();
  {
    const In in(js, kA);
    EXPECT_EQ(At(js, "M", 1).body, "of a");
  }
  const In in(js, kB);
  EXPECT_EQ(At(js, "M", 1).body, "of b");
  EXPECT_EQ(StateOf(js, "M").messages, 1u);
}

TEST(JetStreamAccounts, OneWithoutJetStreamIsToldSo) {
  EngineHarness js(Accounts());
  const std::string no = Error(503, 10039, "JetStream not enabled for account");
  const std::string type = R"({"type":"io.nats.jetstream.api.v1.)";
  EXPECT_EQ(Ask(js, kBare, "$JS.API.INFO"), type + "account_info_response\"," + no + "}");
  EXPECT_EQ(Make(js, kBare, "S"), type + "stream_create_response\"," + no + "}");
  EXPECT_EQ(Ask(js, kBare, "$JS.API.STREAM.NAMES"),
            type + "stream_names_response\"," + no + R"(,"total":0,"offset":0,"limit":0,"streams":null})");
  EXPECT_EQ(Ask(js, kBare, "$JS.API.CONSUMER.INFO.S.C"), type + "consumer_info_response\"," + no + "}");
  EXPECT_EQ(Ask(js, kBare, "$JS.API.CONSUMER.MSG.NEXT.S.C"), "no responders");
  // The system account has none either.
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.INFO"), type + "account_info_response\"," + no + "}");
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.STREAM.NAMES"), type + "system_response\"," + no + "}");
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.WHATEVER"), type + "system_response\"," + no + "}");
  // Nothing of that is counted.
  EXPECT_EQ(js.engine().api_counts().requests, 0u);
  EXPECT_EQ(js.engine().api_counts().errors, 0u);
}

TEST(JetStreamAccounts, AnImportMayAnswerForOne) {
  JetStreamEngineOptions options = Accounts();
  options.accounts.back().answers_api = false;
  EngineHarness js(options);
  EXPECT_EQ(Ask(js, kBare, "$JS.API.INFO"), "no responders");
  js.engine().SetOptions(Accounts());
  EXPECT_THAT(Ask(js, kBare, "$JS.API.INFO"), HasSubstr("10039"));
  js.engine().SetOptions(options);
  EXPECT_EQ(Ask(js, kBare, "$JS.API.INFO"), "no responders");
}

TEST(JetStreamAccounts, DomainsAreAskedInEach) {
  JetStreamEngineOptions options = Accounts();
  options.domain = "HUB";
  options.unnamed_account = kGlobalAccount;
  EngineHarness js(options);
  EXPECT_THAT(Ask(js, kA, "$JS.HUB.API.INFO"), HasSubstr(R"("domain":"HUB")"));
  EXPECT_THAT(Ask(js, kBare, "$JS.HUB.API.INFO"), HasSubstr("10039"));
}

// ---- limits --------------------------------------------------------------------------------------------------------

class AccountLimits : public ::testing::TestWithParam<Storage> {
 protected:
  static bool memory() { return GetParam() == Storage::kMemory; }
  static std::string Kind() { return memory() ? R"(,"storage":"memory")" : R"(,"storage":"file")"; }
  static JetStreamAccountLimits Max(int64_t bytes) {
    JetStreamAccountLimits limits;
    (memory() ? limits.max_memory : limits.max_storage) = bytes;
    return limits;
  }
};

INSTANTIATE_TEST_SUITE_P(Both, AccountLimits, ::testing::Values(Storage::kFile, Storage::kMemory), [](const auto& p) {
  return p.param == Storage::kMemory ? "memory" : "file";
});

TEST_P(AccountLimits, NothingIsStoredBeyondThem) {
  EngineHarness js(Accounts(Flat(Max(10'000))));
  for (const AccountId account : {kA, kB}) {
    Make(js, account, "S", Kind() + R"(,"subjects":["s.>"])");
    Make(js, account, "T", Kind() + R"(,"subjects":["t.>"])");
  }
  const std::string body(1000, 'x');
  int stored = 0;
  std::string answer;
  for (; stored < 100; ++stored) {
    answer = Ask(js, kA, stored % 2 == 0 ? "s.1" : "t.1", body);
    if (answer.find("error") != std::string::npos) break;
  }
  const uint64_t used = js.engine().accounts()[kA].use().used(GetParam());
  const uint64_t each = used / static_cast<uint64_t>(stored);
  EXPECT_LE(used, 10'000u) << "not even the message that exceeds them";
  EXPECT_GT(used + each, 10'000u);
  const std::string stream = stored % 2 == 0 ? "S" : "T";
  EXPECT_EQ(answer, "{" + Error(400, 10002, "resource limits exceeded for account") + ",\"stream\":\"" + stream +
                        "\",\"seq\":0}");
  // What is small enough still fits, exactly; other accounts have their own limits.
  if (memory()) {  // the store without a disk counts all messages as those in memory
    const uint64_t left = 10'000 - used;
    const uint64_t overhead = each - 1000;
    EXPECT_THAT(Ask(js, kA, "s.1", std::string(left - overhead + 1, 'x')), HasSubstr("10002"));
    EXPECT_THAT(Ask(js, kA, "s.1", std::string(left - overhead, 'x')), Not(HasSubstr("error")));
    EXPECT_EQ(js.engine().accounts()[kA].use().used(GetParam()), 10'000u);
    EXPECT_THAT(Ask(js, kA, "s.1", ""), HasSubstr("10002"));
  }
  EXPECT_THAT(Ask(js, kB, "s.1", body), Not(HasSubstr("error")));
  const std::string line =
      std::string("JetStream ") + (memory() ? "memory" : "file") + " resource limits exceeded for account: \"A\"";
  EXPECT_THAT(js.log(), Contains(line));
  // Room that is made is room at once.
  Ask(js, kA, "$JS.API.STREAM.PURGE.T");
  EXPECT_THAT(Ask(js, kA, "s.1", body), Not(HasSubstr("error")));
  uint64_t all = 0;
  for (const AccountId account : {kA, kB}) all += js.engine().accounts()[account].use().used(GetParam());
  EXPECT_EQ(js.engine().storage().used(GetParam()), all);
}

TEST_P(AccountLimits, HoldForBatches) {
  EngineHarness js(Accounts(Flat(Max(10'000))));
  const In in(js, kA);
  CreateStream(js, "S", Kind() + R"(,"subjects":["s.>"],"allow_atomic":true)");
  js.Request("s.1", "x");
  std::string last;
  for (int seq = 1; seq <= 12; ++seq) {
    std::string block = Headers({{"Nats-Batch-Id", "id"}, {"Nats-Batch-Sequence", std::to_string(seq)}});
    block.resize(block.size() - 2);
    if (seq == 12) block += "Nats-Batch-Commit: 1\r\n";
    last = js.Request("s.1", std::string(1000, 'x'), block + "\r\n");
  }
  EXPECT_THAT(last, HasSubstr("10002"));
  EXPECT_EQ(StateOf(js, "S").messages, 1u) << "all of it, or nothing";
}

TEST_P(AccountLimits, AreReservedForEachAccount) {
  EngineHarness js(Accounts(Flat(Max(1000))));
  const std::string code = memory() ? "10028" : "10047";
  EXPECT_THAT(Make(js, kA, "S", Kind() + R"(,"max_bytes":1001)"), HasSubstr(code));
  EXPECT_THAT(Make(js, kA, "S", Kind() + R"(,"max_bytes":600)"), HasSubstr("did_create"));
  EXPECT_THAT(Make(js, kA, "T", Kind() + R"(,"max_bytes":401)"), HasSubstr(code));
  EXPECT_THAT(Make(js, kA, "T", Kind() + R"(,"max_bytes":400)"), HasSubstr("did_create"));
  EXPECT_THAT(Make(js, kB, "T", Kind() + R"(,"max_bytes":5000)"), HasSubstr("did_create"));
  EXPECT_THAT(Ask(js, kA, "$JS.API.STREAM.UPDATE.T", R"({"name":"T","max_bytes":401)" + Kind() + "}"),
              HasSubstr(code));
  const std::string reserved = memory() ? "reserved_memory" : "reserved_storage";
  EXPECT_THAT(Ask(js, kA, "$JS.API.INFO"), AllOf(HasSubstr("\"" + reserved + "\":1000,"), HasSubstr("\"streams\":2")));
  EXPECT_THAT(Ask(js, kB, "$JS.API.INFO"), AllOf(HasSubstr("\"" + reserved + "\":5000,"), HasSubstr("\"streams\":1")));
  EXPECT_THAT(Ask(js, kA, "$JS.API.STREAM.DELETE.S"), HasSubstr("success"));
  EXPECT_THAT(Ask(js, kA, "$JS.API.INFO"), HasSubstr("\"" + reserved + "\":400,"));
}

TEST_P(AccountLimits, StreamsMayHaveToBeBounded) {
  JetStreamAccountLimits limits;
  limits.max_bytes_required = true;
  (memory() ? limits.memory_max_stream_bytes : limits.storage_max_stream_bytes) = 500;
  EngineHarness js(Accounts(Flat(limits)));
  EXPECT_THAT(Make(js, kA, "S", Kind()),
              HasSubstr(Error(400, 10113, "account requires a stream config to have max bytes set")));
  EXPECT_THAT(Make(js, kA, "S", Kind() + R"(,"max_bytes":501)"),
              HasSubstr(Error(400, 10122, "stream max bytes exceeds account limit max stream bytes")));
  EXPECT_THAT(Make(js, kA, "S", Kind() + R"(,"max_bytes":500)"), HasSubstr("did_create"));
  EXPECT_THAT(Make(js, kB, "S", Kind()), HasSubstr("did_create"));
}

TEST(JetStreamAccounts, NumbersOfStreamsAndConsumersAreLimited) {
  JetStreamAccountLimits limits;
  limits.max_streams = 2;
  limits.max_consumers = 1;
  limits.max_ack_pending = 10;
  EngineHarness js(Accounts(Flat(limits)));
  for (const AccountId account : {kA, kB}) {
    const bool limited = account == kA;
    for (const std::string name : {"S", "T"}) EXPECT_THAT(Make(js, account, name), HasSubstr("did_create"));
    EXPECT_THAT(Make(js, account, "S"), Not(HasSubstr("error"))) << "it is there already";
    EXPECT_THAT(Make(js, account, "U"),
                HasSubstr(limited ? Error(400, 10027, "maximum number of streams reached") : "did_create"));
    const auto consumer = [&](const std::string& name, const std::string& more) {
      return Ask(js, account, "$JS.API.CONSUMER.CREATE.S." + name,
                 R"({"stream_name":"S","config":{"name":")" + name + R"(","ack_policy":"explicit")" + more + "}}");
    };
    EXPECT_THAT(consumer("P", R"(,"max_ack_pending":11)"),
                HasSubstr(limited ? Error(400, 10121, "consumer max ack pending exceeds system limit of 10")
                                  : R"("max_ack_pending":11)"));
    EXPECT_THAT(consumer("C", ""), HasSubstr(limited ? R"("max_ack_pending":10,)" : R"("max_ack_pending":1000,)"));
    EXPECT_THAT(consumer("D", ""),
                HasSubstr(limited ? Error(400, 10026, "maximum consumers limit reached") : R"("name":"D")"));
  }
  EXPECT_THAT(Make(js, kA, "S", R"(,"max_consumers":2)"), HasSubstr("10026"));
}

TEST(JetStreamAccounts, TiersAreByReplicas) {
  JetStreamAccountLimits r1;
  r1.max_storage = 1000;
  r1.max_streams = 1;
  JetStreamAccountLimits r3;
  r3.max_storage = 5000;
  EngineHarness js(Accounts({true, {{"R1", r1}, {"R3", r3}}}, {true, {{"R3", r3}}}));
  EXPECT_THAT(Make(js, kB, "S"),
              HasSubstr(Error(400, 10120, "no JetStream default or applicable tiered limit present")));
  EXPECT_THAT(Make(js, kA, "S", R"(,"max_bytes":1001)"), HasSubstr("10047"));
  EXPECT_THAT(Make(js, kA, "S", R"(,"max_bytes":700,"subjects":["s"])"), HasSubstr("did_create"));
  EXPECT_THAT(Make(js, kA, "T"), HasSubstr("10027"));
  EXPECT_THAT(Make(js, kA, "T", R"(,"num_replicas":3)"), HasSubstr("10074")) << "another tier, not full";
  EXPECT_THAT(Make(js, kA, "T", R"(,"num_replicas":2)"), HasSubstr("10120"));
  Ask(js, kA, "s", "x");
  const uint64_t used = js.engine().accounts()[kA].use().used(Storage::kFile);
  const AccountInfo info = js.engine().Usage(js.engine().accounts()[kA]);
  EXPECT_EQ(info.total.storage, used);
  EXPECT_EQ(info.total.streams, 1);
  EXPECT_EQ(info.total.reserved_storage, 700u);
  EXPECT_EQ(info.total.limits.max_storage, 0);
  ASSERT_EQ(info.tiers.size(), 2u);
  EXPECT_EQ(info.tiers.at("R1").storage, used);
  EXPECT_EQ(info.tiers.at("R1").streams, 1);
  EXPECT_EQ(info.tiers.at("R1").limits, r1);
  EXPECT_EQ(info.tiers.at("R3").storage, 0u);
  EXPECT_EQ(info.tiers.at("R3").limits, r3);
}

// ---- what is told --------------------------------------------------------------------------------------------------

TEST(JetStreamAccounts, AdvisoriesStayInTheAccount) {
  EngineHarness js(Accounts());
  EngineHarness::Client a(js, 5, kA);
  EngineHarness::Client b(js, 6, kB);
  EngineHarness::Client system(js, 7, kSystemAccount);
  for (EngineHarness::Client* client : {&a, &b, &system}) client->Subscribe("$JS.EVENT.>");
  Make(js, kA, "S");
  const auto of_a = a.Take();
  ASSERT_EQ(of_a.size(), 2u);
  EXPECT_EQ(of_a[0].subject, "$JS.EVENT.ADVISORY.API");
  EXPECT_THAT(of_a[0].body, HasSubstr(R"("acc":"A")"));
  EXPECT_EQ(of_a[1].subject, "$JS.EVENT.ADVISORY.STREAM.CREATED.S");
  EXPECT_TRUE(b.Take().empty());
  EXPECT_TRUE(system.Take().empty());
  // What concerns the server is told to its own account.
  js.engine().OnStorage(StorageState::kFull, "full");
  js.Settle();
  EXPECT_TRUE(a.Take().empty());
  EXPECT_EQ(system.Take().size(), 1u);
}

TEST(JetStreamAccounts, RequestsAreCountedForEach) {
  EngineHarness js(Accounts());
  Ask(js, kA, "$JS.API.STREAM.NAMES");
  Ask(js, kA, "$JS.API.STREAM.INFO.NONE");
  Ask(js, kB, "$JS.API.STREAM.NAMES");
  EXPECT_THAT(Ask(js, kA, "$JS.API.INFO"), HasSubstr(R"("total":2,"errors":1)"));
  EXPECT_THAT(Ask(js, kB, "$JS.API.INFO"), HasSubstr(R"("total":1,"errors":0)"));
  EXPECT_EQ(js.engine().api_counts().requests, 5u);
  EXPECT_EQ(js.engine().api_counts().errors, 1u);
}

TEST(JetStreamAccounts, PagesShowEach) {
  JetStreamAccountLimits limits;
  limits.max_memory = 123;
  limits.max_storage = 456;
  EngineHarness js(Accounts(Flat(limits)));
  Make(js, kA, "S", R"(,"subjects":["s"],"max_bytes":300)");
  Make(js, kB, "S", R"(,"subjects":["s"])");
  Make(js, kB, "T");
  Ask(js, kB, "s", "x");
  const JetStreamPages pages(js.engine());
  const auto page = [&](const std::string& query) {
    JszSnapshot jsz;
    pages.FillJsz(*ParseJszParams(HttpTarget("/jsz?" + query)), &jsz);
    return jsz;
  };
  JszSnapshot all = page("streams=1");
  EXPECT_EQ(all.total, 2);
  EXPECT_EQ(all.server.stats.accounts, 2);
  EXPECT_EQ(all.streams, 3);
  EXPECT_EQ(all.server.stats.reserved_storage, 300u);
  ASSERT_EQ(all.accounts.size(), 2u);
  EXPECT_EQ(all.accounts[0].name, "A");
  EXPECT_EQ(all.accounts[0].streams.size(), 1u);
  EXPECT_EQ(all.accounts[0].reserved_memory, 123u);
  EXPECT_EQ(all.accounts[0].reserved_storage, 456u);
  EXPECT_EQ(all.accounts[0].storage, 0u);
  EXPECT_EQ(all.accounts[1].name, "B");
  EXPECT_EQ(all.accounts[1].streams.size(), 2u);
  EXPECT_EQ(all.accounts[1].reserved_storage, UINT64_MAX);
  EXPECT_GT(all.accounts[1].storage, 0u);
  JszSnapshot one = page("acc=B&streams=1");
  ASSERT_EQ(one.accounts.size(), 1u);
  EXPECT_EQ(one.accounts[0].name, "B");
  EXPECT_EQ(page("accounts=1&offset=1").accounts.at(0).name, "B");
  JetStreamHealth health;
  pages.FillHealth(*ParseHealthzParams(HttpTarget("/healthz?account=A&stream=T")), &health);
  EXPECT_TRUE(health.account_found);
  EXPECT_FALSE(health.stream_found);
}

// ---- with JetStream, without it, with it again ---------------------------------------------------------------------

TEST(JetStreamAccounts, StreamsOfOneThatLosesItAreKept) {
  EngineHarness js(Accounts());
  Make(js, kA, "S", R"(,"subjects":["s.>"],"max_bytes":5000)");
  Make(js, kA, "C", R"(,"sources":[{"name":"S"}])");
  Make(js, kB, "S", R"(,"subjects":["s.>"])");
  Ask(js, kA, "$JS.API.CONSUMER.CREATE.S.C",
      R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}})");
  for (int i = 1; i <= 3; ++i) {
    const In in(js, kA);
    js.Request("s.1", "m" + std::to_string(i), Headers({{"Nats-Msg-Id", "id" + std::to_string(i)}}));
  }
  EngineHarness::Client a(js, 5, kA);
  a.Subscribe("in");
  const auto pull = [&] {
    const In in(js, kA);
    js.Publish("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":1,"no_wait":true})", "in");
    js.Settle();
    return a.Take();
  };
  auto got = pull();
  ASSERT_EQ(got.size(), 1u);
  Ask(js, kA, got[0].reply, "+ACK");
  const uint64_t used = js.engine().storage().used(Storage::kFile);

  js.engine().SetOptions(Accounts({}));
  js.Settle();
  EXPECT_THAT(Ask(js, kA, "$JS.API.STREAM.INFO.S"), HasSubstr("10039"));
  EXPECT_EQ(Ask(js, kA, "s.1", "lost"), "no responders");
  EXPECT_EQ(Ask(js, kA, got[0].reply, "+ACK"), "no responders");
  EXPECT_EQ(js.engine().directory().kept(), 2u);
  EXPECT_EQ(js.engine().streams().size(), 1u);
  EXPECT_LT(js.engine().storage().used(Storage::kFile), used) << "what is not served counts for nobody";
  EXPECT_EQ(js.engine().directory().reserved(Storage::kFile), 0);
  EXPECT_THAT(js.log(), Contains("JetStream: account 'A' has it no more, 2 streams are kept, and not served"));
  EXPECT_EQ(Ask(js, kB, "s.1", "x"), R"({"stream":"S","seq":1})");

  js.engine().SetOptions(Accounts());
  js.Settle();
  EXPECT_EQ(js.engine().directory().kept(), 0u);
  EXPECT_EQ(Look(js, kA, "S").messages, 3u);
  EXPECT_EQ(js.engine().directory().reserved(Storage::kFile), 5000);
  got = pull();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].body, "m2") << "the consumer goes on where it was";
  {
    const In in(js, kA);
    EXPECT_THAT(js.Request("s.1", "m3", Headers({{"Nats-Msg-Id", "id3"}})), HasSubstr(R"("duplicate": true)"));
  }
  EXPECT_EQ(Ask(js, kA, "s.1", "m4"), R"({"stream":"S","seq":4})");
  js.Settle();
  EXPECT_EQ(Look(js, kA, "C").messages, 4u) << "each message was copied once";
  EXPECT_THAT(Make(js, kA, "X", R"(,"subjects":["s.2"])"), HasSubstr("10065"));
}

TEST(JetStreamAccounts, LimitsMayChange) {
  EngineHarness js(Accounts());
  Make(js, kA, "S", R"(,"subjects":["s.>"])");
  for (int i = 0; i < 10; ++i) Ask(js, kA, "s.1", std::string(1000, 'x'));
  JetStreamAccountLimits limits;
  limits.max_storage = 5000;
  js.engine().SetOptions(Accounts(Flat(limits)));
  EXPECT_THAT(Ask(js, kA, "s.1", "x"), HasSubstr("10002"));
  EXPECT_EQ(Look(js, kA, "S").messages, 10u) << "what is there stays";
  EXPECT_THAT(Ask(js, kA, "$JS.API.INFO"), HasSubstr(R"("max_storage":5000)"));
  js.engine().SetOptions(Accounts());
  EXPECT_THAT(Ask(js, kA, "s.1", "x"), Not(HasSubstr("error")));
}

TEST(JetStreamAccounts, StreamsAtRestAreKeptToo) {
  JetStreamEngineOptions options = Accounts();
  options.streams = StreamTableOptions{0, Nanos{0}};
  EngineHarness js(options);
  for (const AccountId account : {kA, kB}) {
    Make(js, account, "S", R"(,"subjects":["s.>"])");
    Ask(js, account, "s.1", account == kA ? "a" : "b");
  }
  EXPECT_EQ(js.engine().streams().resting(), 2u);
  JetStreamEngineOptions without = options;
  without.accounts[kA].account.jetstream = {};
  js.engine().SetOptions(without);
  js.Settle();
  EXPECT_EQ(js.engine().directory().kept(), 1u);
  EXPECT_EQ(Ask(js, kB, "s.1", "b2"), R"({"stream":"S","seq":2})");
  js.engine().SetOptions(options);
  js.Settle();
  EXPECT_EQ(Ask(js, kA, "s.1", "a2"), R"({"stream":"S","seq":2})");
}

// What an account's stream is in the store, and what a start makes of it.
TEST(JetStreamAccounts, AStartKnowsWhoseTheyAre) {
  std::string stored;
  std::string unnamed;
  {
    EngineHarness js(Accounts(UnlimitedJetStream(), {}));
    Make(js, kA, "S", R"(,"subjects":["s.>"],"description":"a } \" in it")");
    ASSERT_EQ(js.store().configs.size(), 1u);
    stored = js.store().configs.begin()->second;
    EXPECT_THAT(stored, ::testing::EndsWith("} A"));
    unnamed = stored.substr(0, stored.size() - 2);
  }
  EngineHarness::Setting setting;
  setting.before = [&](VolatileStore& store) {
    uint64_t uid = 0;
    for (const std::string& config : {stored, unnamed, stored + " of } old", std::string("garbage")}) {
      Lsn lsn = 0;
      store.CreateStream(config, {}, &lsn);
      store.recovered().streams.emplace_back().uid = ++uid;
      store.recovered().streams.back().config = config;
    }
  };
  JetStreamEngineOptions options = Accounts();
  options.accounts[kGlobalAccount].account.jetstream = UnlimitedJetStream();
  {
    EngineHarness js(options, setting);
    EXPECT_EQ(Ask(js, kA, "s.1", "x"), R"({"stream":"S","seq":1})");
    EXPECT_EQ(Ask(js, kGlobalAccount, "s.1", "x"), R"({"stream":"S","seq":1})") << "one of an earlier version";
    EXPECT_EQ(Ask(js, kB, "s.1", "x"), "no responders");
    EXPECT_EQ(js.engine().directory().kept(), 1u);
    EXPECT_THAT(js.log(),
                Contains("JetStream: account 'A of } old' is not there, 1 streams of it are kept, and not served"));
    // It comes.
    options.accounts.push_back(Named(5, "A of } old", UnlimitedJetStream()));
    js.engine().SetOptions(options);
    js.Settle();
    EXPECT_EQ(js.engine().directory().kept(), 0u);
    EXPECT_EQ(Ask(js, 5, "s.1", "x"), R"({"stream":"S","seq":1})");
    EXPECT_EQ(Ask(js, 5, "$JS.API.STREAM.UPDATE.S", R"({"name":"S","subjects":["s.>"]})").find("error"),
              std::string::npos);
    EXPECT_THAT(js.store().configs[3], ::testing::EndsWith("} A of } old"));
    // And goes for good.
    options.accounts.pop_back();
    js.engine().SetOptions(options);
    js.Settle();
    EXPECT_EQ(js.engine().directory().kept(), 1u);
    EXPECT_EQ(Ask(js, 5, "$JS.API.INFO"), "no responders");
  }
}

TEST(JetStreamAccounts, TheSystemAccountPurgesOthers) {
  EngineHarness js(Accounts());
  for (const AccountId account : {kA, kB}) {
    for (const std::string name : {"S", "T"}) Make(js, account, name);
  }
  EXPECT_EQ(Ask(js, kB, "$JS.API.ACCOUNT.PURGE.A"), "") << "nobody else may";
  EXPECT_EQ(js.engine().streams().size(), 4u);
  const std::string done = R"({"type":"io.nats.jetstream.api.v1.account_purge_response","initiated":true})";
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.ACCOUNT.PURGE.A"), done);
  EXPECT_EQ(js.engine().streams().size(kA), 0u);
  EXPECT_EQ(js.engine().streams().size(kB), 2u);
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.ACCOUNT.PURGE.NOBODY"), done);
  // Those that are put away go as well.
  js.engine().SetOptions(Accounts(UnlimitedJetStream(), {}));
  js.Settle();
  EXPECT_EQ(js.engine().directory().kept(), 2u);
  EXPECT_EQ(Ask(js, kSystemAccount, "$JS.API.ACCOUNT.PURGE.B"), done);
  EXPECT_EQ(js.engine().directory().kept(), 0u);
  EXPECT_TRUE(js.store().configs.empty());
}

TEST(JetStreamAccounts, AnAuditNamesWhoAsksThroughAnImport) {
  EngineHarness js(Accounts());
  EngineHarness::Client told(js, 7, kA);
  told.Subscribe("$JS.EVENT.ADVISORY.API");
  const In in(js, kA);
  const std::string header = "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"svc\":\"X\",\"rtt\":5}\r\n\r\n";
  const auto audit = [&] {
    js.Request("$JS.API.STREAM.NAMES", "", header);
    const auto received = told.Take();
    return received.size() == 1 ? received.front().body : "";
  };
  js.by_service = true;
  EXPECT_THAT(audit(), HasSubstr(R"("client":{"acc":"B","svc":"A","rtt":5,"server":"here"})"));
  js.by_service = false;
  EXPECT_THAT(audit(), AllOf(HasSubstr(R"("acc":"A")"), Not(HasSubstr("svc")))) << "anybody can write a header";
}

}  // namespace
}  // namespace millrace
