// SPDX-License-Identifier: Apache-2.0
// Goal: the rules that need several consumers, limits of account and server, or very long values; advisories and acks.
// Method: tables with the exact code and text of spec 5j and 5m.
#include <gtest/gtest.h>

#include <functional>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/stored_config.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/api/versioning.h"

namespace millrace {
namespace {

std::string Shown(const std::optional<ApiError>& error) {
  return error ? std::to_string(error->err_code) + " " + error->description : "";
}

TEST(ApiError, FillsTheWordsOfItsText) {
  EXPECT_EQ(PrintJson(MakeError(ApiErrorId::kStreamWrongLastSequence, {{"seq", "7"}})),
            R"({"code":400,"err_code":10071,"description":"wrong last sequence: 7"})");
  EXPECT_EQ(MakeError(ApiErrorId::kStreamExternalApiOverlap, {{"subject", "b"}, {"prefix", "a"}}).description,
            "stream external api prefix a must not overlap with b");
  EXPECT_EQ(MakeError(ApiErrorId::kStreamNotFound).code, 404);
  EXPECT_EQ(MakeErrorText(ApiErrorId::kPedantic, "{err}").description, "pedantic mode: {err}");
}

TEST(StreamCheck, LongValues) {
  const struct {
    std::function<void(StreamConfig*)> change;
    std::string_view error;
  } kCases[] = {
      {[](StreamConfig* c) { c->name = std::string(255, 'n'); }, ""},
      {[](StreamConfig* c) { c->name = std::string(256, 'n'); },
       "10052 stream name is too long, maximum allowed is 255"},
      {[](StreamConfig* c) { c->description = std::string(4096, 'd'); }, ""},
      {[](StreamConfig* c) { c->description = std::string(4097, 'd'); },
       "10052 stream description is too long, maximum allowed is 4096"},
      {[](StreamConfig* c) { c->metadata["k"] = std::string(131'071, 'm'); }, ""},
      {[](StreamConfig* c) { c->metadata["k"] = std::string(131'072, 'm'); },
       "10052 stream metadata exceeds maximum size of 131072 bytes"},
  };
  for (const auto& one : kCases) {
    StreamConfig config;
    config.name = "S";
    one.change(&config);
    EXPECT_EQ(Shown(CheckStreamConfig(&config, {}, false)), one.error);
  }
}

TEST(StreamCheck, LimitsOfServerAndAccount) {
  JetStreamAccountLimits limits;
  StreamCheckContext context;
  context.account_limits = [&](int64_t) { return &limits; };
  Reservations reservations;
  reservations.server_memory_max = reservations.server_storage_max = 1000;
  StreamConfig config;
  config.name = "S";
  config.max_bytes = 500;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 5, reservations)), "");
  limits.max_streams = 5;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 5, reservations)), "10027 maximum number of streams reached");
  limits.max_streams = -1;
  limits.max_consumers = 3;
  config.max_consumers = 4;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)), "10026 maximum consumers limit reached");
  config.max_consumers = -1;
  limits.max_storage = 600;
  reservations.account = 101;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)),
            "10047 insufficient storage resources available");
  reservations.account = 100;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)), "");
  reservations.server_storage = 501;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)),
            "10047 insufficient storage resources available");
  config.storage = Storage::kMemory;
  limits.max_memory = 10;
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)),
            "10028 insufficient memory resources available");
  limits = {};
  limits.max_bytes_required = true;
  config.max_bytes = 0;
  EXPECT_EQ(Shown(CheckStreamConfig(&config, context, false)),
            "10113 account requires a stream config to have max bytes set");
  limits.memory_max_stream_bytes = 100;
  config.max_bytes = 101;
  EXPECT_EQ(Shown(CheckStreamConfig(&config, context, false)),
            "10122 stream max bytes exceeds account limit max stream bytes");
  context.account_limits = [](int64_t) { return nullptr; };
  EXPECT_EQ(Shown(CheckStreamLimits(config, context, 0, reservations)),
            "10120 no JetStream default or applicable tiered limit present");
  context.account_limits = nullptr;
  context.server.duplicate_window_ns = kNsPerSecond;
  config.duplicate_window_ns = 2 * kNsPerSecond;
  EXPECT_EQ(Shown(CheckStreamConfig(&config, context, false)),
            "10052 duplicates window can not be larger then server limit of 1s");
}

TEST(StreamCheck, UpdateReservesOnlyWhatIsMore) {
  StreamConfig old, updated;
  old.max_bytes = 800;
  updated = old;
  Reservations reservations;
  reservations.server_storage_max = 1000;
  reservations.server_storage = 800;
  updated.max_bytes = 1000;
  EXPECT_EQ(Shown(CheckUpdateReservations(old, updated, {}, reservations)), "");
  updated.max_bytes = 1001;
  EXPECT_EQ(Shown(CheckUpdateReservations(old, updated, {}, reservations)),
            "10047 insufficient storage resources available");
  updated.max_bytes = 1;
  EXPECT_EQ(Shown(CheckUpdateReservations(old, updated, {}, reservations)), "");
}

TEST(StreamCheck, NewConsumerLimitsMayNotBeBroken) {
  StreamConfig old, updated;
  updated.consumer_limits.max_ack_pending = 10;
  ConsumerConfig small, large;
  small.max_ack_pending = 10;
  large.max_ack_pending = 11;
  const std::vector<NamedConsumer> consumers = {{"a", &large}, {"b", &small}, {"c", &large}};
  EXPECT_EQ(Shown(CheckConsumersAgainstLimits(old, updated, consumers)),
            "10069 change to limits violates consumers: a, c");
  EXPECT_EQ(Shown(CheckConsumersAgainstLimits(updated, updated, consumers)), "");
}

ConsumerConfig Filtered(std::string filter) {
  ConsumerConfig config;
  config.ack_policy = AckPolicy::kExplicit;
  config.filter_subject = std::move(filter);
  return config;
}

TEST(ConsumerCheck, WorkQueues) {
  StreamConfig stream;
  stream.retention = Retention::kWorkQueue;
  const ConsumerConfig first = Filtered("a.*"), open = Filtered("");
  ConsumerConfig internal = Filtered("");
  internal.direct = true;
  const std::vector<OtherConsumer> one = {{"one", &first}, {"internal", &internal}}, all = {{"all", &open}};
  const auto create = [&](const ConsumerConfig& config, const std::vector<OtherConsumer>& others) {
    return Shown(CheckConsumerCreate(config, stream, others, {}, nullptr));
  };
  EXPECT_EQ(create(Filtered("b"), one), "");
  EXPECT_EQ(create(Filtered("a.x"), one), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(create(Filtered(""), one), "10099 multiple non-filtered consumers not allowed on workqueue stream");
  EXPECT_EQ(create(Filtered("b"), all), "10100 filtered consumer not unique on workqueue stream");
  EXPECT_EQ(create(Filtered(""), {{"internal", &internal}}), "");
  ConsumerConfig config = Filtered("b");
  config.ack_policy = AckPolicy::kAll;
  EXPECT_EQ(create(config, {}), "10098 workqueue stream requires explicit ack");
  config.ack_policy = AckPolicy::kExplicit;
  config.deliver_policy = DeliverPolicy::kNew;
  EXPECT_EQ(create(config, {}), "10101 consumer must be deliver all on workqueue stream");
  EXPECT_EQ(Shown(CheckConsumerUpdate(first, Filtered("a.b"), {}, stream, {{"two", &first}}, false)),
            "10100 filtered consumer not unique on workqueue stream");
}

TEST(ConsumerCheck, Numbers) {
  StreamConfig stream;
  const ConsumerConfig config = Filtered("");
  const std::vector<OtherConsumer> two = {{"a", &config}, {"b", &config}};
  JetStreamAccountLimits account;
  ServerLimits server;
  const auto create = [&] { return Shown(CheckConsumerCreate(config, stream, two, server, &account)); };
  EXPECT_EQ(create(), "");
  stream.max_consumers = 2;
  EXPECT_EQ(create(), "10026 maximum consumers limit reached");
  stream.max_consumers = 3;
  account.max_consumers = 2;
  EXPECT_EQ(create(), "10026 maximum consumers limit reached");
  stream.max_consumers = account.max_consumers = -1;
  server.default_max_consumers = 2;
  EXPECT_EQ(create(), "10026 maximum consumers limit reached");
  ConsumerConfig named = config;
  named.durable_name = std::string(256, 'd');
  EXPECT_EQ(Shown(CheckConsumerCreate(named, stream, {}, server, nullptr)),
            "10102 consumer name is too long, maximum allowed is 255");
  named.durable_name.clear();
  named.max_waiting = 1;
  named.max_deliver = -1;
  named.description = std::string(4097, 'd');
  EXPECT_EQ(Shown(CheckConsumerConfig(named, stream, server, nullptr)),
            "10107 consumer description is too long, maximum allowed is 4096");
  named.description.clear();
  named.metadata["k"] = std::string(131'072, 'm');
  EXPECT_EQ(Shown(CheckConsumerConfig(named, stream, server, nullptr)),
            "10135 consumer metadata exceeds maximum size of 128KB");
}

TEST(ConsumerCheck, WhatCanNotBeUpdated) {
  ConsumerConfig pull = Filtered("a");
  pull.metadata["_nats.req.level"] = "0";
  ConsumerConfig push = pull;
  push.deliver_subject = "d";
  const struct {
    const ConsumerConfig& old;
    std::function<void(ConsumerConfig*)> change;
    std::string_view error;
  } kCases[] = {
      {pull, [](ConsumerConfig* c) { c->description = "x"; }, ""},
      {pull, [](ConsumerConfig* c) { c->filter_subject = "b"; }, ""},
      {pull, [](ConsumerConfig* c) { c->deliver_policy = DeliverPolicy::kNew; },
       "10012 deliver policy can not be updated"},
      {pull, [](ConsumerConfig* c) { c->mem_storage = true; }, "10012 storage type can not be updated"},
      {pull, [](ConsumerConfig* c) { c->direct = true; }, "10012 direct can not be updated"},
      {pull, [](ConsumerConfig* c) { c->sourcing = true; }, "10012 sourcing can not be updated"},
      {pull, [](ConsumerConfig* c) { c->opt_start_seq = 1; }, "10012 start sequence can not be updated"},
      {pull, [](ConsumerConfig* c) { c->opt_start_time_ns = 1; }, "10012 start time can not be updated"},
      {pull, [](ConsumerConfig* c) { c->ack_policy = AckPolicy::kAll; }, "10012 ack policy can not be updated"},
      {pull, [](ConsumerConfig* c) { c->replay_policy = ReplayPolicy::kOriginal; },
       "10012 replay policy can not be updated"},
      {push, [](ConsumerConfig* c) { c->idle_heartbeat_ns = 1; }, "10012 heart beats can not be updated"},
      {push, [](ConsumerConfig* c) { c->flow_control = true; }, "10012 flow control can not be updated"},
      {pull, [](ConsumerConfig* c) { c->deliver_subject = "d"; },
       "10012 can not update pull consumer to push based"},
      {push, [](ConsumerConfig* c) { c->deliver_subject = ""; },
       "10012 can not update push consumer to pull based"},
      {push, [](ConsumerConfig* c) { c->deliver_subject = "e"; }, "10013 consumer name already in use"},
      {pull, [](ConsumerConfig* c) { c->max_waiting = 9; }, "10012 max waiting can not be updated"},
  };
  for (const auto& one : kCases) {
    ConsumerConfig updated = one.old;
    one.change(&updated);
    EXPECT_EQ(Shown(CheckConsumerUpdate(one.old, updated, ConsumerAction::kUpdate, {}, {}, true)), one.error);
    EXPECT_EQ(Shown(CheckConsumerUpdate(one.old, updated, ConsumerAction::kCreate, {}, {}, true)),
              "10148 consumer already exists");
  }
  ConsumerConfig same = pull;
  same.metadata = {{"_nats.ver", "x"}, {"_nats.req.level", "1"}};
  EXPECT_EQ(Shown(CheckConsumerUpdate(pull, same, ConsumerAction::kCreate, {}, {}, true)), "");
}

TEST(Versioning, LevelsAndHeaders) {
  StreamConfig stream;
  EXPECT_EQ(RequiredLevel(stream), 0);
  stream.allow_msg_ttl = true;
  EXPECT_EQ(RequiredLevel(stream), 1);
  stream.persist_mode = PersistMode::kAsync;
  EXPECT_EQ(RequiredLevel(stream), 2);
  stream.allow_batched = true;
  EXPECT_EQ(RequiredLevel(stream), 4);
  ConsumerConfig consumer;
  consumer.pause_until_ns = kGoZeroTimeNs;
  EXPECT_EQ(RequiredLevel(consumer), 0);
  consumer.pause_until_ns = 5;
  EXPECT_EQ(RequiredLevel(consumer), 1);
  consumer.ack_policy = AckPolicy::kFlowControl;
  EXPECT_EQ(RequiredLevel(consumer), 4);
  for (const char* header : {"", "0", "5", "-1", "+5"}) EXPECT_FALSE(RefusesRequiredLevel(header)) << header;
  for (const char* header : {"6", "x", "5 ", "1.0", "99999999999999999999"})
    EXPECT_TRUE(RefusesRequiredLevel(header)) << header;
  EXPECT_TRUE(SupportsRequiredLevel({}));
  EXPECT_TRUE(SupportsRequiredLevel({{"_nats.req.level", "5"}}));
  EXPECT_FALSE(SupportsRequiredLevel({{"_nats.req.level", "6"}}));
  EXPECT_EQ(OfflineReason({{"_nats.req.level", "6"}}),
            "unsupported - required API level: 6, current API level: 5");
  EXPECT_EQ(OfflineReason({}, "json: unknown field \"x\""), "unsupported - config error: unknown field \"x\"");
}

TEST(PubAck, HasThePeersOrderOfKeys) {
  PubAckView ack{.stream = "S", .seq = 5};
  EXPECT_EQ(PubAckAnswer(ack), R"({"stream":"S","seq":5})");
  ack.domain = "hub";
  ack.duplicate = true;
  EXPECT_EQ(PubAckAnswer(ack), R"({"stream":"S","domain":"hub","seq":5,"duplicate": true})");
  ack.duplicate = false;
  ack.batch = "b";
  ack.count = 3;
  EXPECT_EQ(PubAckAnswer(ack), R"({"stream":"S","domain":"hub","seq":5,"batch":"b","count":3})");
  // The peer's %q also where JSON would have it otherwise.
  ack = {.stream = "a\"b<\xC3\xA9", .domain = "\xC2\xA0", .seq = 6, .counter = "7"};
  EXPECT_EQ(PubAckAnswer(ack), "{\"stream\":\"a\\\"b<\xC3\xA9\",\"domain\":\"\\u00a0\",\"seq\":6,\"val\":\"7\"}");
  EXPECT_EQ(PubAckErrorAnswer(MakeError(ApiErrorId::kStreamSealed), "S", 0),
            R"({"error":{"code":400,"err_code":10109,"description":"invalid operation on sealed stream"},)"
            R"("stream":"S","seq":0})");
  EXPECT_EQ(BatchFlowAck(1, 2), R"({"type":"ack","seq":1,"msgs":2})");
  EXPECT_EQ(BatchFlowGap(1, 2), R"({"type":"gap","last_seq":1,"seq":2})");
}

TEST(Advisories, SubjectsAndBodies) {
  const AdvisoryHead head{"ID", 1'000'000'000};
  const StreamActionAdvisory stream{"S", AdvisoryAction::kModify, ""};
  EXPECT_EQ(AdvisorySubject(stream), "$JS.EVENT.ADVISORY.STREAM.UPDATED.S");
  EXPECT_EQ(AdvisoryJson(head, stream),
            R"({"type":"io.nats.jetstream.advisory.v1.stream_action","id":"ID","timestamp":"1970-01-01T00:00:01Z",)"
            R"("stream":"S","action":"modify"})");
  const ConsumerAckMetric metric{"S", "C", 1, 2, 3, 4, "hub"};
  EXPECT_EQ(AdvisorySubject(metric), "$JS.EVENT.METRIC.CONSUMER.ACK.S.C");
  EXPECT_EQ(AdvisoryJson(head, metric),
            R"({"type":"io.nats.jetstream.metric.v1.consumer_ack","id":"ID","timestamp":"1970-01-01T00:00:01Z",)"
            R"("stream":"S","consumer":"C","consumer_seq":1,"stream_seq":2,"ack_time":3,"deliveries":4,)"
            R"("domain":"hub"})");
  ApiAuditAdvisory audit;
  audit.server = "N";
  audit.subject = "$JS.API.INFO";
  audit.response = "{}";
  EXPECT_EQ(AdvisorySubject(audit), "$JS.EVENT.ADVISORY.API");
  EXPECT_EQ(AdvisoryJson(head, audit),
            R"({"type":"io.nats.jetstream.advisory.v1.api_audit","id":"ID","timestamp":"1970-01-01T00:00:01Z",)"
            R"("server":"N","client":null,"subject":"$JS.API.INFO","response":"{}"})");
  EXPECT_EQ(AdvisorySubject(ConsumerPauseAdvisory{"S", "C", true, 0, ""}), "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C");
  EXPECT_EQ(AdvisorySubject(MaxDeliverAdvisory{"S", "C", 0, 0, ""}),
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C");
}

// One advisory with all its fields, and as it is without those that may be left out.
template <class Advisory>
void ExpectAdvisory(const Advisory& full, const Advisory& least, std::string_view subject, std::string_view type,
                    std::string_view members, std::string_view least_members) {
  EXPECT_EQ(AdvisorySubject(full), "$JS.EVENT." + std::string(subject));
  const std::string head = R"({"type":"io.nats.jetstream.)" + std::string(type) +
                           R"(","id":"ID","timestamp":"1970-01-01T00:00:01Z",)";
  EXPECT_EQ(AdvisoryJson(AdvisoryHead{"ID", 1'000'000'000}, full), head + std::string(members));
  EXPECT_EQ(AdvisoryJson(AdvisoryHead{"ID", 1'000'000'000}, least), head + std::string(least_members));
}

template <class Advisory>
Advisory OfConsumer() {
  Advisory advisory;
  advisory.stream = "S";
  advisory.consumer = "C";
  return advisory;
}

AdvisoryClient WholeClient() {
  AdvisoryClient client;
  client.start_ns = 2'000'000'000;
  client.host = "h";
  client.id = 5;
  client.account = "$G";
  client.service = "svc";
  client.user = "u";
  client.name = "n";
  client.lang = "go";
  client.version = "1.0";
  client.rtt_ns = 7;
  client.server = "N";
  client.cluster = "cl";
  client.alternates = {"a1", "a2"};
  client.stop_ns = 3'000'000'000;
  client.jwt = "j";
  client.issuer_key = "ik";
  client.name_tag = "nt";
  client.tags = {"t1", "t2"};
  client.kind = "Client";
  client.client_type = "nats";
  client.mqtt_client_id = "mq";
  client.nonce = "no";
  client.reply = "r";
  return client;
}

// The members and their order are those of jetstream_events.go's structs, the client's those of events.go.
TEST(Advisories, OfRequestsAndBackupsHaveAllTheirFields) {
  const std::string client =
      R"("client":{"start":"1970-01-01T00:00:02Z","host":"h","id":5,"acc":"$G","svc":"svc","user":"u","name":"n",)"
      R"("lang":"go","ver":"1.0","rtt":7,"server":"N","cluster":"cl","alts":["a1","a2"],)"
      R"("stop":"1970-01-01T00:00:03Z","jwt":"j","issuer_key":"ik","name_tag":"nt","tags":["t1","t2"],)"
      R"("kind":"Client","client_type":"nats","client_id":"mq","nonce":"no","reply":"r"})";
  ExpectAdvisory(ApiAuditAdvisory{"N", WholeClient(), "$JS.API.INFO", "q", "{}", "hub"},
                 ApiAuditAdvisory{"N", AdvisoryClient{}, "$JS.API.INFO", "", "{}", ""}, "ADVISORY.API",
                 "advisory.v1.api_audit",
                 R"("server":"N",)" + client +
                     R"(,"subject":"$JS.API.INFO","request":"q","response":"{}","domain":"hub"})",
                 R"("server":"N","client":{},"subject":"$JS.API.INFO","response":"{}"})");
  StreamState state;
  state.messages = 1;
  state.bytes = 2;
  state.first_seq = 3;
  state.first_ts_ns = 4'000'000'000;
  state.last_seq = 5;
  state.last_ts_ns = 6'000'000'000;
  state.num_subjects = 7;
  state.consumer_count = 8;
  ExpectAdvisory(SnapshotCreateAdvisory{"S", state, WholeClient(), "hub"},
                 SnapshotCreateAdvisory{"S", {}, std::nullopt, ""}, "ADVISORY.STREAM.SNAPSHOT_CREATE.S",
                 "advisory.v1.snapshot_create",
                 R"("stream":"S","state":{"messages":1,"bytes":2,"first_seq":3,"first_ts":"1970-01-01T00:00:04Z",)"
                 R"("last_seq":5,"last_ts":"1970-01-01T00:00:06Z","num_subjects":7,"consumer_count":8},)" + client +
                     R"(,"domain":"hub"})",
                 R"("stream":"S","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z",)"
                 R"("last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"client":null})");
  ExpectAdvisory(SnapshotCompleteAdvisory{"S", 4'000'000'000, 5'000'000'000, WholeClient(), "hub", "e"},
                 SnapshotCompleteAdvisory{"S", 4'000'000'000, 5'000'000'000, std::nullopt, "", ""},
                 "ADVISORY.STREAM.SNAPSHOT_COMPLETE.S", "advisory.v1.snapshot_complete",
                 R"("stream":"S","start":"1970-01-01T00:00:04Z","end":"1970-01-01T00:00:05Z",)" + client +
                     R"(,"domain":"hub","error":"e"})",
                 R"("stream":"S","start":"1970-01-01T00:00:04Z","end":"1970-01-01T00:00:05Z","client":null})");
  ExpectAdvisory(RestoreCreateAdvisory{"S", WholeClient(), "hub"}, RestoreCreateAdvisory{"S", std::nullopt, ""},
                 "ADVISORY.STREAM.RESTORE_CREATE.S", "advisory.v1.restore_create",
                 R"("stream":"S",)" + client + R"(,"domain":"hub"})", R"("stream":"S","client":null})");
  ExpectAdvisory(RestoreCompleteAdvisory{"S", 4'000'000'000, 5'000'000'000, 6, WholeClient(), "hub"},
                 RestoreCompleteAdvisory{"S", 4'000'000'000, 5'000'000'000, 6, std::nullopt, ""},
                 "ADVISORY.STREAM.RESTORE_COMPLETE.S", "advisory.v1.restore_complete",
                 R"("stream":"S","start":"1970-01-01T00:00:04Z","end":"1970-01-01T00:00:05Z","bytes":6,)" + client +
                     R"(,"domain":"hub"})",
                 R"("stream":"S","start":"1970-01-01T00:00:04Z","end":"1970-01-01T00:00:05Z","bytes":6,)"
                 R"("client":null})");
}

TEST(Advisories, OfStreamsAndServersHaveAllTheirFields) {
  constexpr std::pair<AdvisoryAction, std::string_view> kActions[] = {
      {AdvisoryAction::kCreate, "CREATED create"},
      {AdvisoryAction::kDelete, "DELETED delete"},
      {AdvisoryAction::kModify, "UPDATED modify"}};
  for (const auto& [action, words] : kActions) {
    const std::string verb(words.substr(0, 7));
    const std::string body = R"("stream":"S","action":")" + std::string(words.substr(8));
    ExpectAdvisory(StreamActionAdvisory{"S", action, "hub"}, StreamActionAdvisory{"S", action, ""},
                   "ADVISORY.STREAM." + verb + ".S", "advisory.v1.stream_action", body + R"(","domain":"hub"})",
                   body + R"("})");
    if (action == AdvisoryAction::kModify) continue;
    const std::string of_consumer = R"("stream":"S","consumer":"C","action":")" + std::string(words.substr(8));
    ExpectAdvisory(ConsumerActionAdvisory{"S", "C", action, "hub"}, ConsumerActionAdvisory{"S", "C", action, ""},
                   "ADVISORY.CONSUMER." + verb + ".S.C", "advisory.v1.consumer_action",
                   of_consumer + R"(","domain":"hub"})", of_consumer + R"("})");
  }
  ExpectAdvisory(BatchAbandonedAdvisory{"$G", "S", "hub", "b", "large"}, BatchAbandonedAdvisory{"", "S", "", "", ""},
                 "ADVISORY.STREAM.BATCH_ABANDONED.S", "advisory.v1.stream_batch_abandoned",
                 R"("account":"$G","stream":"S","domain":"hub","batch":"b","reason":"large"})",
                 R"("stream":"S","batch":"","reason":""})");
  ExpectAdvisory(OutOfStorageAdvisory{"N", "NID", "S", "cl", "hub"}, OutOfStorageAdvisory{},
                 "ADVISORY.SERVER.OUT_OF_STORAGE", "advisory.v1.server_out_of_space",
                 R"("server":"N","server_id":"NID","stream":"S","cluster":"cl","domain":"hub"})",
                 R"("server":"","server_id":"","cluster":""})");
  ExpectAdvisory(ApiLimitReachedAdvisory{"N", "hub", 9}, ApiLimitReachedAdvisory{}, "ADVISORY.API.LIMIT_REACHED",
                 "advisory.v1.api_limit_reached", R"("server":"N","domain":"hub","dropped":9})",
                 R"("server":"","dropped":0})");
}

TEST(Advisories, OfConsumersHaveAllTheirFields) {
  const std::string of = R"("stream":"S","consumer":"C",)";
  ExpectAdvisory(ConsumerPauseAdvisory{"S", "C", true, 4'000'000'000, "hub"}, OfConsumer<ConsumerPauseAdvisory>(),
                 "ADVISORY.CONSUMER.PAUSE.S.C", "advisory.v1.consumer_pause",
                 of + R"("paused":true,"pause_until":"1970-01-01T00:00:04Z","domain":"hub"})",
                 of + R"("paused":false,"pause_until":"0001-01-01T00:00:00Z"})");
  ExpectAdvisory(ConsumerAckMetric{"S", "C", 1, 2, 3, 4, "hub"}, OfConsumer<ConsumerAckMetric>(),
                 "METRIC.CONSUMER.ACK.S.C", "metric.v1.consumer_ack",
                 of + R"("consumer_seq":1,"stream_seq":2,"ack_time":3,"deliveries":4,"domain":"hub"})",
                 of + R"("consumer_seq":0,"stream_seq":0,"ack_time":0,"deliveries":0})");
  ExpectAdvisory(MaxDeliverAdvisory{"S", "C", 2, 4, "hub"}, OfConsumer<MaxDeliverAdvisory>(),
                 "ADVISORY.CONSUMER.MAX_DELIVERIES.S.C", "advisory.v1.max_deliver",
                 of + R"("stream_seq":2,"deliveries":4,"domain":"hub"})", of + R"("stream_seq":0,"deliveries":0})");
  ExpectAdvisory(NakAdvisory{"S", "C", 1, 2, 4, "hub"}, OfConsumer<NakAdvisory>(), "ADVISORY.CONSUMER.MSG_NAKED.S.C",
                 "advisory.v1.nak", of + R"("consumer_seq":1,"stream_seq":2,"deliveries":4,"domain":"hub"})",
                 of + R"("consumer_seq":0,"stream_seq":0,"deliveries":0})");
  ExpectAdvisory(TerminatedAdvisory{"S", "C", 1, 2, 4, "why", "hub"}, OfConsumer<TerminatedAdvisory>(),
                 "ADVISORY.CONSUMER.MSG_TERMINATED.S.C", "advisory.v1.terminated",
                 of + R"("consumer_seq":1,"stream_seq":2,"deliveries":4,"reason":"why","domain":"hub"})",
                 of + R"("consumer_seq":0,"stream_seq":0,"deliveries":0})");
  ExpectAdvisory(GroupPinnedAdvisory{"$G", "S", "C", "hub", "g", "p"}, OfConsumer<GroupPinnedAdvisory>(),
                 "ADVISORY.CONSUMER.PINNED.S.C", "advisory.v1.consumer_group_pinned",
                 R"("account":"$G",)" + of + R"("domain":"hub","group":"g","pinned_id":"p"})",
                 of + R"("group":"","pinned_id":""})");
  ExpectAdvisory(GroupUnpinnedAdvisory{"$G", "S", "C", "hub", "g", "admin"}, OfConsumer<GroupUnpinnedAdvisory>(),
                 "ADVISORY.CONSUMER.UNPINNED.S.C", "advisory.v1.consumer_group_unpinned",
                 R"("account":"$G",)" + of + R"("domain":"hub","group":"g","reason":"admin"})",
                 of + R"("group":"","reason":""})");
}

TEST(StoredConfig, IsReadBackAndWhatIsNoneIsRefused) {
  StreamConfig stream;
  stream.name = "S";
  stream.subjects = {"a b", "c"};
  ConsumerConfig consumer;
  consumer.durable_name = "C";
  const std::pair<Applied, std::string_view> kinds[] = {
      {Applied::kWhole, ""}, {Applied::kPartly, ""}, {Applied::kWhole, "A"}, {Applied::kPartly, "a b} {\"c"}};
  for (const auto& [written, owner] : kinds) {
    const std::string text = WriteStored(-17, stream, owner, written);
    int64_t created_ns = 0;
    StreamConfig read;
    std::string account = "other";
    Applied applied = Applied::kWhole;
    ASSERT_TRUE(ReadStored(text, &created_ns, &read, &account, &applied)) << text;
    EXPECT_EQ(created_ns, -17);
    EXPECT_EQ(account, owner);
    EXPECT_EQ(applied, written);
    EXPECT_EQ(read, stream);
  }
  int64_t created_ns = 0;
  ConsumerConfig read;
  ASSERT_TRUE(ReadStored(WriteStored(18, consumer), &created_ns, &read));
  EXPECT_EQ(created_ns, 18);
  EXPECT_EQ(read, consumer);
  // The first has no bytes at all behind it: nothing may be read.
  const std::string_view none[] = {{}, "", " ", "1", "1+", "{}", "1{}", "1+{}", " {}", "x {}", "1x {}", "1- {}",
                                   "1++ {}", "99999999999999999999 {}", "1 ", "1 {", "1 []x"};
  for (const std::string_view text : none) {
    StreamConfig of_stream;
    ConsumerConfig of_consumer;
    std::string account;
    Applied applied = Applied::kWhole;
    EXPECT_FALSE(ReadStored(text, &created_ns, &of_stream, &account, &applied)) << text;
    EXPECT_FALSE(ReadStored(text, &created_ns, &of_consumer)) << text;
  }
  EXPECT_FALSE(ReadStored("1+ {}", &created_ns, &read)) << "a consumer is applied whole";
}

}  // namespace
}  // namespace millrace
