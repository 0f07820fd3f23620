// SPDX-License-Identifier: Apache-2.0
// Goal: what monitoring tells of JetStream equals the peer's answers to the byte.
// Method: pages recorded from nats-server 2.15.2 with four streams and five consumers, read back into snapshots;
//         probes as recorded from the same server.
#include <gtest/gtest.h>

#include "broker/monitor/service.h"
#include "tests/monitor/golden.h"

namespace millrace {
namespace {

// As the engine hands it over: compact, with Go's escapes.
std::string Compact(const Json& json) {
  std::string text;
  for (const char c : json.dump()) {
    if (c == '<' || c == '>' || c == '&') {
      text += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    } else {
      text += c;
    }
  }
  return text;
}

std::string CompactOf(const Json& json, const char* key) { return json.contains(key) ? Compact(json[key]) : ""; }

std::vector<std::string> EachOf(const Json& json, const char* key) {
  std::vector<std::string> texts;
  if (json.contains(key))
    for (const Json& each : json[key]) texts.push_back(Compact(each));
  return texts;
}

JszStream ReadStream(const Json& json) {
  JszStream stream;
  stream.name = Text(json, "name");
  stream.created_ns = ReadTime(json, "created");
  stream.cluster = CompactOf(json, "cluster");
  stream.config = CompactOf(json, "config");
  stream.state = CompactOf(json, "state");
  stream.consumers = EachOf(json, "consumer_detail");
  stream.direct_consumers = EachOf(json, "direct_consumer_detail");
  stream.mirror = CompactOf(json, "mirror");
  stream.sources = CompactOf(json, "sources");
  return stream;
}

JszSnapshot ReadJsz(const Json& json) {
  JszSnapshot jsz;
  JetStreamStats& stats = jsz.server.stats;
  stats.memory = Get<uint64_t>(json, "memory");
  stats.storage = Get<uint64_t>(json, "storage");
  stats.reserved_memory = Get<uint64_t>(json, "reserved_memory");
  stats.accounts = Get<int>(json, "accounts");
  stats.api_level = Get<int>(json["api"], "level");
  stats.api_total = Get<uint64_t>(json["api"], "total");
  stats.api_errors = Get<uint64_t>(json["api"], "errors");
  const Json& config = json["config"];
  jsz.server.config.max_memory = Int(config, "max_memory");
  jsz.server.config.max_storage = Int(config, "max_storage");
  jsz.server.config.store_dir = Text(config, "store_dir");
  jsz.server.config.sync_interval_ns = Int(config, "sync_interval");
  jsz.server.config.strict = Get<bool>(config, "strict");
  jsz.server.limits.default_max_consumers = Int(json["limits"], "default_max_consumers");
  jsz.streams = Get<int>(json, "streams");
  jsz.consumers = Get<int>(json, "consumers");
  jsz.messages = Get<uint64_t>(json, "messages");
  jsz.bytes = Get<uint64_t>(json, "bytes");
  jsz.total = Get<int>(json, "total");
  if (!json.contains("account_details")) return jsz;
  for (const Json& each : json["account_details"]) {
    JszAccount& account = jsz.accounts.emplace_back();
    account.name = Text(each, "name");
    account.id = Text(each, "id");
    account.memory = Get<uint64_t>(each, "memory");
    account.storage = Get<uint64_t>(each, "storage");
    account.api_total = Get<uint64_t>(each["api"], "total");
    account.api_errors = Get<uint64_t>(each["api"], "errors");
    if (each.contains("stream_detail"))
      for (const Json& stream : each["stream_detail"]) account.streams.push_back(ReadStream(stream));
  }
  return jsz;
}

MonitorRequest Ask(MonitorService& service, const std::string& target) {
  HttpRequest http;
  http.method = "GET";
  http.target = target;
  return service.Start(http);
}

std::string Body(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

TEST(Jsz, PagesEqualThoseOfThePeer) {
  const std::pair<const char*, const char*> kRows[] = {
      {"jsz_on", "/jsz"},
      {"jsz_accounts", "/jsz?accounts=1"},
      {"jsz_raft", "/jsz?raft=1&consumers=1"},
      {"jsz_full", "/jsz?consumers=1&direct-consumers=1&config=1"},
  };
  for (const auto& [name, target] : kRows) {
    const std::string golden = ReadGolden(name);
    const Json json = Json::parse(golden);
    MonitorService service("");
    const MonitorRequest request = Ask(service, target);
    EXPECT_EQ(request.needs, uint32_t{kNeedJsz});
    MonitorData data;
    data.server_id = Text(json, "server_id");
    data.now_ns = ReadTime(json, "now");
    data.jsz = ReadJsz(json);
    EXPECT_EQ(Body(service.Finish(request, std::move(data))), golden);
  }
}

TEST(Jsz, DetailsThatNobodyAskedForAreLeftOut) {
  const Json json = Json::parse(ReadGolden("jsz_full"));
  const JszSnapshot jsz = ReadJsz(json);
  JsonWriter out;
  JszOptions options;
  options.streams = true;
  RenderJsz(&jsz, options, "id", 0, &out);
  const Json page = Json::parse(out.text());
  const Json& stream = page["account_details"][0]["stream_detail"][3];
  EXPECT_EQ(stream["name"], "ORDERS");
  EXPECT_FALSE(stream.contains("config"));
  EXPECT_FALSE(stream.contains("consumer_detail"));
  EXPECT_FALSE(stream.contains("direct_consumer_detail"));
}

TEST(Jsz, OnlyTheLeaderAnswersWhenAskedForIt) {
  MonitorService service("");
  EXPECT_EQ(Body(service.Finish(Ask(service, "/jsz?leader-only=1"), {})), "filtered response: not leader");
  EXPECT_EQ(Body(service.Finish(Ask(service, "/jsz?offset=x"), {})),
            "Error decoding int for 'offset': strconv.Atoi: parsing \"x\": invalid syntax");
}

TEST(Jsz, OneOptionImpliesOthers) {
  const auto read = [](const std::string& query) { return *ParseJszParams(HttpTarget("/jsz?" + query)); };
  EXPECT_TRUE(read("consumers=1").streams && read("consumers=1").accounts);
  EXPECT_FALSE(read("consumers=1&acc=A").accounts);
  EXPECT_FALSE(read("direct-consumers=1").streams);
  EXPECT_EQ(read("offset=-4").offset, 0);
  EXPECT_EQ(read("").limit, kJszLimitDefault);
  EXPECT_EQ(read("limit=-1").limit, -1);
}

TEST(Jsz, AccountsArePagedByName) {
  const std::vector<std::string> names = {"c", "a", "b"};
  const auto select = [&](std::string account, bool accounts, int64_t offset = 0, int64_t limit = 1024) {
    JszOptions options;
    options.account = std::move(account);
    options.accounts = accounts;
    options.offset = offset;
    options.limit = limit;
    return SelectJszAccounts(options, names);
  };
  using Indices = std::vector<size_t>;
  EXPECT_EQ(select("", false), Indices{});
  EXPECT_EQ(select("", true), (Indices{1, 2, 0}));
  EXPECT_EQ(select("", true, 1, 1), Indices{2});
  EXPECT_EQ(select("", true, 9), Indices{});
  EXPECT_EQ(select("", true, 1, -1), (Indices{1, 2, 0}));
  EXPECT_EQ(select("c", false), Indices{0});
  EXPECT_EQ(select("x", false), Indices{});
  EXPECT_EQ(select("x", true), (Indices{1, 2, 0}));
}

// ---- /healthz

std::string Probe(const std::string& query, const JetStreamHealth* jetstream) {
  const HealthzOptions options = *ParseHealthzParams(HttpTarget("/healthz?" + query));
  JsonWriter out(JsonLayout::kCompact);
  const int status = RenderHealthz(HealthOf(options, jetstream), options, false, &out);
  return std::to_string(status) + " " + out.text();
}

TEST(JetStreamHealth, AnswersEqualThoseOfThePeer) {
  JetStreamHealth all;
  all.account_found = all.stream_found = all.consumer_found = true;
  const JetStreamHealth none;
  JetStreamHealth account;
  account.account_found = true;
  JetStreamHealth stream = account;
  stream.stream_found = true;
  const struct {
    std::string query;
    const JetStreamHealth* jetstream;
    std::string answer;
  } kRows[] = {
      {"", &all, R"(200 {"status":"ok"})"},
      {"", nullptr, R"j(503 {"status":"unavailable","error":"JetStream not enabled (10076)"})j"},
      {"js-enabled-only=1", nullptr, R"j(503 {"status":"unavailable","error":"JetStream not enabled (10076)"})j"},
      {"details=1", nullptr,
       R"j(503 {"status":"error","errors":[{"type":"JETSTREAM","error":"JetStream not enabled (10076)"}]})j"},
      {"js-server-only=1", nullptr, R"(200 {"status":"ok"})"},
      {"details=1&account=$G", &account, R"(200 {"status":"ok"})"},
      {"account=nope", &none, R"(404 {"status":"unavailable","error":"JetStream account \"nope\" not found"})"},
      {"account=nope&details=1", &none,
       R"(404 {"status":"error","errors":[{"type":"ACCOUNT","account":"nope",)"
       R"("error":"JetStream account \"nope\" not found"}]})"},
      {"account=$G&stream=no", &account,
       R"(404 {"status":"unavailable","error":"JetStream stream \"no\" not found on account \"$G\""})"},
      {"account=$G&stream=no&details=1", &account,
       R"(404 {"status":"error","errors":[{"type":"STREAM","account":"$G","stream":"no",)"
       R"("error":"JetStream stream \"no\" not found on account \"$G\""}]})"},
      {"account=$G&stream=S&consumer=C9", &stream,
       R"(404 {"status":"unavailable","error":"JetStream consumer \"C9\" not found for stream \"S\" on account )"
       R"(\"$G\""})"},
      {"account=$G&stream=S&consumer=C9&details=1", &stream,
       R"(404 {"status":"error","errors":[{"type":"CONSUMER","account":"$G","stream":"S","consumer":"C9",)"
       R"("error":"JetStream consumer \"C9\" not found for stream \"S\" on account \"$G\""}]})"},
  };
  for (const auto& row : kRows) EXPECT_EQ(Probe(row.query, row.jetstream), row.answer) << row.query;
}

TEST(JetStreamHealth, BrokenStreamsMakeItUnhealthy) {
  JetStreamHealth health;
  for (const char* name : {"A", "B"}) {
    health.broken.push_back({HealthErrorType::kStream, "$G", name, "",
                             std::string("JetStream stream '$G > ") + name + "' could not be recovered"});
  }
  EXPECT_EQ(Probe("", &health),
            R"(503 {"status":"unavailable","error":"JetStream stream '$G \u003e A' could not be recovered"})");
  EXPECT_NE(Probe("details=1", &health).find(R"({"type":"STREAM","account":"$G","stream":"B",)"), std::string::npos);
  EXPECT_EQ(Probe("js-enabled-only=1", &health), R"(200 {"status":"ok"})");
}

// ---- JSON within JSON

TEST(JsonWriter, RawJsonTakesTheLayoutAround) {
  const Json inner = Json::parse(R"({"a":[],"b":{},"c":[1,-2.5,true,null,"x\"{[,:]}\\"],"d":{"e":[{"f":"g:h"},{}]}})");
  for (const Json& value : {inner, Json("text"), Json(5), Json::array(), inner["d"]}) {
    JsonWriter out;
    out.BeginObject();
    out.PutInt("first", 1);
    out.Key("raw"), out.Raw(value.dump());
    out.Key("list");
    out.BeginArray();
    out.Raw(value.dump());
    out.Raw(value.dump());
    out.EndArray();
    out.PutInt("last", 2);
    out.EndObject();
    const Json whole = {{"first", 1}, {"raw", value}, {"list", {value, value}}, {"last", 2}};
    EXPECT_EQ(out.text(), whole.dump(2));
  }
}

}  // namespace
}  // namespace millrace
