// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/responses.h"

#include "broker/jetstream/api/printer.h"
#include "proto/base/check.h"
#include "proto/quoted.h"

namespace millrace {
namespace {

constexpr std::string_view kTypes[] = {
#define X(name, text) "io.nats.jetstream.api.v1." text "_response",
    MR_RESPONSE_KINDS(X)
#undef X
};

// An answer that is being written: its type stands first.
class Answer {
 public:
  explicit Answer(ResponseKind kind) : printer_(&json_) {
    json_.BeginObject();
    json_.Put("type", ResponseType(kind));
  }
  explicit Answer(std::string_view type) : printer_(&json_) {
    json_.BeginObject();
    json_.Put("type", type);
  }
  JsonWriter& json() { return json_; }
  Printer& printer() { return printer_; }
  std::string Take() && {
    json_.EndObject();
    return std::move(json_).Take();
  }

 private:
  JsonWriter json_{JsonLayout::kCompact};
  Printer printer_;
};

void WritePaging(const Paging& paging, JsonWriter* json) {
  json->PutInt("total", paging.total);
  json->PutInt("offset", paging.offset);
  json->PutInt("limit", paging.limit);
}

template <typename Info>
std::string InfoAnswer(ResponseKind kind, const Info& info) {
  Answer answer(kind);
  answer.printer().Members(info);
  return std::move(answer).Take();
}

std::string NamesAnswer(ResponseKind kind, std::string_view key, const Paging& paging,
                        const std::vector<std::string>& names) {
  Answer answer(kind);
  WritePaging(paging, &answer.json());
  answer.printer().Strings(key, names);
  return std::move(answer).Take();
}

template <typename Info>
std::string ListAnswer(ResponseKind kind, std::string_view key, const Paging& paging, const std::vector<Info>& infos,
                       const std::vector<std::string>& missing, const std::map<std::string, std::string>& offline) {
  Answer answer(kind);
  WritePaging(paging, &answer.json());
  answer.printer().Structs(key, infos);
  answer.printer().Strings("missing", missing, Omit::kEmpty);
  answer.printer().StringMap("offline", offline, Omit::kEmpty);
  return std::move(answer).Take();
}

// What the peer's structs hold beside an error: members that are never left out.
void WriteEmptyBody(ResponseKind kind, JsonWriter* json) {
  switch (kind) {
    case ResponseKind::kStreamInfo:
      return WritePaging({}, json);
    case ResponseKind::kStreamNames:
      WritePaging({}, json);
      json->Key("streams");
      return json->Null();
    case ResponseKind::kStreamList:
      WritePaging({}, json);
      json->Key("streams");
      return json->Strings({});
    case ResponseKind::kConsumerNames:
    case ResponseKind::kConsumerList:
      WritePaging({}, json);
      json->Key("consumers");
      return json->Strings({});
    case ResponseKind::kStreamPurge:
      return json->PutUint("purged", 0);
    case ResponseKind::kStreamRestore:
      return json->Put("deliver_subject", "");
    case ResponseKind::kConsumerPause:
      json->PutBool("paused", false);
      return json->Put("pause_until", FormatGoTime(kGoZeroTimeNs));
    case ResponseKind::kConsumerReset:
      return json->PutUint("reset_seq", 0);
    case ResponseKind::kMetaRescue:
      json->Put("server", "");
      return json->Put("server_id", "");
    default:
      return;
  }
}

}  // namespace

std::string_view ResponseType(ResponseKind kind) { return kTypes[static_cast<size_t>(kind)]; }

std::string ErrorAnswer(ResponseKind kind, const ApiError& error) {
  Answer answer(kind);
  answer.printer().Struct("error", error);
  WriteEmptyBody(kind, &answer.json());
  return std::move(answer).Take();
}

std::string SuccessAnswer(ResponseKind kind) {
  Answer answer(kind);
  if (kind != ResponseKind::kConsumerUnpin && kind != ResponseKind::kSystem) answer.json().PutBool("success", true);
  return std::move(answer).Take();
}

std::string AccountInfoAnswer(const AccountInfo& info) { return InfoAnswer(ResponseKind::kAccountInfo, info); }
std::string AccountPurgeAnswer() {
  Answer answer(ResponseKind::kAccountPurge);
  answer.json().OptBool("initiated", true);
  return std::move(answer).Take();
}

std::string StreamUpdateAnswer(const StreamInfo& info) { return InfoAnswer(ResponseKind::kStreamUpdate, info); }
std::string ConsumerCreateAnswer(const ConsumerInfo& info) { return InfoAnswer(ResponseKind::kConsumerCreate, info); }
std::string ConsumerInfoAnswer(const ConsumerInfo& info) { return InfoAnswer(ResponseKind::kConsumerInfo, info); }

std::string StreamCreateAnswer(const StreamInfo& info, bool did_create) {
  Answer answer(ResponseKind::kStreamCreate);
  answer.printer().Members(info);
  answer.json().OptBool("did_create", did_create);
  return std::move(answer).Take();
}

std::string StreamInfoAnswer(const StreamInfo& info, const Paging& paging) {
  Answer answer(ResponseKind::kStreamInfo);
  WritePaging(paging, &answer.json());
  answer.printer().Members(info);
  return std::move(answer).Take();
}

std::string StreamNamesAnswer(const Paging& paging, const std::vector<std::string>& names) {
  if (!names.empty()) return NamesAnswer(ResponseKind::kStreamNames, "streams", paging, names);
  Answer answer(ResponseKind::kStreamNames);
  WritePaging(paging, &answer.json());
  answer.json().Key("streams");
  answer.json().Null();  // the peer's list of names alone is nil when it is empty
  return std::move(answer).Take();
}

std::string ConsumerNamesAnswer(const Paging& paging, const std::vector<std::string>& names) {
  return NamesAnswer(ResponseKind::kConsumerNames, "consumers", paging, names);
}

std::string StreamListAnswer(const Paging& paging, const std::vector<StreamInfo>& streams,
                             const std::vector<std::string>& missing,
                             const std::map<std::string, std::string>& offline) {
  return ListAnswer(ResponseKind::kStreamList, "streams", paging, streams, missing, offline);
}

std::string ConsumerListAnswer(const Paging& paging, const std::vector<ConsumerInfo>& consumers,
                               const std::vector<std::string>& missing,
                               const std::map<std::string, std::string>& offline) {
  return ListAnswer(ResponseKind::kConsumerList, "consumers", paging, consumers, missing, offline);
}

std::string StreamPurgeAnswer(uint64_t purged) {
  Answer answer(ResponseKind::kStreamPurge);
  answer.json().PutBool("success", true);
  answer.json().PutUint("purged", purged);
  return std::move(answer).Take();
}

std::string StreamSnapshotAnswer(const StreamConfig& config, const StreamState& state) {
  Answer answer(ResponseKind::kStreamSnapshot);
  answer.printer().Struct("config", config);
  answer.printer().Struct("state", state);
  return std::move(answer).Take();
}

std::string StreamRestoreAnswer(std::string_view deliver_subject) {
  Answer answer(ResponseKind::kStreamRestore);
  answer.json().Put("deliver_subject", deliver_subject);
  return std::move(answer).Take();
}

std::string MessageGetAnswer(const ApiMessage& message) {
  Answer answer(ResponseKind::kStreamMsgGet);
  answer.printer().Struct("message", message);
  return std::move(answer).Take();
}

std::string ConsumerPauseAnswer(bool paused, int64_t pause_until_ns, int64_t pause_remaining_ns) {
  Answer answer(ResponseKind::kConsumerPause);
  answer.json().PutBool("paused", paused);
  answer.printer().Time("pause_until", pause_until_ns);
  answer.json().OptInt("pause_remaining", pause_remaining_ns);
  return std::move(answer).Take();
}

std::string ConsumerResetAnswer(const ConsumerInfo& info, uint64_t reset_seq) {
  Answer answer(ResponseKind::kConsumerReset);
  answer.printer().Members(info);
  answer.json().PutUint("reset_seq", reset_seq);
  return std::move(answer).Take();
}

// Put together by hand, because it is written for each publish and its texts are the peer's %q, not JSON's escapes.
std::string PubAckAnswer(const PubAckView& ack) {
  MR_DCHECK(ack.batch.empty() || ack.counter.empty());
  std::string out;
  out.reserve(128);
  out += "{\"stream\":";
  AppendQuoted(&out, ack.stream);
  if (!ack.domain.empty()) {
    out += ",\"domain\":";
    AppendQuoted(&out, ack.domain);
  }
  out.append(",\"seq\":").append(std::to_string(ack.seq));
  if (ack.duplicate) out += ",\"duplicate\": true";
  if (!ack.batch.empty()) {
    out += ",\"batch\":";
    AppendQuoted(&out, ack.batch);
    out.append(",\"count\":").append(std::to_string(ack.count));
  } else if (!ack.counter.empty()) {
    out += ",\"val\":";
    AppendQuoted(&out, ack.counter);
  }
  out.push_back('}');
  return out;
}

std::string PubAckErrorAnswer(const ApiError& error, std::string_view stream, uint64_t seq) {
  JsonWriter json(JsonLayout::kCompact);
  Printer printer(&json);
  json.BeginObject();
  printer.Struct("error", error);
  json.Put("stream", stream);
  json.PutUint("seq", seq);
  json.EndObject();
  return std::move(json).Take();
}

std::string BatchFlowAck(uint64_t seq, uint16_t msgs) {
  Answer answer("ack");
  answer.json().PutUint("seq", seq);
  answer.json().PutUint("msgs", msgs);
  return std::move(answer).Take();
}

std::string BatchFlowGap(uint64_t last_seq, uint64_t seq) {
  Answer answer("gap");
  answer.json().PutUint("last_seq", last_seq);
  answer.json().PutUint("seq", seq);
  return std::move(answer).Take();
}

std::string BatchFlowError(uint64_t seq, const ApiError& error) {
  Answer answer("err");
  answer.json().PutUint("seq", seq);
  answer.printer().Struct("error", error);
  return std::move(answer).Take();
}

}  // namespace millrace
