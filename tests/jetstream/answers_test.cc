// SPDX-License-Identifier: Apache-2.0
// Goal: the whole way of a create or update ends in the answer of the real server, byte for byte.
// Method: golden/answers.jsonl holds requests, the streams that existed, and what a real server answered
// (peer/record_answers.py). Times and states are taken over from the recorded answer; everything else is made here.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"
#include "broker/jetstream/api/responses.h"
#include "broker/jetstream/api/stream_check.h"
#include "broker/jetstream/api/subject_filters.h"
#include "broker/jetstream/api/versioning.h"
#include "proto/subject.h"
#include "tests/jetstream/golden.h"

namespace millrace {
namespace {

// The streams of one account, in the order of the README.
class Account {
 public:
  Account() {
    context_.find_stream = [this](std::string_view name) -> const StreamConfig* {
      const auto found = streams_.find(std::string(name));
      return found == streams_.end() ? nullptr : &found->second;
    };
    context_.are_taken = [this](const std::vector<std::string>& subjects) { return AreTaken(subjects, ""); };
    reservations_.server_memory_max = reservations_.server_storage_max = int64_t{1} << 40;
  }

  std::optional<ApiError> Create(std::string_view name, StreamConfigRequest request, bool* created) {
    StreamConfig& config = request.config;
    SetStaticMetadata(&config);
    if (auto error = CheckStreamCreateRequest(name, config)) return error;
    if (auto error = CheckStreamLimits(config, context_, 0, reservations_)) return error;
    if (auto error = CheckStreamConfig(&config, context_, request.pedantic)) return error;
    if (auto error = CheckReplicas(config, context_)) return error;
    if (const StreamConfig* existing = context_.find_stream(config.name)) {
      *created = false;
      if (!IsSameStream(config, *existing)) return MakeError(ApiErrorId::kStreamNameExist);
      return std::nullopt;
    }
    if (auto error = CheckStreamCreate(config, context_, 0, reservations_)) return error;
    *created = true;
    streams_[config.name] = config;
    return std::nullopt;
  }

  std::optional<ApiError> Update(std::string_view name, StreamConfigRequest request) {
    StreamConfig& config = request.config;
    if (auto error = CheckStreamConfig(&config, context_, request.pedantic)) return error;
    if (name != config.name) return MakeError(ApiErrorId::kStreamMismatch);
    const StreamConfig* old = context_.find_stream(name);
    if (old == nullptr) return MakeError(ApiErrorId::kStreamNotFound);
    SetStaticMetadata(&config);
    if (auto error = CheckStreamUpdate(*old, &config, context_, request.pedantic)) return error;
    if (auto error = CheckUpdateReservations(*old, config, context_, reservations_)) return error;
    if (auto error = CheckConsumersAgainstLimits(*old, config, {})) return error;
    if (AreTaken(config.subjects, config.name)) return MakeError(ApiErrorId::kStreamSubjectOverlap);
    streams_[config.name] = config;
    return std::nullopt;
  }

  bool AreTaken(const std::vector<std::string>& subjects, std::string_view but) const {
    return std::any_of(streams_.begin(), streams_.end(), [&](const auto& item) {
      return item.first != but && FiltersOverlap(subjects, item.second.subjects);
    });
  }

  const StreamConfig& Get(const std::string& name) const { return streams_.at(name); }

 private:
  StreamCheckContext context_;
  Reservations reservations_;
  std::map<std::string, StreamConfig> streams_;
};

void SetUp(const nlohmann::json& line, Account* account) {
  for (const nlohmann::json& setup : line["setup"]) {
    StreamConfigRequest request;
    ASSERT_EQ(ParseJson(setup.get<std::string>(), &request), "");
    bool created = false;
    const std::optional<ApiError> error = account->Create(request.config.name, request, &created);
    ASSERT_FALSE(error) << error->description << " of " << setup;
  }
}

std::string StreamAnswer(const nlohmann::json& line, bool update) {
  const ResponseKind kind = update ? ResponseKind::kStreamUpdate : ResponseKind::kStreamCreate;
  const std::string name(TokenAt(Text(line, "subject"), 2));
  Account account;
  SetUp(line, &account);
  StreamConfigRequest request;
  const ParseReport report = ParseRequest(Text(line, "request"), JsonMode::kStrict, &request);
  if (!report.ok()) return ErrorAnswer(kind, MakeErrorText(ApiErrorId::kInvalidJSON, report.error));
  bool created = true;
  const std::optional<ApiError> error =
      update ? account.Update(name, request) : account.Create(name, request, &created);
  if (error) return ErrorAnswer(kind, *error);
  StreamInfo info;  // times and state of the recorded answer, the configuration from here
  EXPECT_EQ(ParseJson(Text(line, "answer"), &info), "");
  info.config = WithDynamicMetadata(account.Get(name));
  return update ? StreamUpdateAnswer(info) : StreamCreateAnswer(info, true);
}

TEST(Answers, StreamsAreMadeAndChangedAsByThePeer) {
  const std::vector<nlohmann::json> lines = ReadGolden("answers");
  size_t count = 0;
  for (const nlohmann::json& line : lines) {
    const bool update = Text(line, "subject").starts_with("STREAM.UPDATE.");
    if (!update && !Text(line, "subject").starts_with("STREAM.CREATE.")) continue;
    ++count;
    EXPECT_EQ(StreamAnswer(line, update), Text(line, "answer")) << line["setup"] << " " << Text(line, "request");
  }
  EXPECT_GT(count, 200u);
}

std::string ConsumerAnswer(const nlohmann::json& line) {
  const auto refuse = [](const ApiError& error) { return ErrorAnswer(ResponseKind::kConsumerCreate, error); };
  const std::string subject = Text(line, "subject");
  Account account;
  SetUp(line, &account);
  ConsumerCreateRequest request;
  EXPECT_TRUE(ParseRequest(Text(line, "request"), JsonMode::kStrict, &request).ok());
  if (auto error = CheckConsumerCreateRequest(SplitConsumerCreateSubject(subject), &request)) return refuse(*error);
  ConsumerConfig& config = request.config;
  if (config.num_replicas > 1) return refuse(MakeError(ApiErrorId::kStreamReplicasNotSupported));
  const StreamConfig& stream = account.Get(request.stream_name);
  SetStaticMetadata(&config);
  if (auto error = SetConsumerDefaults(&config, stream, {}, nullptr, request.pedantic)) return refuse(*error);
  if (auto error = CheckConsumerConfig(config, stream, {}, nullptr)) return refuse(*error);
  if (request.action == ConsumerAction::kUpdate) return refuse(MakeError(ApiErrorId::kConsumerDoesNotExist));
  if (auto error = CheckConsumerCreate(config, stream, {}, {}, nullptr)) return refuse(*error);
  SetInactiveThreshold(&config);
  ConsumerInfo info;
  EXPECT_EQ(ParseJson(Text(line, "answer"), &info), "");
  if (config.name.empty()) config.name = info.config->name;
  info.config = WithDynamicMetadata(config);
  return ConsumerCreateAnswer(info);
}

TEST(Answers, ConsumersAreMadeAsByThePeer) {
  for (const nlohmann::json& line : ReadGolden("answers")) {
    if (!Text(line, "subject").starts_with("CONSUMER.CREATE") &&
        !Text(line, "subject").starts_with("CONSUMER.DURABLE")) {
      continue;
    }
    EXPECT_EQ(ConsumerAnswer(line), Text(line, "answer")) << line.dump();
  }
}

TEST(Answers, ErrorsHaveTheShapeOfTheirKind) {
  const std::map<std::string, ResponseKind> kinds = {
      {"STREAM.NAMES", ResponseKind::kStreamNames},
      {"STREAM.LIST", ResponseKind::kStreamList},
      {"STREAM.INFO", ResponseKind::kStreamInfo},
      {"STREAM.DELETE", ResponseKind::kStreamDelete},
      {"STREAM.PURGE", ResponseKind::kStreamPurge},
      {"STREAM.MSG", ResponseKind::kStreamMsgDelete},
      {"STREAM.SNAPSHOT", ResponseKind::kStreamSnapshot},
      {"STREAM.RESTORE", ResponseKind::kStreamRestore},
      {"CONSUMER.NAMES", ResponseKind::kConsumerNames},
      {"CONSUMER.LIST", ResponseKind::kConsumerList},
      {"CONSUMER.INFO", ResponseKind::kConsumerInfo},
      {"CONSUMER.DELETE", ResponseKind::kConsumerDelete},
      {"CONSUMER.PAUSE", ResponseKind::kConsumerPause},
      {"CONSUMER.UNPIN", ResponseKind::kConsumerUnpin},
  };
  size_t count = 0;
  for (const nlohmann::json& line : ReadGolden("answers")) {
    const std::string subject = Text(line, "subject"), answer = Text(line, "answer");
    const std::string key = std::string(TokenAt(subject, 0)) + "." + std::string(TokenAt(subject, 1));
    const nlohmann::json json = nlohmann::json::parse(answer);
    if (!json.contains("error") || !kinds.contains(key)) continue;
    ++count;
    const ResponseKind kind = subject.starts_with("STREAM.MSG.GET") ? ResponseKind::kStreamMsgGet : kinds.at(key);
    const ApiError error{json["error"]["code"], json["error"]["err_code"], json["error"]["description"]};
    EXPECT_EQ(ErrorAnswer(kind, error), answer);
  }
  EXPECT_GT(count, 15u);
}

TEST(Answers, ListsAndInfosPrintAsThePeers) {
  for (const nlohmann::json& line : ReadGolden("answers")) {
    const std::string subject = Text(line, "subject"), answer = Text(line, "answer");
    const nlohmann::json json = nlohmann::json::parse(answer);
    if (json.contains("error")) continue;
    const Paging paging{json.value("total", 0), json.value("offset", 0), json.value("limit", 0)};
    if (subject == "INFO") {
      AccountInfo info;
      ASSERT_EQ(ParseJson(answer, &info), "");
      EXPECT_EQ(AccountInfoAnswer(info), answer);
    } else if (subject == "STREAM.NAMES") {
      EXPECT_EQ(StreamNamesAnswer(paging, json["streams"]), answer);
    } else if (subject == "STREAM.LIST") {
      std::vector<StreamInfo> infos;
      for (const nlohmann::json& one : json["streams"]) ASSERT_EQ(ParseJson(one.dump(), &infos.emplace_back()), "");
      EXPECT_EQ(StreamListAnswer(paging, infos), answer);
    } else if (subject == "STREAM.INFO.ONE") {
      StreamInfo info;
      ASSERT_EQ(ParseJson(answer, &info), "");
      EXPECT_EQ(StreamInfoAnswer(info, paging), answer);
    } else if (subject == "STREAM.PURGE.ONE") {
      EXPECT_EQ(StreamPurgeAnswer(json["purged"]), answer);
    } else if (subject == "STREAM.DELETE.ONE") {
      EXPECT_EQ(SuccessAnswer(ResponseKind::kStreamDelete), answer);
    } else if (subject == "CONSUMER.NAMES.ONE") {
      EXPECT_EQ(ConsumerNamesAnswer(paging, {}), answer);
    } else if (subject == "CONSUMER.LIST.ONE") {
      EXPECT_EQ(ConsumerListAnswer(paging, {}), answer);
    }
  }
}

}  // namespace
}  // namespace millrace
